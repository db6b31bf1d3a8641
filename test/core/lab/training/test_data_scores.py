"""Scores of labelled frames: the classes there, the view that is labelled, what a robot would publish."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import boxes, labelled, make_bank

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.datasets.driving import Drive, DrivingSet, LabelledFrame, only_frames
from sentryfuse_core.lab.datasets.view import EVERYWHERE, KITTI_VIEW, View
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.data_frames import batches_of
from sentryfuse_core.lab.training.data_scores import score
from sentryfuse_core.lab.training.detections import Detector, truth_of
from sentryfuse_core.lab.training.told import TOLD, RobotDetector
from sentryfuse_core.types import Modality, ModalitySet

LABELS = ("car", "pedestrian", "cyclist")
SIZE = (4.0, 1.8, 1.5, 0.0)
AHEAD, ASIDE, NEAR = ((x, y, 0.8, *SIZE) for x, y in ((10.0, 1.0), (5.0, 12.0), (1.0, 0.0)))
CAMERA = ModalitySet.of(Modality.CAMERA)


def frame(*rows: tuple[float, ...], classes: list[int], view: View = EVERYWHERE) -> LabelledBatch:
    return replace(labelled(batch=1), boxes=boxes(*rows), classes=torch.tensor([classes]), view=view)


def detector(*rows: tuple[float, ...], classes: list[int]) -> Detector:
    found = FrameBoxes(np.array(rows), np.array(classes), np.linspace(0.9, 0.5, len(rows)))
    return lambda _: {("made", 0): [found]}


def test_score_counts_only_classes_that_are_there() -> None:
    made = detector(AHEAD, ASIDE, classes=[2, 1])
    found = score([frame(AHEAD, classes=[2])], [made], labels=LABELS)
    assert found.labels == ("cyclist",)
    assert found.boxes == {"cyclist": 1}
    assert found.metrics["made", 0].map == pytest.approx(1.0)


def test_score_counts_neither_truth_nor_boxes_outside_the_view() -> None:
    batch = frame(AHEAD, ASIDE, NEAR, classes=[0, 0, 0], view=KITTI_VIEW)
    made = detector(ASIDE, NEAR, AHEAD, classes=[0, 0, 0])
    found = score([batch], [made], labels=LABELS)
    assert found.boxes == {"car": 1}
    assert found.metrics["made", 0].map == pytest.approx(1.0)
    whole = score([replace(batch, view=EVERYWHERE)], [detector(AHEAD, classes=[0])], labels=LABELS)
    assert whole.boxes == {"car": 3}
    assert whole.metrics["made", 0].map < 0.5


def test_score_raises_when_nothing_is_labelled() -> None:
    with pytest.raises(EvaluationError, match="1 frames without a labelled box"):
        score([frame(AHEAD, classes=[-1])], [detector(AHEAD, classes=[0])], labels=LABELS)


def test_robot_detector_tells_what_reaches_the_threshold_and_goes_on_without_a_sensor(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    whole = labelled(batch=1)
    find = RobotDetector(bank, [ModalitySet.all()], [0])
    seeing = replace(whole, inputs=whole.inputs.only(CAMERA))
    everything, camera = find(whole), find(seeing)
    name = str(ModalitySet.all())
    assert set(everything) == {(name, 0), (f"{TOLD}{name}", 0)}
    alone = RobotDetector(bank, [CAMERA], [0])(whole)
    np.testing.assert_array_equal(camera[name, 0][0].scores, alone["camera", 0][0].scores)
    least = bank.threshold(ModalitySet.all(), 0, asked=0.0)
    told = everything[f"{TOLD}{name}", 0][0]
    assert len(told) == int((everything[name, 0][0].scores >= least).sum())


def drive(*, rate_hz: float) -> Drive:
    """Six frames; the points of each lie as many metres high as its number says."""

    def frames() -> list[LabelledFrame]:
        made = labelled(batch=1).inputs
        period_ns = round(1e9 / rate_hz) if rate_hz else 0
        start_ns = 10**9 if rate_hz else 0
        return [
            LabelledFrame(
                made,
                boxes(AHEAD),
                torch.tensor([[0]]),
                start_ns + number * period_ns,
                torch.full((1, 5, 4), float(number)),
            )
            for number in range(6)
        ]

    return Drive("one", "", [], 6, lambda: iter(frames()), KITTI_VIEW)


def found(rate_hz: float = 10.0) -> DrivingSet:
    return DrivingSet("kitti-raw", Path("nowhere"), (drive(rate_hz=rate_hz),))


def test_batches_are_those_of_the_span_and_know_what_was_seen_before_it() -> None:
    batches = list(batches_of(found(), span=(3, 4), age_s=0.2))
    assert [float(batch.points[0, 0, 2]) for batch in batches if batch.points is not None] == [3.0, 4.0]
    late = [batch.raw.late_points for batch in batches if batch.raw is not None]
    assert [float(points[0, 0, 2]) for points in late if points is not None] == [1.0, 2.0]
    assert all(batch.view == KITTI_VIEW for batch in batches)


def test_batches_have_no_past_when_frames_have_no_times() -> None:
    raws = [batch.raw for batch in batches_of(found(rate_hz=0.0), age_s=0.2)]
    assert [raw.late_points is None for raw in raws if raw is not None] == [True] * 6


def test_batches_let_frames_go_when_these_have_no_times() -> None:
    made, seen = found(rate_hz=0.0).drives[0], []

    def frames() -> Iterator[LabelledFrame]:
        for kept in made.frames():
            one = replace(kept)
            seen.append(weakref.ref(one))
            yield one

    for _ in batches_of(DrivingSet("bag", Path("nowhere"), (replace(made, frames=frames),)), age_s=0.2):
        assert sum(one() is not None for one in seen) <= 2  # the frame at hand, and the one before


def test_batches_are_all_that_come_when_a_drive_has_more_frames_than_it_knew_of() -> None:
    made = replace(found(), drives=(replace(drive(rate_hz=10.0), length=2),))
    assert len(list(batches_of(made))) == 6
    assert len(list(batches_of(made, span=(1, 3)))) == 3


def around() -> DrivingSet:
    """Three moments of two sides each; the points lie as high as the number of the frame says."""
    frames = [
        replace(one, stamp_ns=10**9 + number // 2 * 10**8)
        for number, one in enumerate(drive(rate_hz=10.0).frames())
    ]
    return DrivingSet("nuscenes", Path("nowhere"), (Drive("one", "", [], 6, lambda: iter(frames), sides=2),))


def test_batches_show_the_same_sides_past_when_there_are_several() -> None:
    batches = list(batches_of(around(), span=(1, 2), age_s=0.1))
    assert [float(batch.points[0, 0, 2]) for batch in batches if batch.points is not None] == [
        2.0,
        3.0,
        4.0,
        5.0,
    ]
    late = [batch.raw.late_points for batch in batches if batch.raw is not None]
    assert [float(points[0, 0, 2]) for points in late if points is not None] == [0.0, 1.0, 2.0, 3.0]


def test_only_frames_counts_moments_when_there_are_several_sides() -> None:
    (some,) = only_frames(around(), (1, 1)).drives
    assert some.length == 2
    heights = [float(one.points[0, 0, 2]) for one in some.frames() if one.points is not None]
    assert heights == [2.0, 3.0]


def test_lidar_has_a_box_when_some_points_lie_in_it() -> None:
    inside = torch.tensor([[[10.0, 1.0, 0.8, 0.5]] * 3 + [[10.0, 4.0, 0.8, 0.5]] * 5])
    one = LabelledFrame(labelled(batch=1).inputs, boxes(AHEAD, ASIDE), torch.tensor([[0, 0]]), 0, inside)
    made = DrivingSet("bag", Path("nowhere"), (Drive("one", "", [], 1, lambda: iter([one])),))
    (batch,) = batches_of(made)
    assert batch.visible is not None
    assert batch.visible[Modality.LIDAR].tolist() == [[True, False]]
    assert batch.visible[Modality.CAMERA].tolist() == [[True, False]]
    assert len(truth_of(batch.boxes, batch.classes, batch.visible[Modality.LIDAR])[0]) == 1


def test_only_frames_leaves_those_of_the_span_in_every_drive() -> None:
    (some,) = only_frames(found(), (4, 9)).drives
    assert some.length == 2
    heights = [float(one.points[0, 0, 2]) for one in some.frames() if one.points is not None]
    assert heights == [4.0, 5.0]
