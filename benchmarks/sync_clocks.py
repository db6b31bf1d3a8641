"""Rows of the table on clocks: constant offsets, a bag that starts over, stamps that cannot be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.sync_rivals import QUOTED, Rival
from benchmarks.sync_streams import NS, RIG, START_NS, Drive, Found, Source, at_rates, dice, samples
from sentryfuse_core.config import Config, override
from sentryfuse_core.lab.bench.results import Figure, at_least, at_most
from sentryfuse_core.types import Modality, Sample

__all__ = ["bag_loop", "constant_offset", "poison"]

CAMERA, LIDAR, IMU, AUDIO = Modality
_FLAGS = ("clock_offset", "future_stamp", "other_clock")
_POISON_S = {"1e9 s ahead": 1e9, "5 s ahead": 5.0, "0.3 s ahead": 0.3, "990 s behind": -990.0}


def constant_offset(
    rival: Any,
    *,
    seconds: float = 8.0,
    trials: int = 4,
    seed: int = 7,
    offsets: Sequence[float] = (0.55, 0.6, 0.75, 1.0, 1.5, 2.0, 2.5),
) -> Found:
    """A camera whose clock is wrong by more than half its period T, both ways, at 10 and at 30 Hz.

    Camera and lidar are triggered within 10 ms of each other. A pair is wrong when the instants of capture
    are more than T/2 and the stamps' jitter apart. Flagged is a camera whose health names its clock as the
    fault at the end of the run. Measured without and with the streams' own lags told by `expected_lag_s`.
    """
    figures: list[Figure] = []
    raw: dict[str, Any] = {}
    for rate_hz, told in ((10.0, False), (10.0, True), (30.0, False), (30.0, True)):
        config = override(Config(), {f"{m.value}.expected_lag_s": RIG[m].lag_s for m in (CAMERA, LIDAR)})
        case = (rate_hz, config if told else Config(), seconds)
        runs = [
            {"offset_periods": factor, **_offset_run(*case, factor / rate_hz, seed + trial)}
            for factor in (*offsets, *(-item for item in offsets))
            for trial in range(trials)
        ]
        # Configured, the conversion takes the offset off every stamp: what comes in is the truth again.
        least = min(_paired(*case, seed + trial) for trial in range(trials))
        flagged = sum(run["flagged"] for run in runs) / len(runs)
        name = f"camera {rate_hz:g} Hz off by 0.55 to 2.5 T, lags {'told' if told else 'not told'}"
        wrong = sum(run["wrong"] for run in runs)
        figures += [
            at_most(f"{name}: wrong pairs", wrong, "", 0),
            at_least(f"{name}: flagged", 100 * flagged, "%", 100),
            at_least(f"{name}, offset configured: paired", 100 * least, "%", 100),
        ]
        raw[name] = runs
    return Found(figures, rival=_rival_offset(rival, seconds, seed), raw=raw)


def _triggered(rate_hz: float, seed: int) -> dict[Modality, Source]:
    """Camera and lidar alone, the lidar's moments within 10 ms of an image's."""
    apart_s = dice(seed).uniform(-0.01, 0.01)
    rig = at_rates(camera=rate_hz)
    return {
        CAMERA: replace(rig[CAMERA], phase_s=0.02 + apart_s),
        LIDAR: replace(rig[LIDAR], phase_s=0.02),
    }


def _offset_run(rate_hz: float, config: Config, seconds: float, offset_s: float, seed: int) -> dict[str, Any]:
    """Pairs in all, wrong ones among them, and whether the camera is flagged at the end."""
    rig = _triggered(rate_hz, seed)
    drive = Drive(config).play(samples(rig, seconds, seed=seed, offset_s={CAMERA: offset_s}))
    apart_ns = [
        abs(item.samples[CAMERA][0].fingerprint - item.samples[LIDAR][0].fingerprint)
        for item in drive.sets
        if CAMERA in item.samples and LIDAR in item.samples
    ]
    limit_ns = NS * (0.5 / rate_hz + 4 * (rig[CAMERA].jitter_s + rig[LIDAR].jitter_s))
    code = drive.ingest.reports(drive.now_ns)[CAMERA].code
    wrong = sum(item > limit_ns for item in apart_ns)
    return {"pairs": len(apart_ns), "wrong": wrong, "flagged": code in _FLAGS}


def _paired(rate_hz: float, config: Config, seconds: float, seed: int) -> float:
    """Share of the sets after a second that have a camera, with a clock that is right."""
    drive = Drive(config).play(samples(_triggered(rate_hz, seed), seconds, seed=seed), tail_s=0.2)
    sets = [item for item in drive.sets if item.anchor == LIDAR and item.stamp_ns > START_NS + NS]
    return sum(CAMERA in item.samples for item in sets) / len(sets)


def _rival_offset(rival: Any, seconds: float, seed: int) -> str:
    if rival is None:
        return QUOTED["offset"]
    items = samples(_triggered(10.0, seed), seconds, seed=seed, offset_s={CAMERA: 0.06})
    sets = Rival(rival, (CAMERA, LIDAR)).play(items).sets
    wrong = sum(abs(a.fingerprint - b.fingerprint) > 0.05 * NS for a, b in sets)
    return f"{wrong} of {len(sets)} wrong at 0.6 T"


def bag_loop(rival: Any, *, seconds: float = 30.0, seed: int = 8) -> Found:
    """A bag played twice: sets of the second pass by its cloud stamps, with and without a looping clock.

    The second pass begins where the first one ends. With half a second of silence between them every
    sensor is LOST, and believed again a second later; that is measured apart.
    """
    first = list(samples(RIG, seconds, seed=seed))
    shares = {}
    for pause_s in (0.0, 0.5):
        for clock, loops in (("/clock loops", True), ("clock goes on", False)):
            shift_ns = round((seconds + pause_s) * NS)
            second = [
                replace(
                    item,
                    arrival_ns=item.arrival_ns + shift_ns,
                    received_ns=item.received_ns + (0 if loops else shift_ns),
                )
                for item in first
            ]
            drive = Drive().play(item for item in first if item.arrival_ns < second[0].arrival_ns)
            count = len(drive.sets)
            drive.play(second, tail_s=0.2)
            stamps_ns = {item.stamp_ns for item in drive.sets[count:]}
            clouds = [item.stamp_ns for item in second if item.modality is LIDAR]
            share = sum(stamp_ns in stamps_ns for stamp_ns in clouds) / len(clouds)
            shares[f"{clock}, {pause_s:g} s between"] = share
    theirs = QUOTED["loop"]
    if rival is not None:
        mine = Rival(rival, (CAMERA, LIDAR), queue=100).play(first)
        once = len(mine.sets)
        again = 100 * (len(mine.play(first).sets) - once) / max(once, 1)
        theirs = f"{again:.0f} % of the first pass (2 streams, queue 100)"
    seamless = min(share for name, share in shares.items() if name.endswith(" 0 s between"))
    paused = min(share for name, share in shares.items() if name.endswith("0.5 s between"))
    what = f"bag of {seconds:.0f} s looped: clouds of the second pass with a set"
    figures = (
        at_least(what, 100 * seamless, "%", 99),
        at_most(f"{what}, 0.5 s of silence between", 100 * paused, "%"),
    )
    return Found(figures, rival=theirs, raw=shares)


def poison(rival: Any, *, seconds: float = 12.0, seed: int = 9) -> Found:
    """Ten stamps that cannot be right, of lidar or camera, within two seconds; about 120 clouds in all."""
    shares = {}
    kinds: dict[str, float | None] = {**_POISON_S, "negative": None}
    for name, ahead_s in kinds.items():
        for victim in (LIDAR, CAMERA):
            items, good = _poisoned(seconds, seed, victim, ahead_s)
            drive = Drive().play(items, tail_s=0.2)
            stamps_ns = {item.stamp_ns for item in drive.sets}
            shares[f"{victim.value} {name}"] = sum(stamp_ns in stamps_ns for stamp_ns in good) / len(good)
    theirs = QUOTED["poison"]
    if rival is not None:
        items, good = _poisoned(seconds, seed, LIDAR, 1e9)
        found = Rival(rival, (CAMERA, LIDAR)).play(items).sets
        theirs = f"{100 * len(found) / len(good):.0f} % (1e9 s ahead, 2 streams)"
    what = "ten poison stamps: clouds with right stamps that get a set, worst"
    return Found([at_least(what, 100 * min(shares.values()), "%", 99)], rival=theirs, raw=shares)


def _poisoned(
    seconds: float, seed: int, victim: Modality, ahead_s: float | None
) -> tuple[list[Sample], list[int]]:
    """The samples with ten more of the victim's early on, and the clouds' right stamps."""
    rng = dice(seed)
    items = list(samples(RIG, seconds, seed=seed))
    mine = [item for item in items if item.modality is victim and NS < item.stamp_ns - START_NS < 3 * NS]
    extra = [_wrong(item, ahead_s) for item in rng.sample(mine, 10)]
    good = [item.stamp_ns for item in items if item.modality is LIDAR]
    return sorted([*items, *extra], key=lambda item: item.arrival_ns), good


def _wrong(item: Sample, ahead_s: float | None) -> Sample:
    """The same sensor a millisecond later with a stamp that is off by `ahead_s`; None: below zero."""
    at_ns = item.arrival_ns + NS // 1000
    stamp_ns = -5 * NS if ahead_s is None else item.stamp_ns + round(ahead_s * NS)
    return replace(
        item, stamp_ns=stamp_ns, arrival_ns=at_ns, received_ns=at_ns, fingerprint=item.fingerprint + 1
    )
