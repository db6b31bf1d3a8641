"""Rows of the table on callbacks that raise and on replays that must not depend on the machine."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.sync_rivals import QUOTED, survives_callback
from benchmarks.sync_streams import RIG, Drive, Found, samples
from sentryfuse_core.lab.bench.results import at_least, at_most
from sentryfuse_core.lab.bench.runtime.recording import record
from sentryfuse_core.types import Modality

__all__ = ["callback_raises", "replay_hash"]


def callback_raises(rival: Any, *, seconds: float = 5.0, seed: int = 13) -> Found:
    """Every `on_ready` raises: sets by clouds all the same."""
    calls: list[int] = []

    def raising() -> None:
        calls.append(1)
        raise RuntimeError("the user's callback raised")

    items = list(samples(RIG, seconds, seed=seed))
    drive = Drive(on_ready=raising).play(items, tail_s=0.2)
    clouds = {item.stamp_ns for item in items if item.modality is Modality.LIDAR}
    share = sum(item.stamp_ns in clouds for item in drive.sets) / len(clouds)
    theirs = QUOTED["raises"]
    if rival is not None:
        lives = survives_callback(rival, items, (Modality.CAMERA, Modality.LIDAR))
        theirs = "a set follows" if lives else "no set follows: deadlock"
    what = f"callback raises {len(calls)} times: clouds with a set"
    return Found([at_least(what, 100 * share, "%", 100)], rival=theirs)


def replay_hash(_rival: Any, *, seconds: float = 3.0, whole: bool = True) -> Found:
    """Three replays of one recording of the synthetic world: alone, beside two busy processes, niced.

    `sets.jsonl` has every set with its stamp, release, members' offsets, states and detections. Not
    `whole`, simulated arrivals go through the ingest alone.
    """
    hashes: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bag = record(folder / "world", seconds=seconds) if whole else folder
        for load in ("alone", "two busy processes", "niced beside two"):
            with _busy(0 if load == "alone" else 2):
                nice = 19 if load.startswith("niced") else 0
                made = _replay(bag, folder / load.replace(" ", "_"), nice) if whole else _simulated(seconds)
                hashes[load] = made
    what = f"replay of {seconds:g} s under three loads ({'whole' if whole else 'ingest'}): different sets"
    return Found([at_most(what, len(set(hashes.values())) - 1, "", 0)], raw=hashes)


def _replay(bag: Path, out: Path, nice: int) -> str:
    command = [sys.executable, "-m", "sentryfuse_core.cli", "replay", str(bag), "--out", str(out), "--quiet"]
    subprocess.run(["nice", "-n", str(nice), *command], check=True)  # noqa: S607 - of the system
    return hashlib.sha256((out / "sets.jsonl").read_bytes()).hexdigest()


def _simulated(seconds: float) -> str:
    digest = hashlib.sha256()
    for item in Drive().play(samples(RIG, seconds, seed=14), tail_s=0.2).sets:
        members = [(str(m), [sample.stamp_ns for sample in group]) for m, group in item.samples.items()]
        digest.update(repr((item.stamp_ns, item.released_ns, members)).encode())
    return digest.hexdigest()


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    code = "while True: sum(range(100_000))"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
