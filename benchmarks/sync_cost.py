"""Rows of the table on cost: one add(), health and diagnostics, memory over simulated hours.

All times are thread CPU time, so that what else runs on the machine does not count.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.sync_rivals import QUOTED, Rival
from benchmarks.sync_streams import NS, START_NS, Found, Source, at_rates, named_samples, samples
from sentryfuse_core.account.diagnostics import Diagnostics
from sentryfuse_core.config import Config, override
from sentryfuse_core.health import AudioStats, CloudStats, ContentStats, ImageStats
from sentryfuse_core.health.monitor import HealthMonitor
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.lab.bench.results import Figure, at_most
from sentryfuse_core.lab.bench.runtime.memory import status_mb
from sentryfuse_core.sync import Synchronizer, streams
from sentryfuse_core.types import Modality, Sample

__all__ = ["add_cost", "add_cost_of_eight", "health_share", "memory"]

FULL = at_rates(camera=30.0, lidar=10.0, imu=400.0, audio=50.0)
_STATS: dict[Modality, ContentStats] = {
    Modality.CAMERA: ImageStats(120.0, 30.0, (20.0,) * 64),
    Modality.LIDAR: CloudStats(60_000, (1 << 72) - 1),
    Modality.AUDIO: AudioStats(0.0, silent=False, live_channels=3),
}
_CLOCK_STEP = 200  # clock readings that the cost of one is taken from


def add_cost(rival: Any, *, seconds: float = 120.0, seed: int = 10) -> Found:
    """Each add() by thread CPU time with the collector off, the cost of reading the clock taken off.

    The collector runs between slices of one second instead. message_filters takes the same slices in
    turns, as long as it keeps up: its own slices end once they took five seconds in all.
    """
    config = Config()
    sync = Synchronizer(config.sync, streams(config))
    items = list(samples(FULL, seconds, seed=seed))
    rivals = {queue: Rival(rival, tuple(Modality), queue=queue) for queue in (10, 60)} if rival else {}
    ours: list[int] = []
    theirs: dict[int, list[int]] = {queue: [] for queue in rivals}
    for piece in _slices(items):
        with _collector_off():
            ours += _timed(lambda item: sync.add(item.modality, item), piece)
        for queue, ats in rivals.items():
            if sum(theirs[queue]) < 5 * NS:
                ready = [(item.modality, ats.message(item)) for item in piece]
                with _collector_off():
                    theirs[queue] += _timed(lambda pair, ats=ats: ats.signal(*pair), ready)
    said = [
        f"queue {queue}: mean {np.mean(taken) / 1e3:.0f} us, worst {max(taken) / 1e6:.1f} ms"
        for queue, taken in theirs.items()
    ]
    raw = {
        "calls": len(ours),
        "over_1_ms": sum(taken > 1_000_000 for taken in ours),
        "message_filters_calls": {queue: len(taken) for queue, taken in theirs.items()},
    }
    return Found(_figures("add(), 30/10/400/50 Hz", ours), rival="; ".join(said) or QUOTED["add"], raw=raw)


def add_cost_of_eight(_rival: Any, *, seconds: float = 60.0, seed: int = 12) -> Found:
    """Each add() as above with sensors by name: four cameras, two lidars, IMU and microphones."""
    counts = {Modality.CAMERA: 4, Modality.LIDAR: 2, Modality.IMU: 1, Modality.AUDIO: 1}
    rig = {f"{kind}_{n}": (kind, FULL[kind]) for kind, count in counts.items() for n in range(count)}
    kinds = {f"{name}.kind": kind.value for name, (kind, _) in rig.items()}
    config = override(Config(), {"sensors": list(rig), **kinds})
    sync = Synchronizer(config.sync, streams(config))
    sets = 0
    taken_ns: list[int] = []

    def add(item: Sample) -> None:
        nonlocal sets
        sets += len(sync.add(item.sensor, item))

    for piece in _slices(list(named_samples(rig, seconds, seed=seed))):
        with _collector_off():
            taken_ns += _timed(add, piece)
    name = "add(), eight named streams: 4 x 30, 2 x 10, 400, 50 Hz"
    return Found(_figures(name, taken_ns), raw={"calls": len(taken_ns), "sets": sets})


def _figures(name: str, taken_ns: list[int]) -> list[Figure]:
    values = np.array(taken_ns) / 1e3
    return [
        at_most(f"{name}: mean", float(values.mean()), "us", 5),
        at_most(f"{name}: p99", float(np.percentile(values, 99)), "us", 50),
        at_most(f"{name}: longest of {len(taken_ns)}", float(values.max()), "us", 1000),
    ]


def health_share(_rival: Any, *, seconds: float = 60.0, seed: int = 11) -> Found:
    """CPU time of the health monitor and the diagnostics by simulated time; content statistics are given.

    Each image, cloud and block is judged, and the statuses are made once a second. Apart from it: all
    that the ingest does with a converted message, health and synchroniser together.
    """
    items = list(samples(FULL, seconds, seed=seed))
    config = Config()
    health, diagnostics = HealthMonitor(config), Diagnostics(config)
    began_ns = time.thread_time_ns()
    next_ns = START_NS + NS
    for item in items:
        now_ns = item.arrival_ns
        health.update(now_ns)
        health.observe(item)
        stats = _STATS.get(item.modality)
        if stats is not None:
            health.observe_decoded(item.modality, stats, now_ns)
        if now_ns >= next_ns:
            diagnostics.statuses(reports=health.reports(now_ns), counters={}, budget={}, now_ns=now_ns)
            next_ns += NS
    spent_ns = time.thread_time_ns() - began_ns
    ingest = Ingest(config)
    began_ns = time.thread_time_ns()
    for item in items:
        ingest.sample(item)
        ingest.take()
    whole_ns = time.thread_time_ns() - began_ns
    share, whole = (100 * taken / (seconds * NS) for taken in (spent_ns, whole_ns))
    unit = "% of a core"
    return Found(
        [
            at_most("health and diagnostics, 30/10/400/50 Hz", share, unit, 3),
            at_most("content statistics (1080p, 64k points, 2 x 0.2 s audio)", _content_share(), unit),
            at_most("ingest of converted messages (health and synchroniser)", whole, unit),
        ]
    )


def memory(_rival: Any, *, hours: float = 24.0, thinned: float = 20.0, full_hours: float = 1.0) -> Found:
    """Resident memory of a process that takes in simulated hours, faults going on and off all the time.

    Growth is from the tenth simulated minute, at the same rates, to the end.
    """
    slow = at_rates(camera=30.0 / thinned, lidar=10.0 / thinned, imu=200.0 / thinned, audio=50.0 / thinned)
    runs = {
        f"memory after {hours:g} simulated hours at 1/{thinned:g} of 30/10/200/50 Hz": (slow, hours),
        f"memory after {full_hours:g} simulated hours at 30/10/200/50 Hz": (at_rates(), full_hours),
    }
    figures, raw = [], {}
    context = multiprocessing.get_context("spawn")
    for what, (rig, length_h) in runs.items():
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            found = pool.submit(_live_through, rig, 3600 * length_h).result()
        growth = 100 * (found["end_mb"] / found["warm_mb"] - 1)
        figures.append(at_most(f"{what}: growth", growth, "%", 1))
        raw[what] = found
    return Found(figures, raw=raw)


def _live_through(rig: dict[Modality, Source], seconds: float) -> dict[str, float]:
    """Resident MB after ten simulated minutes (a tenth of a short run) and at the end; counts of messages."""
    ingest, diagnostics = Ingest(Config()), Diagnostics(Config())
    warm_ns = START_NS + round(min(600.0, seconds / 10) * NS)
    next_ns, warm_mb, taken, sets = START_NS, 0.0, 0, 0
    for item in samples(rig, seconds, seed=12, alive={m: _faults(k) for k, m in enumerate(rig)}):
        ingest.sample(item)
        taken += 1
        sets += len(ingest.take())
        if item.arrival_ns >= next_ns:
            next_ns += NS
            now_ns = item.arrival_ns
            ingest.take_transitions()
            reports, counters = ingest.reports(now_ns), ingest.sync_counters()
            diagnostics.statuses(reports=reports, counters=counters, budget={}, now_ns=now_ns)
            if not warm_mb and now_ns >= warm_ns:
                warm_mb = _resident_mb()
    return {"warm_mb": warm_mb, "end_mb": _resident_mb(), "messages": taken, "sets": sets}


def _faults(index: int) -> Callable[[float], bool]:
    """On for 40 s and off for 7 s or so, each sensor at times of its own."""
    period_s = 47.0 + 5.3 * index
    return lambda at_s: at_s % period_s > 7.0


def _resident_mb() -> float:
    gc.collect()
    return status_mb("VmRSS")


def _content_share() -> float:
    """Per cent of a core that the statistics of decoded data take at the rates of the row."""
    from sentryfuse_core.preprocess.content import audio_stats, cloud_stats, image_stats
    from sentryfuse_core.types import AudioBlock

    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    points = rng.normal(0.0, 8.0, (4, 65_536)).astype(np.float32)
    blocks = [AudioBlock(rng.integers(-800, 800, (320, 2), dtype=np.int16), 16_000, stamped=True)] * 10
    works: list[tuple[Callable[[], object], float]] = [
        (lambda: image_stats(image), 30.0),
        (lambda: cloud_stats(points), 10.0),
        (lambda: audio_stats(blocks), 10.0),
    ]
    share = 0.0
    for work, rate_hz in works:
        work()
        began_ns = time.thread_time_ns()
        for _ in range(20):
            work()
        share += 100 * rate_hz * (time.thread_time_ns() - began_ns) / 20 / NS
    return share


def _slices(items: list[Sample]) -> Iterator[list[Sample]]:
    """One simulated second after the other."""
    start_ns = items[0].arrival_ns
    for _, piece in itertools.groupby(items, key=lambda item: (item.arrival_ns - start_ns) // NS):
        yield list(piece)


@contextmanager
def _collector_off() -> Iterator[None]:
    """No garbage collection inside; one before."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _timed(call: Callable[[Any], object], items: list[Any]) -> list[int]:
    """Thread CPU time of each call in ns."""
    clock = time.thread_time_ns
    readings = [clock() for _ in range(_CLOCK_STEP)]
    cost_ns = (readings[-1] - readings[0]) // (_CLOCK_STEP - 1)
    taken = []
    for item in items:
        began_ns = clock()
        call(item)
        taken.append(max(0, clock() - began_ns - cost_ns))
    return taken
