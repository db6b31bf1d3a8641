"""Which backend is how fast on this machine: measured when parts are built, read when a node starts."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping

from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank, blank_input
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.types import ModalitySet

__all__ = ["measure", "measured"]

_FILE = "measured.json"
_ROUNDS = 7


def measure(bank: Bank, backends: Mapping[str, Backend], store: Store) -> Mapping[str, float]:
    """Milliseconds of a set with all sensors in each backend, mean over the levels; kept for `measured`.

    Rounds are interleaved, so that a machine that is slow for a while is so for all of them.
    """
    plans = [bank.plan(ModalitySet.all(), level, "measuring") for level in bank.loaded]
    inputs = blank_input()
    times: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(1 + _ROUNDS):
        for name, backend in backends.items():
            began_s = time.perf_counter()
            for plan in plans:
                backend.run(inputs.only(plan.mask), plan)
            times[name].append((time.perf_counter() - began_s) * 1e3 / len(plans))
    found = {name: statistics.median(items[1:]) for name, items in times.items()}
    store.write(store.folder / _FILE, json.dumps(found).encode())
    return found


def measured(store: Store) -> Mapping[str, float]:
    """What `measure` found last; empty where it never ran, or its file cannot be read."""
    try:
        content = json.loads((store.folder / _FILE).read_bytes())
        return {str(name): float(time_ms) for name, time_ms in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
