"""Rows of the table on streams that are lost: sets for live anchors, waits, silence, LOST, flapping.

A live anchor stamp belongs to the highest-priority stream (lidar, camera, audio, IMU) whose source is
really sending then. Two readings are measured: of all that send, whatever the health monitor holds of
them; and of those that it believes (neither LOST nor RECOVERING), so that the hold after a return is not
counted, but the time until a loss is noticed is. A stamp is covered by a set whose stamp lies within half
a period of it: while a returned lidar is not yet believed, the camera's sets cover its moments. Audio and
the IMU give a set at least every 0.12 s, so their moments are taken every 0.12 s.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from benchmarks.sync_rivals import QUOTED, Rival
from benchmarks.sync_streams import NS, RIG, START_NS, Drive, Found, dice, samples, stream
from sentryfuse_core.lab.bench.results import at_least, at_most
from sentryfuse_core.types import Modality, ModalitySet, SensorState

__all__ = ["any_subset_lost", "dead_stream_wait", "duty_cycle", "lost_declared", "one_lost", "silence"]

CAMERA, LIDAR, IMU, AUDIO = Modality
_RANKED = (LIDAR, CAMERA, AUDIO, IMU)
_COARSE_S = 0.12  # longest distance of two sets that audio anchors or ticks carry
Phases = Sequence[tuple[float, ModalitySet]]  # begin in s, who sends from then on


def one_lost(rival: Any, *, seconds: float = 600.0, seed: int = 1) -> Found:
    """Each stream in turn lost for good after 10 s: live anchor stamps from then on, handover included."""
    shares, exact, rivals = {}, {}, {}
    for lost in Modality:
        phases = [(0.0, ModalitySet.all()), (10.0, ModalitySet.all() - ModalitySet.of(lost))]
        items = list(samples(RIG, seconds, seed=seed, alive=_alive(phases)))
        drive = Drive().play(items, tail_s=0.2)
        served = Served(drive, phases, seconds, seed=seed, since_s=10.0)
        shares[lost.value], exact[lost.value] = served.covered, served.carried
        if rival is not None:
            after_ns = START_NS + round(10.1 * NS)
            part = [item for item in items if item.stamp_ns < START_NS + 30 * NS]
            rivals[lost.value] = sum(
                group[0].stamp_ns > after_ns for group in Rival(rival, tuple(Modality)).play(part).sets
            )
    name = f"one of 4 lost for {seconds - 10:.0f} s: live anchor stamps"
    return Found(
        (
            at_least(f"{name} with a set, worst", 100 * min(exact.values()), "%", 99.9),
            at_most(f"{name} with a set within half a period, worst", 100 * min(shares.values()), "%"),
        ),
        rival=f"{sum(rivals.values())} sets after the loss" if rivals else QUOTED["one_lost"],
        raw={"covered": shares, "carried": exact, "message_filters_sets_after_loss": rivals},
    )


def any_subset_lost(_rival: Any, *, seconds: float = 600.0, seed: int = 2) -> Found:
    """All 15 masks at random times: coverage, duplicates and order."""
    phases = _all_masks(seconds, seed)
    visited = {mask for _, mask in phases}
    if visited != set(ModalitySet.subsets()):
        raise AssertionError(f"only {len(visited)} of 15 masks visited")
    drive = Drive().play(samples(RIG, seconds, seed=seed, alive=_alive(phases)), tail_s=0.2)
    served = Served(drive, phases, seconds, seed=seed, since_s=0.5)
    moments = [(item.epoch, item.stamp_ns) for item in drive.sets]
    members = Counter(
        (m, item.epoch, item.samples[m][0].stamp_ns)
        for item in drive.sets
        for m in (CAMERA, LIDAR)
        if m in item.samples
    )
    duplicates = len(moments) - len(set(moments)) + sum(count - 1 for count in members.values())
    disorder = sum(later <= earlier for earlier, later in pairwise(moments))
    name = "any subset lost"
    where = f"{name}, {seconds:.0f} s, {len(visited)} masks"
    sending = f"{name}: stamps of the best sensor sending, believed or not, with a set"
    raw = {
        "phases": len(phases),
        "masks": len(visited),
        "sets": len(drive.sets),
        "epochs": drive.ingest.epoch,
        "seed": seed,
        "carried": served.carried,
    }
    figures = (
        at_least(f"{where}: stamps of the best sensor believed with a set", 100 * served.believed, "%", 99.5),
        at_least(sending, 100 * served.covered, "%", 99.5),
        at_most(f"{name}: duplicates", duplicates, "", 0),
        at_most(f"{name}: sets out of order", disorder, "", 0),
    )
    return Found(figures, raw=raw)


def dead_stream_wait(_rival: Any, *, seconds: float = 20.0, seed: int = 3, trials: int = 5) -> Found:
    """Waits against those of a twin run in which the dead stream never spoke, per set with the same stamp."""
    until, after = 0, 0
    for lost in (CAMERA, IMU, AUDIO):
        for trial in range(trials):
            dies_s = 5.0 + dice(seed + trial).random()
            phases = [(0.0, ModalitySet.all()), (dies_s, ModalitySet.all() - ModalitySet.of(lost))]
            items = list(samples(RIG, seconds, seed=seed + trial, alive=_alive(phases)))
            drive = Drive().play(items, tail_s=0.2)
            twin = Drive().play((item for item in items if item.modality is not lost), tail_s=0.2)
            waits_ns = {item.stamp_ns: item.wait_ns for item in twin.sets}
            lost_ns = drive.lost_at_ns(lost)
            if lost_ns is None:
                return Found([at_most("wait added by a dead stream", float("nan"), "ms", 50)])
            dead_ns = START_NS + round(dies_s * NS)
            for item in drive.sets:
                added_ns = item.wait_ns - waits_ns.get(item.stamp_ns, 0)
                if item.released_ns > lost_ns:
                    after = max(after, added_ns)
                elif item.stamp_ns >= dead_ns:
                    until = max(until, added_ns)
    figures = (
        at_most("wait added by a dead stream until LOST, longest", until / 1e6, "ms", 50),
        at_most("wait added by a dead stream after LOST, longest", after / 1e6, "ms", 0),
    )
    return Found(figures, rival="unbounded")


def silence(_rival: Any, *, trials: int = 40, seed: int = 4) -> Found:
    """Longest time between two sets around the death of the anchor, over many phases."""
    figures = []
    for dies, alive in ((LIDAR, ModalitySet.all()), (CAMERA, ModalitySet.all() - ModalitySet.of(LIDAR))):
        longest_ns = 0
        for trial in range(trials):
            dies_s = 4.0 + dice(seed * 1000 + trial).random()
            phases = [(0.0, alive), (dies_s, alive - ModalitySet.of(dies))]
            drive = Drive().play(samples(RIG, 7.0, seed=seed + trial, alive=_alive(phases)))
            released_ns = [item.released_ns for item in drive.sets if item.stamp_ns > START_NS + 3 * NS]
            longest_ns = max(longest_ns, *(later - earlier for earlier, later in pairwise(released_ns)))
        sync = drive.config.sync
        target_ms = 1e3 * (1 / RIG[dies].rate_hz + sync.max_wait_s + sync.slop_s)
        what = f"longest silence when the anchor dies ({dies.value}, {trials} times)"
        figures.append(at_most(what, longest_ns / 1e6, "ms", round(target_ms, 1)))
    return Found(figures, rival="for ever")


def lost_declared(_rival: Any, *, trials: int = 10, seed: int = 5) -> Found:
    """Steady time from the timeout after the last message to LOST; simulated, so no scheduler adds to it."""
    worst_ns = 0
    for lost in Modality:
        for trial in range(trials):
            dies_s = 4.0 + dice(seed * 1000 + trial).random()
            phases = [(0.0, ModalitySet.all()), (dies_s, ModalitySet.all() - ModalitySet.of(lost))]
            items = list(samples(RIG, 7.0, seed=seed + trial, alive=_alive(phases)))
            drive = Drive().play(items)
            health = drive.config.health
            floor_s = getattr(health, f"timeout_floor_{lost.value}_s")
            timeout_s = max(floor_s, health.timeout_periods / RIG[lost].rate_hz)
            last_ns = max(item.arrival_ns for item in items if item.modality is lost)
            at_ns = drive.lost_at_ns(lost)
            late_ns = 10 * NS if at_ns is None else at_ns - last_ns - round(timeout_s * NS)
            worst_ns = max(worst_ns, late_ns)
    return Found([at_most("LOST declared after its timeout, latest", worst_ns / 1e6, "ms", 20)])


def duty_cycle(
    _rival: Any,
    *,
    seconds: float = 60.0,
    seed: int = 6,
    periods_s: Sequence[float] = (0.5, 1.0, 2.0, 4.0, 8.0),
) -> Found:
    """Half of each period without a sensor: how often its state changes."""
    changes: dict[str, int] = {}
    for modality in Modality:
        for period_s in periods_s:
            alive = {modality: _half(period_s)}
            drive = Drive().play(samples(RIG, 5.0 + seconds, seed=seed, alive=alive))
            count = sum(
                t.modality is modality and t.before is not SensorState.INIT for t in drive.transitions
            )
            changes[f"{modality.value} {period_s:g} s"] = count
    what = f"50 % duty cycle for {seconds:.0f} s: state changes, worst of {len(changes)}"
    return Found([at_most(what, max(changes.values()), "", 6)], raw=changes)


def _half(period_s: float) -> Callable[[float], bool]:
    return lambda at_s: at_s < 5.0 or (at_s - 5.0) % period_s >= period_s / 2


def _alive(phases: Phases) -> Mapping[Modality, Callable[[float], bool]]:
    begins = [begin_s for begin_s, _ in phases]

    def sending(modality: Modality) -> Callable[[float], bool]:
        return lambda at_s: modality in phases[bisect_right(begins, at_s) - 1][1]

    return {modality: sending(modality) for modality in Modality}


def _all_masks(seconds: float, seed: int) -> Phases:
    """Every non-empty mask at least once, in random order, each for 0.3 to 1.7 of its share of the time."""
    rng = dice(seed)
    masks = list(ModalitySet.subsets()) * max(1, round(seconds / 15 / 13))
    rng.shuffle(masks)
    lengths = [0.3 + 1.4 * rng.random() for _ in masks]
    scale = seconds / sum(lengths)
    begins = [scale * sum(lengths[:index]) for index in range(len(masks))]
    return list(zip(begins, masks, strict=True))


class Served:
    """Shares, 0..1, of the live anchor stamps after `since_s` that sets served.

    `covered`: of all that send, by a set within half a period; `believed`: the same of those that the
    health monitor believes; `carried`: lidar's and camera's that send, by a set with that very stamp.
    """

    def __init__(self, drive: Drive, phases: Phases, seconds: float, *, seed: int, since_s: float) -> None:
        self._stamps_ns = sorted(item.stamp_ns for item in drive.sets)
        known = set(self._stamps_ns)
        alive = _alive(phases)
        sent = {m: _moments_ns(m, seconds, seed, alive[m]) for m in Modality}
        believed = {m: _believes(drive, m) for m in Modality}
        totals: Counter[str] = Counter()
        for reading in ("covered", "believed"):
            for anchor in Modality:
                reach_ns = round(
                    0.5 * NS * (_COARSE_S if anchor in (IMU, AUDIO) else 1 / RIG[anchor].rate_hz)
                )
                better = _RANKED[: _RANKED.index(anchor)]
                for moment_ns in sent[anchor]:
                    at_s = (moment_ns - START_NS) / NS
                    heard_ns = moment_ns + round(RIG[anchor].lag_s * NS)
                    doubted = [m for m in Modality if reading == "believed" and not believed[m](heard_ns)]
                    if at_s < since_s or anchor in doubted:
                        continue
                    if any(alive[m](at_s) and m not in doubted for m in better):
                        continue
                    totals[reading] += 1
                    totals[f"{reading} served"] += self._near(moment_ns, reach_ns)
                    if reading == "covered" and anchor in (LIDAR, CAMERA):
                        totals["carried"] += 1
                        totals["carried served"] += moment_ns in known
        self.covered, self.believed, self.carried = (
            totals[f"{name} served"] / totals[name] for name in ("covered", "believed", "carried")
        )

    def _near(self, moment_ns: int, reach_ns: int) -> bool:
        index = bisect_left(self._stamps_ns, moment_ns - reach_ns)
        return index < len(self._stamps_ns) and self._stamps_ns[index] <= moment_ns + reach_ns


def _moments_ns(modality: Modality, seconds: float, seed: int, alive: Callable[[float], bool]) -> list[int]:
    """What an anchor's sets are expected at: its stamps, or every 0.12 s while it sends."""
    if modality in (LIDAR, CAMERA):
        sent = stream(modality, RIG[modality], seconds, seed=seed, alive=alive)
        return [item.stamp_ns for item in sent]
    steps = (index * _COARSE_S for index in range(int(seconds / _COARSE_S)))
    return [START_NS + round(at_s * NS) for at_s in steps if alive(at_s)]


def _believes(drive: Drive, modality: Modality) -> Callable[[int], bool]:
    """Whether the sensor is neither LOST nor RECOVERING at a steady time."""
    mine = [change for change in drive.transitions if change.modality is modality]
    times_ns = [change.at_ns for change in mine]

    def believes(at_ns: int) -> bool:
        last = bisect_right(times_ns, at_ns) - 1
        return last < 0 or mine[last].after not in (SensorState.LOST, SensorState.RECOVERING)

    return believes
