"""The drive that everything is measured on: recorded once, as sets for the network and as a bag to replay."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentryfuse_core.bags.arrivals import arrivals
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.bags.topics import select
from sentryfuse_core.clock import ManualClock
from sentryfuse_core.config import Config
from sentryfuse_core.errors import BenchError
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.types import Modality, ModalitySet, SyncedSet

__all__ = ["Heard", "hear", "record", "replay_speed", "run_cli"]

_KEPT = 40  # sets; more would only take memory
_SEED = 8  # a world where something of every class is in view nearly all the time


@dataclass(frozen=True, eq=False)
class Heard:
    """Sets of a recording with all four sensors, as tensors too, and the trust built up by its end."""

    ingest: Ingest
    clock: ManualClock
    sets: tuple[SyncedSet, ...]
    prepared: tuple[Prepared, ...]


def record(folder: Path, *, seconds: float) -> Path:
    """A drive in the synthetic world, all four sensors, by day and in clear weather."""
    run_cli("world", "record", "--seed", str(_SEED), "--weather", "clear", "--light", "noon",
            "--seconds", str(seconds), str(folder))  # fmt: skip
    return next(folder.glob("*.mcap"))


def hear(bag: Path) -> Heard:
    """Take in a whole recording as a replay does; its first sets that have all sensors are kept."""
    config, clock = Config(), ManualClock()
    ingest, preprocessor = Ingest(config), Preprocessor(config)
    sets: list[SyncedSet] = []
    prepared: list[Prepared] = []
    for synced in _sets(bag, ingest, clock, config):
        if len(sets) < _KEPT and ingest.trust(synced)[0] == ModalitySet.all():
            made = preprocessor(synced, ModalitySet.all())
            if made.inputs.present == ModalitySet.all():
                sets.append(synced)
                prepared.append(made)
    if not sets:
        raise BenchError(f"{bag} gave no set with all four sensors; record more seconds")
    return Heard(ingest, clock, tuple(sets), tuple(prepared))


def _sets(bag: Path, ingest: Ingest, clock: ManualClock, config: Config) -> Iterator[SyncedSet]:
    with BagReader(bag) as reader:
        topics: dict[str, Modality | None] = {
            topic.name: modality
            for modality, topic in select(reader.topics(), {}, config=config).topics.items()
        }
        for arrival in arrivals(reader, topics):
            if arrival.modality is None:
                continue
            clock.set(arrival.at_ns)
            ingest.message(
                arrival.modality,
                arrival.message,
                type_name=arrival.type_name,
                arrival_ns=arrival.at_ns,
                received_ns=arrival.at_ns,
            )
            yield from ingest.take()


def replay_speed(bag: Path, out: Path, *, settings: Sequence[str]) -> dict[str, Any]:
    """Replay `bag` in a process of its own; how many times as fast as real time, with and without its start.

    `settings` are NAME=VALUE for --set.
    """
    options = [word for setting in settings for word in ("--set", setting)]
    began_s = time.perf_counter()
    run_cli("replay", str(bag), "--out", str(out), "--quiet", *options)
    process_s = time.perf_counter() - began_s
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return {
        "played_s": metrics["played_s"],
        "run_s": metrics["wall_s"],
        "process_s": round(process_s, 3),
        "run_speed": metrics["real_time_factor"],
        "process_speed": round(metrics["played_s"] / process_s, 3),
        "sets": metrics["sets"],
    }


def run_cli(*words: str) -> str:
    """Run a `sentryfuse` command in a process of its own; its output; BenchError when it fails."""
    command = [sys.executable, "-m", "sentryfuse_core.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise BenchError(f"sentryfuse {' '.join(words[:2])} failed: {lines[-1] if lines else 'no message'}")
    return done.stdout
