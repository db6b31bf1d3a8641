"""The front end: messages of any kind in, sets and state changes out, nothing raised for a bad one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import LATENCY_NS, MS, PERIOD_NS, S, imu_message, sample, timeline

from sentryfuse_core.config import Config
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.health import ImageStats
from sentryfuse_core.health.heartbeat import Stall
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.types import (
    Absence,
    ImuReading,
    Modality,
    ModalitySet,
    Sample,
    SensorState,
    SyncedSet,
    Transition,
)

CAMERA, LIDAR, IMU, AUDIO = Modality


def _trusted(
    ingest: Ingest, samples: Iterable[Sample]
) -> list[tuple[SyncedSet, tuple[str, ...], dict[str, Absence]]]:
    found = []
    for item in samples:
        ingest.sample(item)
        found += [(synced, *ingest.trust(synced)) for synced in ingest.take()]
    return found


def _run(ingest: Ingest, samples: Iterable[Sample]) -> list[SyncedSet]:
    return [synced for synced, *_ in _trusted(ingest, samples)]


class Hostile:
    """A message that nobody foresaw."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("boom")


def _imu_message(stamp_ns: int, **changes: Any) -> Any:
    accel = (0.1, 0.1, 9.81 + stamp_ns // MS % 1000 / 1e6)
    return imu_message(accel=accel, stamp_ns=stamp_ns, **changes)


def _send(ingest: Ingest, item: Any, arrival_ns: int) -> None:
    ingest.message(IMU, item, type_name="sensor_msgs/msg/Imu", arrival_ns=arrival_ns, received_ns=arrival_ns)


def test_ingest_gives_sets_when_messages_come() -> None:
    ingest = Ingest(Config())
    for step in range(100):
        _send(ingest, _imu_message(S + step * 5 * MS), S + step * 5 * MS)
    sets = ingest.take()
    assert len(sets) == 4  # the first after what would anchor was waited for
    assert ingest.trust(sets[-1])[0] == (IMU,)
    assert ingest.take() == []


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (object(), "wrong_type"),
        (Hostile(), "unreadable"),
        (_imu_message(-S), "negative_stamp"),
        (_imu_message(S, angular_velocity=None), "wrong_type"),
        (_imu_message(3600 * S), "future_stamp"),
    ],
    ids=["object", "hostile", "negative", "field", "future"],
)
def test_ingest_counts_the_reason_and_goes_on_when_a_message_is_bad(item: Any, reason: str) -> None:
    ingest = Ingest(Config())
    for step in range(10):
        _send(ingest, _imu_message(S + step * 5 * MS), S + step * 5 * MS)
    _send(ingest, item, S + 50 * MS)
    _send(ingest, _imu_message(S + 55 * MS), S + 55 * MS)
    report = ingest.reports(S + 60 * MS)[IMU]
    assert dict(report.invalid_reasons) == {reason: 1}
    assert report.state is SensorState.OK
    assert not ingest.sync_counters()[IMU]  # counted once


def test_stamps_are_not_judged_when_simulated_time_has_not_begun() -> None:
    ingest = Ingest(Config())
    for item in timeline([LIDAR], 1.0, start_ns=100 * S):
        ingest.sample(replace(item, received_ns=0))
    report = ingest.reports(101 * S)[LIDAR]
    assert (report.state, report.invalid) == (SensorState.OK, 0)
    assert len(ingest.take()) == 10


@pytest.mark.parametrize(("lidar_hz", "every"), [(10, 1), (10, 3), (3, 1), (2, 2)])
def test_readings_are_all_that_the_imu_sent_when_sets_are_rare_or_skipped(lidar_hz: int, every: int) -> None:
    ingest, found, end_ns = Ingest(Config()), set[int](), 0
    for index, synced in enumerate(
        _run(ingest, timeline([LIDAR, IMU], 4.0, period_ns={LIDAR: S // lidar_hz}))
    ):
        if index % every == 0:
            stamps_ns = [item.stamp_ns for item in ingest.readings(synced)[IMU]]
            assert set(stamps_ns) >= {item.stamp_ns for item in synced.samples[IMU]}
            assert stamps_ns == sorted(set(stamps_ns))
            found.update(stamps_ns)
            end_ns = synced.stamp_ns
    assert found == set(range(S, end_ns + 1, PERIOD_NS[IMU]))


def test_readings_are_those_of_the_replay_when_a_set_is_handled_late() -> None:
    def stamps_ns(behind: int) -> list[list[int]]:
        ingest, waiting, found = Ingest(Config()), list[SyncedSet](), []
        for item in timeline([LIDAR, IMU], 3.0):
            ingest.sample(item)
            waiting += ingest.take()
            while len(waiting) > behind:
                readings = ingest.readings(waiting.pop(0))[IMU]
                found.append([one.stamp_ns for one in readings])
        return found

    at_once, late = stamps_ns(0), stamps_ns(2)
    assert len(late) > 20
    assert late == at_once[: len(late)]


def test_readings_leave_out_what_health_found_at_fault() -> None:
    ingest = Ingest(Config())
    good = [sample(IMU, S + step * 10 * MS) for step in range(30)]
    bad = ImuReading(np.array([0.0, 40.0, 0.0]), np.array([0.0, 0.0, 9.81]))
    synced = _run(ingest, [*good[:10], replace(good[10], payload=bad), *good[11:]])[-1]
    stamps_ns = [item.stamp_ns for item in ingest.readings(synced)[IMU]]
    wanted = [item.stamp_ns for item in good if item is not good[10] and item.stamp_ns <= synced.stamp_ns]
    assert stamps_ns == wanted


def test_readings_are_of_the_epoch_of_the_set_when_time_jumped() -> None:
    ingest = Ingest(Config())
    _run(ingest, timeline([LIDAR, IMU], 2.0, start_ns=100 * S))
    ingest.jump(103 * S)
    ingest.take()
    again = [
        replace(item, arrival_ns=item.arrival_ns + 100 * S)
        for item in timeline([LIDAR, IMU], 1.0, start_ns=5 * S)
    ]
    first = next(synced for synced in _run(ingest, again) if synced.epoch == ingest.epoch)
    stamps_ns = [item.stamp_ns for item in ingest.readings(first)[IMU]]
    assert stamps_ns == list(range(5 * S, first.stamp_ns + 1, PERIOD_NS[IMU]))


@pytest.mark.parametrize("dies", list(Modality))
def test_trust_names_the_reason_in_every_phase_when_a_sensor_dies_and_returns(dies: Modality) -> None:
    found = _trusted(Ingest(Config()), timeline(Modality, 8.0, dead=[(dies, 2.0, 4.0)]))
    reasons = [absent.get(dies) for _, _, absent in found]
    phases = [
        reason for before, reason in zip([object(), *reasons], reasons, strict=False) if reason is not before
    ]
    while phases[:2] in (
        [Absence.NEVER, None],
        [Absence.NEVER, Absence.RECOVERING],
        [Absence.RECOVERING, None],
    ):
        phases.pop(0)
    silent = [reason for reason in phases if reason is not Absence.LATE]
    assert silent == [None, Absence.LOST, Absence.RECOVERING, None]
    assert all((dies in mask) == (dies not in absent) for _, mask, absent in found)
    others = [set(absent) - {dies} for synced, _, absent in found if synced.stamp_ns > 1.5 * S]
    assert not any(others)


def test_trust_says_never_or_invalid_when_a_sensor_has_not_given_anything() -> None:
    ingest = Ingest(Config())
    found = _trusted(ingest, timeline([LIDAR], 1.0))
    assert found[-1][2][CAMERA] is Absence.NEVER
    ingest.reject(CAMERA, InvalidMessageError("truncated", "7 bytes of 9"), 2 * S)
    found = _trusted(ingest, timeline([LIDAR], 1.0, start_ns=2 * S))
    assert found[0][2][CAMERA] is Absence.INVALID
    assert found[0][2][IMU] is Absence.NEVER


def test_lost_is_declared_on_time_when_deadlines_are_kept() -> None:
    ingest = Ingest(Config())
    _run(ingest, timeline(Modality, 3.0))
    last_ns = {m: max(range(S, 4 * S, PERIOD_NS[m])) + LATENCY_NS[m] for m in Modality}
    timeout_ns = {CAMERA: 200 * MS, LIDAR: 350 * MS, IMU: 250 * MS, AUDIO: 200 * MS}
    lost: dict[Modality, Transition] = {}
    while (deadline_ns := ingest.next_deadline_ns()) is not None:
        ingest.advance(deadline_ns)
        lost.update(
            {item.modality: item for item in ingest.take_transitions() if item.after is SensorState.LOST}
        )
    assert set(lost) == set(Modality)
    for modality, transition in lost.items():
        late_ns = transition.at_ns - last_ns[modality] - timeout_ns[modality]
        assert 0 <= late_ns <= 20 * MS


def test_wait_ends_when_a_dead_sensor_is_declared_lost() -> None:
    found = _trusted(Ingest(Config()), timeline(Modality, 4.0, dead=[(CAMERA, 2.0, 9.0)]))
    waits = {synced.wait_ns for synced, _, absent in found if absent.get(CAMERA) is Absence.LATE}
    after = {synced.wait_ns for synced, _, absent in found if absent.get(CAMERA) is Absence.LOST}
    assert max(waits) == 50 * MS
    assert max(sorted(after)[:-1]) <= 11 * MS  # the audio block that ends the window; the first was cut short


def test_live_equals_replay_when_the_timer_of_the_live_run_is_late() -> None:
    samples = timeline(Modality, 4.0, dead=[(LIDAR, 1.5, 2.5), (CAMERA, 2.0, 3.0)])

    def shape(sets: list[SyncedSet]) -> list[tuple[int, int, int]]:
        return [(synced.stamp_ns, synced.released_ns, synced.present.bits) for synced in sets]

    replayed = Ingest(Config())
    expected = _run(replayed, samples)
    live, sets = Ingest(Config()), []
    for before, item in itertools.pairwise(samples):
        live.sample(before)
        live.advance((before.arrival_ns + item.arrival_ns) // 2)
        sets += live.take()
    live.sample(samples[-1])
    sets += live.take()
    assert shape(sets) == shape(expected)
    assert live.take_transitions() == replayed.take_transitions()


def test_jump_begins_an_epoch_and_loses_no_sensor() -> None:
    ingest = Ingest(Config())
    _run(ingest, timeline(Modality, 2.0, start_ns=50 * S))
    ingest.jump(52 * S)
    again = [
        sample(i.modality, i.stamp_ns - 50 * S, arrival_ns=i.arrival_ns)
        for i in timeline(Modality, 2.0, start_ns=52 * S)
    ]
    sets = _run(ingest, again)
    assert ingest.epoch == 1
    assert len(sets) >= 19
    assert ingest.trust(sets[-1])[0] == tuple(Modality)
    assert all(report.out_of_order == 0 for report in ingest.reports(55 * S).values())


@pytest.mark.parametrize("clock_after_ns", [60 * MS, 300 * MS])
def test_one_epoch_begins_when_the_clock_follows_stamps_that_went_back(clock_after_ns: int) -> None:
    ingest = Ingest(Config())
    _run(ingest, timeline(Modality, 2.0, start_ns=50 * S))
    jump_ns = 52 * S + clock_after_ns
    again = [
        replace(
            i,
            stamp_ns=i.stamp_ns - 2 * S,
            received_ns=i.arrival_ns - (2 * S if i.arrival_ns >= jump_ns else 0),
        )
        for i in timeline(Modality, 2.0, start_ns=52 * S)
    ]
    before = _run(ingest, [i for i in again if i.arrival_ns < jump_ns])
    ingest.jump(jump_ns)
    sets = before + ingest.take() + _run(ingest, [i for i in again if i.arrival_ns >= jump_ns])
    assert ingest.epoch == 1
    assert len([synced for synced in sets if synced.epoch == 1]) >= 19


@pytest.mark.parametrize("mask", [ModalitySet.all(), ModalitySet.of(CAMERA)], ids=str)
def test_frozen_camera_is_left_out_at_once_and_named_lost(mask: ModalitySet) -> None:
    """Also where it is the only sensor: sets that say that nothing is usable keep coming."""
    samples = [
        replace(item, fingerprint=0) if item.modality is CAMERA and item.stamp_ns > 2 * S else item
        for item in timeline(mask, 4.0)
    ]
    found = [
        (used, absent)
        for synced, used, absent in _trusted(Ingest(Config()), samples)
        if synced.stamp_ns > 2.5 * S
    ]
    assert len(found) >= 20 or mask == ModalitySet.all()
    assert {used for used, _ in found} == {tuple(mask - ModalitySet.of(CAMERA))}
    assert {absent[CAMERA] for _, absent in found} == {Absence.LOST}


def test_sets_keep_coming_in_order_when_sensors_come_and_go_at_random() -> None:
    random = np.random.default_rng(5)
    dead = []
    for modality in Modality:
        time_s = 0.0
        while time_s < 60.0:
            begin_s = time_s + random.exponential(6.0)
            time_s = begin_s + random.exponential(4.0)
            dead.append((modality, begin_s, time_s))
    samples = timeline(Modality, 60.0, dead=dead)
    sets = _run(Ingest(Config()), samples)
    arrivals_ns = [item.arrival_ns for item in samples]
    for before, after in itertools.pairwise(sets):
        assert after.stamp_ns > before.stamp_ns
        begin_ns, end_ns = before.released_ns, after.released_ns
        heard_ns = [begin_ns, *(at_ns for at_ns in arrivals_ns if begin_ns < at_ns < end_ns), end_ns]
        quiet_ns = max(b - a for a, b in itertools.pairwise(heard_ns))
        assert end_ns - begin_ns <= 190 * MS + quiet_ns
    for modality in (CAMERA, LIDAR):
        used = [synced.samples[modality][0].stamp_ns for synced in sets if modality in synced.samples]
        assert len(used) == len(set(used))
    assert len({synced.present.bits for synced in sets}) >= 12


def test_black_images_degrade_the_camera_but_keep_it_in_the_mask() -> None:
    ingest = Ingest(Config())
    for synced, *_ in _trusted(ingest, timeline(Modality, 2.0)):
        ingest.observe_decoded(CAMERA, ImageStats(0.0, 0.0), synced.released_ns)
    assert ingest.reports(3 * S)[CAMERA].state is SensorState.DEGRADED
    changes = [(item.modality, item.after) for item in ingest.take_transitions()]
    assert changes[-1] == (CAMERA, SensorState.DEGRADED)


@pytest.mark.parametrize("callback_raises", [False, True])
def test_ready_callback_may_call_back_and_may_raise(*, callback_raises: bool) -> None:
    taken: list[SyncedSet] = []
    ingest: Ingest

    def on_ready() -> None:
        taken.extend(ingest.take())
        if callback_raises:
            raise RuntimeError("boom")

    ingest = Ingest(Config(), on_ready=on_ready)
    for item in timeline(Modality, 2.0):
        ingest.sample(item)
    assert len(taken) >= 19
    assert (ingest.callback_errors > 0) == callback_raises


def test_oldest_sets_go_first_when_nobody_takes_them() -> None:
    ingest = Ingest(Config())
    for item in timeline([LIDAR], 10.0):
        ingest.sample(item)
    sets = ingest.take()
    assert len(sets) + ingest.overflowed == 100
    assert ingest.overflowed > 0
    assert sets[-1].stamp_ns == S + 9900 * MS


def test_ingest_keeps_order_when_threads_call_it_at_once() -> None:
    ingest = Ingest(Config())
    sets: list[SyncedSet] = []
    done = threading.Event()

    def feed(modality: Modality) -> Callable[[], None]:
        def run() -> None:
            for item in timeline([modality], 3.0):
                ingest.sample(item)

        return run

    def work() -> None:
        while not done.wait(0.001):
            sets.extend(ingest.take())
            ingest.reports(S)

    worker = threading.Thread(target=work)
    feeders = [threading.Thread(target=feed(modality)) for modality in Modality]
    for thread in (worker, *feeders):
        thread.start()
    for thread in feeders:
        thread.join(30.0)
    done.set()
    worker.join(30.0)
    sets += ingest.take()
    assert [synced.sequence for synced in sets] == sorted({synced.sequence for synced in sets})
    assert sets


def _stall(start_ns: int, end_ns: int) -> Stall:
    return Stall(start_ns, end_ns, (end_ns - start_ns) / S, "stopped")


def _held_up(samples: Iterable[Sample], start_ns: int, end_ns: int, *, kept: int | None) -> list[Sample]:
    """What came from `start_ns` to `end_ns` arrives at the end, of each sensor the newest `kept` ones."""
    before, during, after = [], {modality: [] for modality in Modality}, []
    for item in samples:
        if item.arrival_ns < start_ns:
            before.append(item)
        elif item.arrival_ns < end_ns:
            during[item.modality].append(item)
        else:
            after.append(item)
    burst = sorted(
        (item for items in during.values() for item in items[-(kept or len(items)) :]),
        key=lambda item: item.arrival_ns,
    )
    late = [replace(item, arrival_ns=end_ns, received_ns=end_ns) for item in burst]
    return [*before, *late, *after]


@pytest.mark.parametrize("kept", [None, 5])
def test_no_sensor_is_blamed_when_the_node_did_not_run(kept: int | None) -> None:
    """Three stops of 0.7 s within 5 s: what waited comes in a burst, or has overflowed its queue."""
    ingest = Ingest(Config())
    samples = list(timeline(Modality, 14.0))
    stops = [(at_ns, at_ns + 700 * MS) for at_ns in (S + 5 * S, S + 7 * S, S + 9 * S)]
    for start_ns, end_ns in stops:
        samples = _held_up(samples, start_ns, end_ns, kept=kept)
    waiting = iter(stops)
    stop = next(waiting)
    sets = []
    for item in samples:
        if stop is not None and item.arrival_ns >= stop[1]:
            ingest.advance(stop[1], heard_ns=stop[0])  # the worker wakes first
            ingest.stalled(_stall(*stop))
            stop = next(waiting, None)
        ingest.sample(item)
        sets += [(synced, ingest.trust(synced)[0]) for synced in ingest.take()]
    changes = [(item.modality, item.after) for item in ingest.take_transitions()]
    assert sorted(changes) == sorted((modality, SensorState.OK) for modality in Modality)
    reports = ingest.reports(15 * S)
    undisturbed = Ingest(Config())
    _run(undisturbed, timeline(Modality, 14.0))
    assert [r.late for r in reports.values()] == [r.late for r in undisturbed.reports(15 * S).values()]
    assert sets[-1][1] == tuple(Modality)
    assert all(synced.anchor == LIDAR for synced, _ in sets[5:])  # no set without eyes is made of the stop
    for modality, report in reports.items():
        assert report.expected_hz == pytest.approx(S / PERIOD_NS[modality], rel=0.05)


@pytest.mark.parametrize(("after_ms", "state"), [(100, SensorState.OK), (400, SensorState.DEGRADED)])
def test_low_trust_is_no_fault_of_a_sensor_when_the_node_has_just_stood_still(
    after_ms: int, state: SensorState
) -> None:
    ingest = Ingest(Config())
    for item in timeline([Modality.AUDIO], 4.0):
        ingest.sample(item)
    ingest.stalled(_stall(4 * S, 5 * S))
    for _ in range(20):
        ingest.observe_trust("audio", 0.1, poor=True, now_ns=5 * S + after_ms * MS)
    assert ingest.reports(4 * S)["audio"].state is state


def test_sensor_that_spoke_last_before_a_stall_is_not_lost_when_that_is_heard_after_it() -> None:
    """Its message had come, and the executor was stopped before it took it."""
    ingest = Ingest(Config())
    samples = list(timeline([IMU], 6.0))
    for item in samples:
        if item.arrival_ns < 4 * S:
            ingest.sample(item)
    ingest.stalled(_stall(4 * S - 20 * MS, 5 * S))
    for item in samples:
        if 4 * S <= item.arrival_ns < 4 * S + 20 * MS or item.arrival_ns >= 5 * S:
            ingest.sample(item)
    assert [item.after for item in ingest.take_transitions()] == [SensorState.OK]


def test_nobody_is_found_silent_when_the_node_has_not_listened_since() -> None:
    ingest = Ingest(Config())
    for item in timeline([LIDAR], 3.0):
        ingest.sample(item)
    ingest.advance(9 * S, heard_ns=4 * S)
    assert ingest.reports(9 * S)[LIDAR].state is SensorState.OK
    ingest.advance(9 * S)
    assert ingest.reports(9 * S)[LIDAR].state is SensorState.LOST


def test_dead_sensor_is_found_when_the_node_is_held_up_again_and_again() -> None:
    """Time in which the node listens adds up, however little of it there is."""
    ingest = Ingest(Config())
    dead_ns = 4 * S
    for item in timeline(Modality, 20.0, dead=[(CAMERA, 3.0, 20.0)]):
        if item.arrival_ns % (300 * MS) < PERIOD_NS[IMU] and item.arrival_ns > dead_ns:
            ingest.stalled(_stall(item.arrival_ns - 200 * MS, item.arrival_ns))
        ingest.sample(item)
        if ingest.reports(item.arrival_ns)[CAMERA].state is SensorState.LOST:
            break
    assert ingest.reports(item.arrival_ns)[CAMERA].state is SensorState.LOST
    assert item.arrival_ns < dead_ns + 2 * S
