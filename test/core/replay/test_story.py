"""The judgement of a run: what is expected, what is missed, what is silent."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from results import set_record

from sentryfuse_core.config import Kinds
from sentryfuse_core.faults.scenario import Scenario, Stretch
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.story import StretchResult, judge
from sentryfuse_core.replay.truth import Truth
from sentryfuse_core.types import Detection, Modality, ModalitySet

S = 1_000_000_000
CAMERA = Modality.CAMERA
ALL = ModalitySet.all()
BLIND = ALL - ModalitySet.of(Modality.CAMERA)
START_NS = 500 * S


def box(x: float) -> Detection:
    return Detection("car", 0, 0.9, x, 0.0, 0.8, 4.0, 1.8, 1.5, 0.0)


def record(
    at_s: float, used: ModalitySet = ALL, *, level: int = 0, found: tuple[Detection, ...] = ()
) -> SetRecord:
    at_ns = START_NS + round(at_s * S)
    latency_ms = {"e2e": 10.0 + at_s}
    sensors = words(used)
    return set_record(at_ns, used=used, sensors=sensors, level=level, detections=found, latency_ms=latency_ms)


def words(sensors: ModalitySet) -> tuple[str, ...]:
    return tuple(kind.value for kind in sensors)


def judged(records: list[SetRecord], **options: Any) -> tuple[StretchResult, ...]:
    stretches = (
        Stretch("all", 0.0, 2.0, words(ALL), 0.0, None),
        Stretch(
            "camera dies", 2.0, 4.0, options.pop("expect", words(BLIND)), 0.5, options.pop("level", None)
        ),
    )
    given: dict[str, Any] = {"truth": Truth([], []), "stamp_shift_ns": 0, "prior": {}} | options
    return judge(Scenario("s", 0, 4.0, stretches=stretches), records, start_ns=START_NS, **given)


def run(used: ModalitySet = BLIND, *, level: int = 0, until_s: float = 4.0) -> list[SetRecord]:
    times = [0.1 * index for index in range(round(until_s * 10))]
    return [record(at_s, ALL if at_s < 2.3 else used, level=level if at_s >= 2.3 else 0) for at_s in times]


def test_story_misses_nothing_when_masks_follow_within_the_settling_time() -> None:
    first, second = judged(run())
    assert (first.sets, second.sets) == (20, 20)
    assert first.used == {words(ALL): 20}
    assert second.used == {words(BLIND): 15}
    assert first.missed == second.missed == ()


def test_story_names_the_mask_when_it_is_not_the_expected_one() -> None:
    _, second = judged(run(used=ALL))
    assert len(second.missed) == 1
    assert "camera dies: expected lidar+imu+audio, saw camera+lidar+imu+audio 15x" in second.missed[0]


@pytest.mark.parametrize(("why", "misses"), [("LEFT_OUT", 0), ("POOR", 1), ("LOST", 1)])
def test_story_counts_a_sensor_as_there_when_the_gate_spares_it(why: str, misses: int) -> None:
    deaf = BLIND - ModalitySet.of(Modality.AUDIO)
    records = [replace(item, absent={Modality.AUDIO: why}) for item in run(used=deaf)]
    assert len(judged(records)[1].missed) == misses


RIG: Kinds = (("left", CAMERA), ("right", CAMERA), ("nose", Modality.LIDAR), ("tail", Modality.LIDAR))


def rig_run(sensors: tuple[str, ...]) -> list[SetRecord]:
    """All of the rig until the others than `sensors` die."""
    every = tuple(name for name, _ in RIG)
    return [
        replace(item, sensors=every if item.released_ns < START_NS + 2.3 * S else sensors) for item in run()
    ]


@pytest.mark.parametrize(
    ("expect", "sensors", "misses"),
    [
        (("right", "nose"), ("right", "nose"), 0),
        (("right", "nose"), ("left", "nose"), 1),
        (("right", "nose"), ("left", "right", "nose"), 1),
        (("camera", "nose"), ("right", "nose"), 0),  # a kind: any of them
        (("camera", "nose"), ("nose",), 1),
        (("camera", "nose"), ("right", "tail"), 1),
    ],
)
def test_story_goes_by_names_when_sensors_have_them(
    expect: tuple[str, ...], sensors: tuple[str, ...], misses: int
) -> None:
    told = judged(rig_run(sensors), kinds=RIG, expect=expect)[1]
    assert told.used == {sensors: 15}
    assert len(told.missed) == misses


def test_story_counts_a_named_sensor_as_there_when_the_gate_spares_it() -> None:
    records = [replace(item, absent={"tail": "LEFT_OUT"}) for item in rig_run(("right", "nose"))]
    assert judged(records, kinds=RIG, expect=("right", "lidar"))[1].used == {("right", "nose", "tail"): 15}


def test_story_tells_how_much_is_watched_when_coverage_is_told() -> None:
    watched = ((0, 45, 3), (45, 135, 2), (135, 360, 3))
    told = judged([replace(item, watched=watched) for item in run()])[1]
    assert (told.camera_deg, told.lidar_deg) == (270.0, 360.0)
    assert math.isnan(judged([replace(item, watched=()) for item in run()])[1].camera_deg)


def test_story_forgives_one_odd_set_but_not_a_third_of_them() -> None:
    records = run()
    records[30] = record(3.0, ALL)
    assert judged(records)[1].missed == ()
    for index in range(30, 36):
        records[index] = record(index / 10, ALL)
    assert judged(records)[1].missed != ()


@pytest.mark.parametrize(("level", "ran", "misses"), [(1, 1, 0), (1, 0, 1), (None, 1, 0)])
def test_story_checks_the_level_when_the_stretch_names_one(level: int | None, ran: int, misses: int) -> None:
    assert len(judged(run(level=ran), level=level)[1].missed) == misses


def test_story_says_why_the_level_ran_when_it_is_not_the_expected_one() -> None:
    reason = "battery at 9 %"
    records = [replace(item, level_reason=reason) if item.level == 2 else item for item in run(level=2)]
    (line,) = judged(records, level=0)[1].missed
    assert line == f"camera dies: expected level 0, saw 2 15x; level 2: {reason}"


def test_story_forgives_a_narrower_level_when_the_machine_does_not_keep_up() -> None:
    reason = "pace: 9 of 27 sets were skipped at level 0"
    records = [replace(item, level_reason=reason) if item.level == 2 else item for item in run(level=2)]
    told = judged(records, level=0)[1]
    assert told.missed == ()
    assert told.slow == "camera dies: 15 sets at a narrower level: this machine does not keep up"
    wider = [replace(item, level=0) if item.level == 2 else item for item in records]
    assert len(judged(wider, level=1)[1].missed) == 1


def test_story_tells_of_silence_when_no_set_came() -> None:
    first, second = judged(run(until_s=1.5))
    assert second.missed == ("camera dies: no sets",)
    assert second.longest_silence_s == pytest.approx(4.0 - 1.4)
    assert first.longest_silence_s == pytest.approx(0.1)
    assert math.isnan(second.recall_4m)


def test_story_counts_a_gap_in_the_stretch_where_it_ends_when_it_spans_two() -> None:
    records = [item for item in run() if not START_NS + 1.75 * S < item.released_ns < START_NS + 2.45 * S]
    first, second = judged(records)
    assert first.longest_silence_s == pytest.approx(0.1)
    assert second.longest_silence_s == pytest.approx(0.8)


@pytest.mark.parametrize(("guess_m", "above"), [(30.0, True), (10.0, False)])
def test_story_compares_recall_with_the_canvas_when_there_is_truth(guess_m: float, above: bool) -> None:
    shift_ns = START_NS - 7 * S
    truth = Truth([7 * S + index * S // 10 for index in range(40)], [(box(10.0), box(20.0))] * 40)
    records = [record(0.1 * index, ALL, found=(box(11.0),)) for index in range(20)]
    first, _ = judged(records, truth=truth, stamp_shift_ns=shift_ns, prior={0: (box(guess_m),)})
    assert first.recall_4m == pytest.approx(0.5)
    assert first.prior_recall_4m == pytest.approx(0.0 if above else 0.5)
    assert first.above_prior is above
    assert first.detections_per_set == 1.0
    assert first.e2e_ms_p50 == pytest.approx(10.95)
