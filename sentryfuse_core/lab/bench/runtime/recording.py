"""The drive that everything is measured on: recorded once, as sets for the network and as a bag to replay."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentryfuse_core.bags.arrivals import arrivals
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.bags.topics import select
from sentryfuse_core.clock import ManualClock
from sentryfuse_core.config import Config
from sentryfuse_core.errors import BenchError
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.types import Modality, ModalitySet, SyncedSet

__all__ = ["Heard", "hear", "record", "run_cli", "run_module"]

_KEPT = 40  # sets; more would only take memory


@dataclass(frozen=True, eq=False)
class Heard:
    """Sets of a recording with all four sensors, as tensors too, and the trust built up by its end."""

    ingest: Ingest
    clock: ManualClock
    sets: tuple[SyncedSet, ...]
    prepared: tuple[Prepared, ...]


def record(folder: Path, *, seconds: float, seed: int | None = None, options: Sequence[str] = ()) -> Path:
    """A drive in the synthetic world by `sentryfuse world record`; its labels lie beside it."""
    words = () if seed is None else ("--seed", str(seed))
    run_cli("world", "record", "--seconds", f"{seconds:g}", *words, *options, str(folder))
    return next(folder.glob("*.mcap"))


def hear(bag: Path) -> Heard:
    """Take in a whole recording as a replay does; its first sets that have all sensors are kept."""
    config, clock = Config(), ManualClock()
    ingest, preprocessor = Ingest(config), Preprocessor(config, measures=True)
    sets: list[SyncedSet] = []
    prepared: list[Prepared] = []
    for synced in _sets(bag, ingest, clock, config):
        if len(sets) < _KEPT and set(ingest.trust(synced)[0]) == set(Modality):
            made = preprocessor(synced, ModalitySet.all())
            if made.inputs.present == ModalitySet.all():
                sets.append(synced)
                prepared.append(made)
    if not sets:
        raise BenchError(f"{bag} gave no set with all four sensors; record more seconds")
    return Heard(ingest, clock, tuple(sets), tuple(prepared))


def _sets(bag: Path, ingest: Ingest, clock: ManualClock, config: Config) -> Iterator[SyncedSet]:
    with BagReader(bag) as reader:
        feeds = select(reader.topics(), {}, config=config).feeds
        for arrival in arrivals(reader, {key: name for key, name in feeds.items() if name is not None}):
            clock.set(arrival.at_ns)
            arrival.hand_to(ingest)
            yield from ingest.take()


def run_cli(*words: str) -> None:
    """Run a `sentryfuse` command in a process of its own; BenchError when it fails."""
    try:
        run_module("sentryfuse_core.cli", *words)
    except BenchError as error:
        raise BenchError(f"sentryfuse {' '.join(words[:2])} failed: {error}") from None


def run_module(module: str, *words: str) -> str:
    """Run `python -m MODULE`; its output; BenchError with the last line of what it complains of."""
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return done.stdout
