"""Decoding: maps that hold a box give that box, and only that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import boxes

from sentryfuse_core.lab.training.targets import make_targets
from sentryfuse_core.model.heads import HeadOutput, Peaks, decode, find_peaks
from sentryfuse_core.model.shape import BOX_CHANNELS
from sentryfuse_core.types import Modality

LABELS = ("car", "pedestrian", "cyclist")


def maps_of(truth: torch.Tensor, classes: torch.Tensor) -> HeadOutput:
    targets = make_targets(truth, classes, class_count=3)
    return HeadOutput(torch.logit(targets.heatmap.clamp(1e-4, 1 - 1e-4)), targets.boxes)


@settings(max_examples=30)
@given(
    x=st.floats(0.0, 31.9),
    y=st.floats(-16.0, 15.9),
    yaw=st.floats(-3.1, 3.1),
    length=st.floats(0.3, 8.0),
    class_id=st.integers(0, 2),
)
def test_decode_returns_the_box_when_the_maps_are_its_targets(
    x: float, y: float, yaw: float, length: float, class_id: int
) -> None:
    output = maps_of(boxes((x, y, 0.8, length, 0.7, 1.6, yaw)), torch.tensor([[class_id]]))
    (found,) = decode(output, score_threshold=0.9, max_detections=5, labels=LABELS)[0]
    assert (found.label, found.class_id) == (LABELS[class_id], class_id)
    assert (found.x, found.y, found.z) == pytest.approx((x, y, 0.8), abs=1e-3)
    assert (found.length, found.width, found.height) == pytest.approx((length, 0.7, 1.6), rel=1e-3)
    assert math.cos(found.yaw - yaw) == pytest.approx(1.0, abs=1e-4)


@settings(max_examples=30)
@given(yaw=st.floats(-3.1, 3.1), sure=st.floats(0.05, 1.0), flip=st.booleans())
def test_decode_keeps_the_axis_when_front_and_back_are_hardly_told_apart(
    yaw: float, sure: float, flip: bool
) -> None:
    output = maps_of(boxes((10.5, 0.5, 0.8, 4.0, 1.8, 1.6, yaw)), torch.tensor([[0]]))
    output.boxes[:, 6:8] *= -sure if flip else sure
    (found,) = decode(output, score_threshold=0.9, max_detections=5, labels=LABELS)[0]
    assert abs(found.yaw) < math.pi + 1e-5
    assert math.cos(2 * (found.yaw - yaw)) == pytest.approx(1.0, abs=1e-3)
    assert math.cos(found.yaw - yaw) == pytest.approx(-1.0 if flip else 1.0, abs=1e-3)


def test_decode_returns_best_first_when_there_are_several() -> None:
    output = maps_of(boxes((5, 0, 1, 4, 2, 1.5, 0), (20, 9, 1, 4, 2, 1.5, 1)), torch.tensor([[0, 2]]))
    output.heatmap[0, 0] *= 0.5
    found = decode(output, score_threshold=0.3, max_detections=5, labels=LABELS)[0]
    assert [item.label for item in found] == ["cyclist", "car"]
    assert len(decode(output, score_threshold=0.3, max_detections=1, labels=LABELS)[0]) == 1


def test_decode_returns_nothing_when_all_is_below_the_threshold() -> None:
    output = HeadOutput(torch.full((2, 3, 32, 32), -4.0), torch.zeros(2, BOX_CHANNELS, 32, 32))
    assert decode(output, score_threshold=0.3, max_detections=5, labels=LABELS) == [(), ()]


def test_decode_leaves_out_a_box_when_it_is_not_finite() -> None:
    output = maps_of(boxes((5, 0, 1, 4, 2, 1.5, 0)), torch.tensor([[0]]))
    output.boxes[0, 2] = torch.nan
    assert decode(output, score_threshold=0.3, max_detections=5, labels=LABELS) == [()]


def test_find_peaks_suppresses_neighbours_when_they_are_lower() -> None:
    heat = torch.full((1, 3, 32, 32), -8.0)
    heat[0, 1, 10, 10], heat[0, 1, 10, 11], heat[0, 1, 14, 10] = 3.0, 2.0, 1.0
    peaks = find_peaks(HeadOutput(heat, torch.zeros(1, BOX_CHANNELS, 32, 32)), count=2)
    assert peaks.scores[0].tolist() == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-1))])
    assert peaks.boxes[0, :, :2].tolist() == [[10.5, -5.5], [14.5, -5.5]]


def seen_by(output: HeadOutput, *sensors: Modality) -> HeadOutput:
    return replace(
        output, evidence={sensor: torch.zeros(len(output.heatmap), 1, 32, 32) for sensor in sensors}
    )


def along_a_ray(*, apart_m: float, side_m: float = 0.0, other: int = 0) -> HeadOutput:
    """A sure car 12.5 m ahead, and a less sure box behind it."""
    far = (12.5 + apart_m, 0.5 + side_m, 1, 4, 2, 1.5, 0)
    output = maps_of(boxes((12.5, 0.5, 1, 4, 2, 1.5, 0), far), torch.tensor([[0, other]]))
    output.heatmap[0, :, 14:] -= 1.0
    return output


@pytest.mark.parametrize(("apart_m", "side_m"), [(3.0, 0.0), (2.0, 1.5)])
def test_find_peaks_doubts_the_second_box_when_it_is_close_or_behind_and_no_lidar_is_there(
    apart_m: float, side_m: float
) -> None:
    output = along_a_ray(apart_m=apart_m, side_m=side_m)
    output = HeadOutput(output.heatmap.repeat(2, 1, 1, 1), output.boxes.repeat(2, 1, 1, 1))
    output.heatmap[0] = -5.0  # an empty frame before it
    plain, seen = find_peaks(output, count=2), find_peaks(seen_by(output, Modality.CAMERA), count=2)
    plain, seen = (Peaks(*(item[1:] for item in vars(peaks).values())) for peaks in (plain, seen))
    assert seen.scores[0, 0] == plain.scores[0, 0]
    assert seen.scores[0, 1] < 0.8 * plain.scores[0, 1]
    torch.testing.assert_close(seen.boxes, plain.boxes)


@pytest.mark.parametrize(
    ("output", "sensors"),
    [
        (along_a_ray(apart_m=3.0), (Modality.CAMERA, Modality.LIDAR)),
        (along_a_ray(apart_m=3.0, other=1), (Modality.CAMERA,)),  # another class
        (along_a_ray(apart_m=3.0, side_m=3.0), (Modality.CAMERA,)),  # another direction
        (along_a_ray(apart_m=8.0), (Modality.AUDIO,)),  # too far off
    ],
)
def test_find_peaks_leaves_scores_alone_when_boxes_cannot_be_the_same(
    output: HeadOutput, sensors: tuple[Modality, ...]
) -> None:
    plain, seen = find_peaks(output, count=2), find_peaks(seen_by(output, *sensors), count=2)
    torch.testing.assert_close(seen.scores, plain.scores)


def test_find_peaks_returns_best_first_when_doubt_changes_the_order() -> None:
    output = seen_by(along_a_ray(apart_m=3.0), Modality.CAMERA)
    output.heatmap[0, 1, 2, 25] = output.heatmap[0, 0, 15].max() - 0.1  # elsewhere, a little less sure
    peaks = find_peaks(output, count=2)
    assert peaks.classes[0].tolist() == [0, 1]


def rider(*, pedestrian: tuple[float, float], yaw: float = 0.0) -> HeadOutput:
    """A cyclist at (10.5, .5) m, 1.8 m long, and a little less sure a pedestrian where `pedestrian` says."""
    both = boxes((10.5, 0.5, 1, 1.8, 0.6, 1.7, yaw), (*pedestrian, 1, 0.6, 0.6, 1.7, 0))
    output = maps_of(both, torch.tensor([[2, 1]]))
    output.heatmap[0, 2] -= 1.0
    output.heatmap[0, 1] -= 2.0
    return output


@pytest.mark.parametrize(("pedestrian", "yaw"), [((11.2, 0.5), 0.0), ((10.5, 1.2), math.pi / 2)])
def test_find_peaks_takes_a_pedestrian_for_the_rider_as_far_as_there_is_a_cyclist(
    pedestrian: tuple[float, float], yaw: float
) -> None:
    output = rider(pedestrian=pedestrian, yaw=yaw)
    plain, found = find_peaks(output, count=2), find_peaks(output, count=2, labels=LABELS)
    cyclist, person = plain.scores[0].tolist()
    assert found.classes[0].tolist() == [2, 1]
    assert found.scores[0].tolist() == pytest.approx([cyclist, person * (1 - cyclist)])


@pytest.mark.parametrize(
    ("output", "labels"),
    [
        (rider(pedestrian=(10.5, 1.2)), LABELS),  # beside the bicycle
        (rider(pedestrian=(11.2, 0.5), yaw=math.pi / 2), LABELS),  # before one that crosses
        (rider(pedestrian=(11.2, 0.5)), ("car", "person", "trolley")),  # classes that say nothing of riding
        (along_a_ray(apart_m=1.0, other=1), LABELS),  # a pedestrian in a car's box
    ],
)
def test_find_peaks_leaves_a_pedestrian_alone_when_it_rides_nothing(
    output: HeadOutput, labels: Sequence[str]
) -> None:
    plain, found = find_peaks(output, count=2), find_peaks(output, count=2, labels=labels)
    torch.testing.assert_close(found.scores, plain.scores, rtol=0.0, atol=0.0)
