"""The synchroniser's promises, one by one: when a set comes out, and why a sample is missing from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest
from builders import LATENCY_NS, MS, PERIOD_NS, S, sample, timeline

from sentryfuse_core.config import Config, SyncConfig, override
from sentryfuse_core.sync import Synchronizer, streams, synced_set
from sentryfuse_core.types import Absence, Modality, ModalitySet, Sample, SyncedSet

CAMERA, LIDAR, IMU, AUDIO = Modality
CONFIG = Config()
MAX_WAIT_NS = 50 * MS
SLOP_NS = 40 * MS


def _synchronizer(**sync: float) -> Synchronizer:
    config = override(CONFIG, {f"sync.{name}": value for name, value in sync.items()})
    return Synchronizer(config.sync, streams(config))


def _add(synchronizer: Synchronizer, item: Sample) -> list[SyncedSet]:
    return [synced_set(found, Modality) for found in synchronizer.add(item.modality, item)]


def _run(samples: Iterable[Sample], synchronizer: Synchronizer | None = None) -> list[SyncedSet]:
    synchronizer = synchronizer or _synchronizer()
    return [synced for item in samples for synced in _add(synchronizer, item)]


def _check_order(sets: list[SyncedSet]) -> None:
    assert [synced.sequence for synced in sets] == list(range(len(sets)))
    for before, after in itertools.pairwise(sets):
        assert after.epoch > before.epoch or after.stamp_ns > before.stamp_ns


@pytest.mark.parametrize("mask", ModalitySet.subsets(), ids=str)
def test_synchronizer_gives_sets_when_only_some_sensors_ever_start(mask: ModalitySet) -> None:
    sets = _run(timeline(mask, 3.0))
    _check_order(sets)
    assert 27 <= len(sets) <= 46
    assert all(synced.present == mask for synced in sets[3:])
    assert all(synced.absent[m] is Absence.NEVER for synced in sets[3:] for m in ModalitySet.all() - mask)
    assert all(set(synced.samples) | set(synced.absent) == set(Modality) for synced in sets)
    anchor = next((modality for modality in (LIDAR, CAMERA, AUDIO) if modality in mask), None)
    assert {synced.anchor for synced in sets[3:]} == {anchor}


@pytest.mark.parametrize("goes_back", [False, True])
def test_no_set_is_of_the_imu_alone_when_it_speaks_a_moment_before_the_others(*, goes_back: bool) -> None:
    """As at every start, and after every jump of time: the lidar's first cloud would come too late for it."""
    synchronizer = _synchronizer()
    samples = list(timeline([CAMERA, LIDAR, IMU], 1.0))
    if goes_back:
        later = [replace(item, arrival_ns=item.arrival_ns + S) for item in samples]
        samples = [replace(item, stamp_ns=item.stamp_ns + 100 * S, received_ns=0) for item in samples] + later
    assert samples[0].modality is IMU
    sets = _run(samples, synchronizer)
    assert synchronizer.epoch == goes_back
    assert {synced.anchor for synced in sets} <= {CAMERA, LIDAR}
    assert next(synced.stamp_ns for synced in sets if synced.epoch == goes_back) < 1.2 * S


def test_set_goes_out_at_once_when_every_live_stream_is_past_it() -> None:
    synchronizer = _synchronizer()
    _run(timeline([CAMERA, LIDAR, IMU], 1.0), synchronizer)
    _run([sample(IMU, 2 * S + step * 5 * MS) for step in range(10)], synchronizer)
    _run(
        [sample(CAMERA, 2 * S + stamp_ns, arrival_ns=2 * S + 45 * MS) for stamp_ns in (0, 67 * MS)],
        synchronizer,
    )
    [synced] = _add(synchronizer, sample(LIDAR, 2 * S + 40 * MS, arrival_ns=2 * S + 46 * MS))
    assert synced.wait_ns == 0
    assert synced.offset_ns(CAMERA) == 27 * MS
    assert [item.stamp_ns for item in synced.samples[IMU]] == [
        2 * S + step * 5 * MS for step in range(-11, 9)
    ]


@pytest.mark.parametrize("block_ns", [20 * MS, 64 * MS, 100 * MS])
def test_set_has_sound_from_the_begin_of_its_window_when_blocks_are_of_any_length(block_ns: int) -> None:
    latency_ns = {**LATENCY_NS, AUDIO: block_ns + MS}
    samples = [
        replace(item, arrival_ns=item.stamp_ns + latency_ns[item.modality])
        for item in timeline([LIDAR, AUDIO], 4.0, period_ns={AUDIO: block_ns})
    ]
    sets = _run(sorted(samples, key=lambda item: item.arrival_ns))
    begins = [
        synced.samples[AUDIO][0].stamp_ns - (synced.stamp_ns - 200 * MS)
        for synced in sets
        if synced.stamp_ns > 2 * S
    ]
    assert len(begins) > 15
    assert all(-block_ns < begin <= 0 for begin in begins)


def test_set_has_no_sound_when_the_microphone_fell_silent_before_its_window() -> None:
    synchronizer = _synchronizer()
    sets = _run(timeline([LIDAR, AUDIO], 3.0, dead=[(AUDIO, 1.0, 9.0)]), synchronizer)
    after = [synced for synced in sets if synced.stamp_ns >= 2 * S + 220 * MS]
    assert after
    assert all(AUDIO not in synced.present for synced in after)


def test_set_goes_out_before_max_wait_when_the_period_proves_nothing_closer_can_come() -> None:
    samples = timeline([LIDAR, IMU], 2.0, period_ns={IMU: 8 * MS})
    sets = _run(samples)
    # The lidar arrives 10 ms after its stamp, by when the IMU has long been past it or is known to skip it.
    assert max(synced.wait_ns for synced in sets[3:]) == 0


def test_set_waits_max_wait_when_a_live_stream_may_still_send_something_closer() -> None:
    synchronizer = _synchronizer()
    sets = _run(timeline(Modality, 2.0, dead=[(CAMERA, 1.0, 9.0)]), synchronizer)
    after = [synced for synced in sets if synced.stamp_ns >= 2 * S]
    assert {synced.wait_ns for synced in after} == {MAX_WAIT_NS}
    assert {synced.absent[CAMERA] for synced in after} == {Absence.LATE}


def test_set_does_not_wait_when_a_stream_is_lost() -> None:
    synchronizer = _synchronizer()
    _run(timeline(Modality, 1.0), synchronizer)
    synchronizer.set_lost(ModalitySet.of(CAMERA))
    sets = _run(timeline(ModalitySet.of(LIDAR, IMU, AUDIO), 1.0, start_ns=2 * S), synchronizer)
    assert max(synced.wait_ns for synced in sets[2:]) <= 21 * MS
    assert {synced.absent[CAMERA] for synced in sets[2:]} == {Absence.LOST}


def test_sample_is_out_of_slop_when_the_nearest_is_too_far() -> None:
    samples = timeline([LIDAR, CAMERA], 2.0, period_ns={CAMERA: 500 * MS})
    sets = _run(samples)
    near = [synced for synced in sets if synced.stamp_ns % (500 * MS) == 0]
    far = [synced for synced in sets[2:] if synced.stamp_ns % (500 * MS)]
    assert all(CAMERA in synced.samples for synced in near[1:])
    assert {synced.absent[CAMERA] for synced in far[1:]} <= {Absence.OUT_OF_SLOP, Absence.LATE}
    assert Absence.OUT_OF_SLOP in {synced.absent[CAMERA] for synced in far}


@pytest.mark.parametrize("behind_ns", [200 * MS, 3 * 365 * 86_400 * S])
def test_stream_is_out_of_slop_and_not_waited_for_when_its_clock_is_behind(behind_ns: int) -> None:
    def shifted(item: Sample) -> Sample:
        behind = behind_ns if item.modality is CAMERA else 0
        return replace(
            item, stamp_ns=item.stamp_ns + 4 * 365 * 86_400 * S - behind, received_ns=item.received_ns * 2**40
        )

    sets = _run(shifted(item) for item in timeline([LIDAR, CAMERA, IMU], 3.0))[3:]
    assert {synced.absent[CAMERA] for synced in sets} == {Absence.OUT_OF_SLOP}
    assert max(synced.wait_ns for synced in sets) <= 4 * MS
    assert {synced.anchor for synced in sets} == {LIDAR}


@pytest.mark.parametrize("period_ns", [66_666_667, 33_333_333, 100 * MS])
def test_camera_is_in_every_set_when_it_runs_freely_at_common_rates(period_ns: int) -> None:
    for phase_ns in (0, 11 * MS, 16_600_000, 33_300_000):
        cameras = [
            replace(item, stamp_ns=item.stamp_ns + phase_ns, arrival_ns=item.arrival_ns + phase_ns)
            for item in timeline([CAMERA], 3.0, period_ns={CAMERA: period_ns})
        ]
        samples = sorted(cameras + timeline([LIDAR], 3.0), key=lambda item: item.arrival_ns)
        sets = [synced for synced in _run(samples) if 1.5 * S < synced.stamp_ns < 3.8 * S]
        assert sets
        assert all(CAMERA in synced.samples for synced in sets)


@pytest.mark.parametrize("dies", [LIDAR, CAMERA, AUDIO])
def test_silence_is_bounded_when_the_anchor_dies(dies: Modality) -> None:
    mask = {
        LIDAR: ModalitySet.all(),
        CAMERA: ModalitySet.of(CAMERA, IMU, AUDIO),
        AUDIO: ModalitySet.of(IMU, AUDIO),
    }[dies]
    sets = _run(timeline(mask, 4.0, dead=[(dies, 1.55, 9.0)]))
    _check_order(sets)
    silences = [after.released_ns - before.released_ns for before, after in itertools.pairwise(sets)]
    anchor_period_ns = 100 * MS if dies is AUDIO else PERIOD_NS[dies]
    assert max(silences) <= anchor_period_ns + MAX_WAIT_NS + SLOP_NS
    assert sets[-1].stamp_ns > 4.5 * S


def test_lidar_anchors_again_when_it_is_no_longer_lost() -> None:
    synchronizer = _synchronizer()
    samples = timeline(Modality, 6.0, dead=[(LIDAR, 2.0, 3.0)])
    sets = []
    for item in samples:
        synchronizer.set_lost(ModalitySet.of(LIDAR) if 3.3 * S < item.arrival_ns < 5 * S else ModalitySet())
        sets += _add(synchronizer, item)
    _check_order(sets)
    anchors = [synced.anchor for synced in sets if synced.stamp_ns > 1.2 * S]
    changes = [(before, after) for before, after in itertools.pairwise(anchors) if before is not after]
    assert changes == [(LIDAR, CAMERA), (CAMERA, LIDAR)]
    assert min(synced.stamp_ns for synced in sets if synced.anchor == CAMERA) > 2.9 * S


@pytest.mark.parametrize("lost", list(Modality))
def test_sets_for_the_live_anchor_keep_coming_when_one_stream_is_lost(lost: Modality) -> None:
    synchronizer = _synchronizer()
    sets = []
    for item in timeline(Modality, 6.0, dead=[(lost, 2.0, 9.0)]):
        if item.arrival_ns > 3.5 * S:
            synchronizer.set_lost(ModalitySet.of(lost))
        sets += _add(synchronizer, item)
    anchor = CAMERA if lost is LIDAR else LIDAR
    after = [synced.stamp_ns for synced in sets if synced.stamp_ns >= 4 * S]
    assert after == [
        stamp_ns for stamp_ns in range(S, 7 * S, PERIOD_NS[anchor]) if 4 * S <= stamp_ns <= after[-1]
    ]
    assert after[-1] > 6.8 * S


def test_new_epoch_begins_when_two_streams_go_back() -> None:
    synchronizer = _synchronizer()
    first = timeline(Modality, 3.0, start_ns=20 * S)
    again = [
        replace(item, arrival_ns=item.arrival_ns + 3 * S, received_ns=item.arrival_ns + 3 * S)
        for item in first
    ]
    before = _run(first, synchronizer)
    after = _run(again, synchronizer)
    _check_order(before + after)
    assert {synced.epoch for synced in before} == {0}
    assert {synced.epoch for synced in after} <= {0, 1}
    assert synchronizer.epoch == 1
    assert len([synced for synced in after if synced.epoch == 1]) >= len(before) - 1


def test_epoch_stays_when_one_stream_goes_back_alone() -> None:
    synchronizer = _synchronizer()
    sets = []
    for item in timeline(Modality, 6.0, start_ns=20 * S):
        stepped = item.modality is CAMERA and item.stamp_ns > 22 * S
        sets += _add(synchronizer, replace(item, stamp_ns=item.stamp_ns - 10 * S) if stepped else item)
    _check_order(sets)
    assert synchronizer.epoch == 0
    assert synchronizer.counters[CAMERA]["rebased"] == 1
    assert sets[-1].absent[CAMERA] is Absence.OUT_OF_SLOP
    assert {synced.anchor for synced in sets if synced.stamp_ns > 20.2 * S} == {LIDAR}


def test_epoch_begins_when_the_only_stream_goes_back() -> None:
    synchronizer = _synchronizer()
    first = timeline([CAMERA], 3.0, start_ns=20 * S)
    again = [replace(item, arrival_ns=item.arrival_ns + 3 * S) for item in first]
    sets = _run(first + again, synchronizer)
    _check_order(sets)
    assert synchronizer.epoch == 1
    assert len(sets) >= 2 * len(first) - 5


def test_reset_flushes_and_begins_an_epoch() -> None:
    synchronizer = _synchronizer()
    _run(timeline(Modality, 2.0, start_ns=20 * S), synchronizer)
    synchronizer.reset()
    sets = _run(
        (replace(item, arrival_ns=item.arrival_ns + 30 * S) for item in timeline(Modality, 2.0)), synchronizer
    )
    assert {synced.epoch for synced in sets} == {1}
    assert all(
        item.stamp_ns < 10 * S for synced in sets for items in synced.samples.values() for item in items
    )
    assert len(sets) >= 19


def test_late_samples_are_counted_when_their_set_is_out() -> None:
    synchronizer = _synchronizer()
    _run(timeline([LIDAR, IMU], 1.0), synchronizer)
    late = sample(IMU, 2 * S - 100 * MS + 1, arrival_ns=2 * S + 200 * MS)
    _run([sample(LIDAR, 2 * S, arrival_ns=2 * S + 10 * MS)], synchronizer)
    synchronizer.add(late.modality, late)
    assert synchronizer.counters[IMU]["late"] == 1


def test_deadline_tells_when_to_advance_when_a_set_waits() -> None:
    synchronizer = _synchronizer()
    _run(timeline([LIDAR, CAMERA], 1.0), synchronizer)
    arrival_ns = 2 * S + LATENCY_NS[LIDAR]
    assert synchronizer.add(LIDAR, sample(LIDAR, 2 * S, arrival_ns=arrival_ns)) == []
    deadline_ns = synchronizer.next_deadline_ns()
    assert deadline_ns == arrival_ns + MAX_WAIT_NS
    assert synchronizer.advance(deadline_ns - 1) == []
    [synced] = synchronizer.advance(deadline_ns)
    assert synced.released_ns == deadline_ns
    assert synced.absent[CAMERA] is Absence.LATE


def test_disabled_sensor_is_never_part_of_a_set() -> None:
    config = override(CONFIG, {"camera.enabled": False})
    synchronizer = Synchronizer(SyncConfig(), streams(config))
    sets = _run(timeline(Modality, 1.0), synchronizer)
    assert {synced.absent[CAMERA] for synced in sets} == {Absence.NEVER}


def test_audio_anchors_no_more_often_than_its_anchor_period() -> None:
    sets = _run(timeline([AUDIO], 2.0))
    steps = {after.stamp_ns - before.stamp_ns for before, after in itertools.pairwise(sets)}
    assert steps == {100 * MS}
