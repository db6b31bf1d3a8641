"""What was measured on this machine: which backend is how fast, found once and kept for later starts."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence

from sentryfuse_core.machine.processor import processor
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank, blank_input
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.types import ModalitySet

__all__ = ["circumstances", "keep", "kept", "measure"]

_ROUNDS = 7
_FEWEST_ROUNDS = 2  # that are timed, however long they take


def measure(
    bank: Bank,
    backends: Mapping[str, Backend],
    *,
    levels: Sequence[int],
    rounds: int = _ROUNDS,
    most_s: float = math.inf,
) -> Mapping[str, float]:
    """Milliseconds of a set with all sensors in each backend, mean over `levels`.

    Rounds are interleaved, so that a machine that is slow for a while is so for all of them; the first is not
    timed, and none begins after `most_s` of those that are. Raises BackendError where one fails.
    """
    plans = [bank.plan(ModalitySet.all(), level, "measuring") for level in levels]
    inputs = blank_input()
    times: dict[str, list[float]] = {name: [] for name in backends}
    first_s = math.inf
    for done in range(1 + rounds):
        if done > _FEWEST_ROUNDS and time.perf_counter() - first_s > most_s:
            break
        for name, backend in backends.items():
            began_s = time.perf_counter()
            for plan in plans:
                backend.run(inputs.only(plan.mask), plan)
            times[name].append((time.perf_counter() - began_s) * 1e3 / len(plans))
        first_s = min(first_s, time.perf_counter())
    return {name: statistics.median(items[1:] or items) for name, items in times.items()}


def circumstances(**more: object) -> Mapping[str, str]:
    """What a measurement holds for: this processor, and all that is given."""
    return {"processor": processor(), **{name: str(value) for name, value in more.items()}}


def keep(store: Store, what: str, of: Mapping[str, str], values: Mapping[str, float]) -> None:
    """Keep `values` for whoever asks `kept` the same; several processes may at once. Raises OutputError."""
    content = json.dumps({"of": dict(of), "values": dict(values)}, indent=1)
    store.write(store.folder / _name(what, of), content.encode())


def kept(store: Store, what: str, of: Mapping[str, str]) -> Mapping[str, float]:
    """What was kept under the same circumstances; empty where nothing was, or its file cannot be read."""
    try:
        content = json.loads((store.folder / _name(what, of)).read_bytes())
        same = content["of"] == dict(of)
        return {str(name): float(value) for name, value in content["values"].items()} if same else {}
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return {}


def _name(what: str, of: Mapping[str, str]) -> str:
    key = hashlib.sha256(json.dumps(dict(of), sort_keys=True).encode())
    return f"{what}.{key.hexdigest()[:12]}.json"
