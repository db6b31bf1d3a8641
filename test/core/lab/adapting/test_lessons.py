"""Lessons: what tracking confirms is sure, what it leaves open is in doubt, and only healthy frames teach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.adapting.course import make_course
from sentryfuse_core.lab.adapting.lessons import healthy_sensors, lessons_of, sighted, taught
from sentryfuse_core.lab.datasets.driving import Drive, DrivingSet, LabelledFrame
from sentryfuse_core.lab.training.targets import UNSURE
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, ModalitySet

LIDAR, IMU = ModalitySet.of(Modality.LIDAR), ModalitySet.of(Modality.IMU)
BOTH = LIDAR | IMU


def drive(
    count: int, *, without: dict[int, ModalitySet] | None = None, pause_after: int | None = None
) -> Drive:
    """Frames of lidar and IMU at 10 Hz, in which the robot goes 0.5 m a frame."""

    def frames() -> Iterator[LabelledFrame]:
        for index in range(count):
            inputs = ModelInput(lidar=torch.zeros(1, 6, 64, 64), imu=torch.zeros(1, 32, 6))
            inputs = inputs.only(BOTH - (without or {}).get(index, ModalitySet()))
            late = 5_000_000_000 if pause_after is not None and index > pause_after else 0
            yield LabelledFrame(
                inputs,
                torch.zeros(1, 0, 7),
                torch.zeros(1, 0, dtype=torch.int64),
                stamp_ns=100_000_000 * index + late,
                way=EgoStep(x=0.5),
                over_ground=True,
            )

    return Drive("drive", "", [], count, frames)


def parked(frame: LabelledFrame) -> FrameBoxes:
    """A sure car that stands, and at the sixth frame something else once."""
    index = frame.stamp_ns % 5_000_000_000 // 100_000_000
    rows = [(30.0 - 0.5 * index, 2.0, 0.8, 4.2, 1.8, 1.5, 0.0)]
    rows += [(8.0, -6.0, 0.8, 0.5, 0.6, 1.7, 0.0)] if index == 5 else []
    return FrameBoxes(np.array(rows), np.array([0, 1][: len(rows)]), np.full(len(rows), 0.7))


def test_lessons_are_sure_of_what_frames_confirm_and_in_doubt_of_the_rest() -> None:
    own = sighted(drive(12), {"lidar": parked})
    lessons = [lesson.told() for lesson in lessons_of(own, "lidar", BOTH)]
    assert own.over_ground
    assert [lesson.classes.tolist() for lesson in lessons] == [[0]] * 5 + [[0, UNSURE]] + [[0]] * 6


@pytest.mark.parametrize(("count", "sure"), [(12, True), (6, False)])
def test_lessons_are_sure_of_what_scores_low_when_many_frames_in_a_row_have_it(
    count: int, *, sure: bool
) -> None:
    def hardly(frame: LabelledFrame) -> FrameBoxes:
        seen = parked(frame)
        return FrameBoxes(seen.boxes[:1], seen.classes[:1], np.full(1, 0.3))

    lessons = lessons_of(sighted(drive(count), {"lidar": hardly}), "lidar", BOTH)
    assert [lesson.sure.any() for lesson in lessons] == [sure] * count


def test_lessons_begin_anew_when_the_recording_pauses() -> None:
    lessons = lessons_of(sighted(drive(8, pause_after=1), {"lidar": parked}), "lidar", BOTH)
    assert [lesson.sure.any() for lesson in lessons] == [False] * 2 + [True] * 6


def test_frames_teach_only_with_all_sensors_when_one_drops_out() -> None:
    gone = {3: IMU, 4: BOTH, 7: LIDAR}
    own = sighted(drive(12, without=gone), {"lidar": parked})
    sensors = healthy_sensors([own])
    assert sensors == BOTH
    assert len(own.stamps_ns) == 10  # those with a lidar
    assert own.ways[4] == pytest.approx(EgoStep(x=1.0))  # past the frame that has none
    lesson_drive = taught(drive(12, without=gone), own, lessons_of(own, "lidar", sensors), sensors)
    frames = list(lesson_drive.frames())
    assert lesson_drive.length == len(frames) == 9
    assert tuple(frame.stamp_ns for frame in frames) == own.stamps_of(sensors)
    assert [float(frame.boxes[0, 0, 0]) for frame in frames[:4]] == pytest.approx(
        [30.0, 29.5, 29.0, 27.5], abs=0.2
    )


def test_speeds_are_relative_when_frames_do_not_know_their_way() -> None:
    frames = [
        LabelledFrame(ModelInput(lidar=torch.zeros(1, 6, 64, 64)), torch.zeros(1, 0, 7), torch.zeros(1, 0))
    ]
    own = sighted(Drive("drive", "", [], 1, lambda: iter(frames)), {"lidar": parked})
    assert not own.over_ground


def test_recordings_are_refused_when_none_has_a_lidar() -> None:
    own = sighted(drive(3, without=dict.fromkeys(range(3), LIDAR)), {"lidar": parked})
    with pytest.raises(DatasetError, match="lidar"):
        healthy_sensors([own])


def test_a_course_is_refused_when_some_of_its_frames_have_no_times() -> None:
    timed = drive(12)
    untimed = replace(timed, frames=lambda: (replace(frame, stamp_ns=0) for frame in timed.frames()))
    found = DrivingSet("mixed", Path("nowhere"), (timed, untimed))
    shown: list[None] = []
    with pytest.raises(DatasetError, match="have no times"):
        make_course(found, {"lidar": parked}, on_frame=lambda: shown.append(None))
    assert len(shown) == 12 + 2  # at the first that tells it, not after all
