"""Simulated sensor streams with jitter and lag, seeded, and the drive that plays them into the ingest."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sentryfuse_core.config import Config
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.lab.bench.results import Figure
from sentryfuse_core.types import (
    AudioBlock,
    ImageFrame,
    ImuReading,
    Modality,
    Payload,
    PointCloud,
    PointField,
    Sample,
    SensorState,
    SyncedSet,
    Transition,
)

__all__ = [
    "NS",
    "RIG",
    "START_NS",
    "Drive",
    "Found",
    "Source",
    "always",
    "at_rates",
    "dice",
    "named_samples",
    "samples",
    "stream",
]

NS = 1_000_000_000
START_NS = 1_000 * NS
_POOL = 16  # payloads that a stream takes turns with
_XYZI = tuple(PointField(name, 4 * index, "f4") for index, name in enumerate(("x", "y", "z", "intensity")))
Alive = Callable[[float], bool]  # seconds since the start


@dataclass(frozen=True)
class Found:
    """What one row of the table came to; `rival` is message_filters' figure in words."""

    figures: Sequence[Figure]
    rival: str = "-"
    raw: object = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Timing of one sensor: deviation of its stamps, shortest lag to arrival and mean of what adds to it."""

    rate_hz: float
    jitter_s: float
    lag_s: float
    lag_jitter_s: float
    phase_s: float | None = None  # of the first sample; None: by chance


RIG: Mapping[Modality, Source] = {
    Modality.CAMERA: Source(rate_hz=30.0, jitter_s=5e-4, lag_s=0.020, lag_jitter_s=0.003),
    Modality.LIDAR: Source(rate_hz=10.0, jitter_s=1e-3, lag_s=0.012, lag_jitter_s=0.002),
    Modality.IMU: Source(rate_hz=200.0, jitter_s=1e-4, lag_s=0.001, lag_jitter_s=0.0005),
    Modality.AUDIO: Source(rate_hz=50.0, jitter_s=3e-4, lag_s=0.022, lag_jitter_s=0.002),
}


def at_rates(**rates_hz: float) -> dict[Modality, Source]:
    """The rig with other rates, by sensor name."""
    return {m: replace(source, rate_hz=rates_hz.get(m.value, source.rate_hz)) for m, source in RIG.items()}


def dice(seed: int | str) -> random.Random:
    """The same numbers again for the same seed."""
    return random.Random(seed)  # noqa: S311 - no secrets here


def always(_at_s: float) -> bool:
    """A source that never stops."""
    return True


def stream(
    modality: Modality,
    source: Source,
    seconds: float,
    *,
    seed: int,
    alive: Alive = always,
    offset_s: float = 0.0,
    name: str = "",
) -> Iterator[Sample]:
    """Samples of one sensor in order; its transport keeps their order. Without a name it is its kind's.

    `fingerprint` holds the instant of capture in ns: the truth, which only the benchmark reads. The stamp
    is that plus `offset_s`. Stamps are compared with the clock that runs from START_NS.
    """
    rng = dice(f"{seed} {name or modality.value}")
    period_s = 1.0 / source.rate_hz
    phase_s = rng.random() * period_s if source.phase_s is None else source.phase_s
    pool = _payloads(modality, source.rate_hz, seed)
    offset_ns = round(offset_s * NS)
    arrival_ns = 0
    for index in range(math.floor((seconds - phase_s) / period_s) + 1):
        at_s = phase_s + index * period_s
        jitter_s = max(-0.4 * period_s, min(0.4 * period_s, rng.gauss(0.0, source.jitter_s)))
        lag_s = source.lag_s + rng.expovariate(1.0 / source.lag_jitter_s)
        if not alive(at_s):
            continue
        truth_ns = START_NS + round((at_s + jitter_s) * NS)
        arrival_ns = max(arrival_ns + 1, truth_ns + round(lag_s * NS))
        yield Sample(
            modality=modality,
            stamp_ns=truth_ns + offset_ns,
            received_ns=arrival_ns,
            arrival_ns=arrival_ns,
            frame_id=modality.value,
            payload=pool[index % _POOL],
            fingerprint=truth_ns,
            name=name,
        )


def samples(
    rig: Mapping[Modality, Source],
    seconds: float,
    *,
    seed: int,
    alive: Mapping[Modality, Alive] | None = None,
    offset_s: Mapping[Modality, float] | None = None,
) -> Iterator[Sample]:
    """The streams of a rig together, in order of arrival."""
    alive, offset_s = alive or {}, offset_s or {}
    parts = (
        stream(
            modality,
            source,
            seconds,
            seed=seed,
            alive=alive.get(modality, always),
            offset_s=offset_s.get(modality, 0.0),
        )
        for modality, source in rig.items()
    )
    return heapq.merge(*parts, key=lambda item: item.arrival_ns)


def named_samples(
    rig: Mapping[str, tuple[Modality, Source]], seconds: float, *, seed: int
) -> Iterator[Sample]:
    """The streams of sensors by name together, in order of arrival."""
    parts = (stream(kind, source, seconds, seed=seed, name=name) for name, (kind, source) in rig.items())
    return heapq.merge(*parts, key=lambda item: item.arrival_ns)


def _payloads(modality: Modality, rate_hz: float, seed: int) -> list[Payload]:
    rng = np.random.default_rng(seed)
    return [_payload(modality, rate_hz, rng) for _ in range(_POOL)]


def _payload(modality: Modality, rate_hz: float, rng: np.random.Generator) -> Payload:
    if modality is Modality.CAMERA:
        pixels = rng.integers(20, 235, 8 * 36, dtype=np.uint8)
        return ImageFrame(height=8, width=12, step=36, encoding="rgb8", is_bigendian=False, data=pixels)
    if modality is Modality.LIDAR:
        points = rng.normal(0.0, 8.0, (64, 4)).astype(np.float32)
        return PointCloud(
            height=1,
            width=64,
            point_step=16,
            row_step=1024,
            is_bigendian=False,
            fields=_XYZI,
            data=points.view(np.uint8).reshape(-1),
        )
    if modality is Modality.IMU:
        noise = rng.normal(0.0, 0.01, (2, 3))
        return ImuReading(noise[0], noise[1] + np.array([0.0, 0.0, 9.81]))
    count = round(16_000 / rate_hz)
    pcm = rng.integers(-800, 800, (count, 2), dtype=np.int16)
    return AudioBlock(pcm=pcm, sample_rate_hz=16_000, stamped=True)


class Drive:
    """The ingest under simulated steady time: every deadline fires at its own time, between messages."""

    def __init__(self, config: Config | None = None, *, on_ready: Callable[[], None] | None = None) -> None:
        self.config = config or Config()
        self.ingest = Ingest(self.config, on_ready=on_ready)
        self.now_ns = 0
        self.sets: list[SyncedSet] = []
        self.transitions: list[Transition] = []

    def play(self, items: Iterable[Sample], *, tail_s: float = 0.0) -> Drive:
        """Take all of `items` in, then let `tail_s` pass in silence."""
        for item in items:
            self.feed(item)
        if tail_s:
            self.pass_time(self.now_ns + round(tail_s * NS))
        return self

    def feed(self, item: Sample) -> None:
        """Let time pass to its arrival, then take one sample in."""
        self.pass_time(item.arrival_ns)
        self.ingest.sample(item)
        self._collect()

    def pass_time(self, until_ns: int) -> None:
        """Fire each deadline up to `until_ns` when it is due."""
        last_ns = -1
        while True:
            due_ns = self.ingest.next_deadline_ns()
            if due_ns is None or due_ns > until_ns or due_ns <= last_ns:
                break
            last_ns = due_ns
            self.ingest.advance(max(due_ns, self.now_ns))
            self._collect()
        self.now_ns = max(self.now_ns, until_ns)

    def lost_at_ns(self, modality: Modality) -> int | None:
        """Steady time at which it was declared lost for the first time."""
        found = (t.at_ns for t in self.transitions if t.modality is modality and t.after is SensorState.LOST)
        return next(found, None)

    def _collect(self) -> None:
        self.sets += self.ingest.take()
        self.transitions += self.ingest.take_transitions()
