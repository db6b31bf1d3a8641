"""Moments of a report: which sets are kept, and what is drawn into their pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import results
from builders import MS, S
from results import CAR

from sentryfuse_core.config import Config, load_yaml
from sentryfuse_core.faults.scenario import Event
from sentryfuse_core.preprocess.camera import parameter_intrinsics
from sentryfuse_core.replay.frames import FrameSampler, make_frame
from sentryfuse_core.types import CompressedFrame, Detection, Modality, ModalitySet, Sample

CAMERA, LIDAR, IMU, AUDIO = Modality
RIGS = Path(__file__).parents[3] / "config" / "rigs"
BOTH, ALONE = ModalitySet.of(CAMERA, LIDAR), ModalitySet.of(LIDAR)


def sampled(masks: list[ModalitySet], *faults: Event) -> list[tuple[float, str]]:
    """Time and reason of the moments kept of sets that come ten times a second."""
    config = Config()
    sampler = FrameSampler(config, start_ns=0, seconds=len(masks) / 10, faults=faults)
    for index, used in enumerate(masks):
        record = results.set_record(index * 100 * MS, used=used)
        synced = replace(results.result().synced, samples={})
        sampler.offer(record, synced, intrinsics={CAMERA: parameter_intrinsics(config.camera)})
    return [(frame.record.stamp_ns / S, frame.why) for frame in sampler.frames]


def test_sampler_keeps_one_moment_of_each_set_of_sensors_that_lasts() -> None:
    found = sampled([BOTH] * 30 + [ALONE] * 20 + [BOTH] * 30 + [ALONE] * 20)
    assert (3.2, "now other sensors") in found
    assert [why for _, why in found].count("now other sensors") == 1


def test_sampler_does_not_take_a_passing_gap_for_other_sensors() -> None:
    assert all(not why for _, why in sampled([BOTH] * 30 + [ALONE] * 2 + [BOTH] * 30))


def test_sampler_looks_into_each_fault_that_is_played() -> None:
    faults = [Event(at_s, at_s + 3.0, "camera", "drop") for at_s in (2.0, 6.0, 40.0)]
    found = [item for item in sampled([BOTH] * 100, *faults) if item[1]]
    assert found == [(2.5, "drop on camera"), (6.5, "drop on camera")]


def picture(found: tuple[Detection, ...] = (), true: tuple[Detection, ...] = ()) -> np.ndarray:
    blank = cv2.imencode(".png", np.zeros((480, 640, 3), np.uint8))[1].reshape(-1)
    sample = Sample(CAMERA, 0, 0, 0, "camera", CompressedFrame("png", blank), 0)
    config = Config()
    record = results.set_record(0, detections=found)
    intrinsics = {CAMERA: parameter_intrinsics(config.camera)}
    frame = make_frame(record, {CAMERA: sample}, config=config, intrinsics=intrinsics, truth=true)
    shown = frame.pictures[CAMERA]
    assert shown is not None
    return shown


def test_picture_has_true_boxes_dashed_and_found_ones_whole() -> None:
    found, true = picture(found=(CAR,)), picture(true=(CAR,))
    assert 0 < np.count_nonzero(true.max(axis=2)) < np.count_nonzero(found.max(axis=2))
    coloured = true.reshape(-1, 3)[true.max(axis=2).reshape(-1) > 200]
    assert (np.ptp(coloured.astype(int), axis=1) == 0).all()  # white


def test_frame_has_a_picture_of_each_camera_with_its_own_boxes_when_there_are_several() -> None:
    config = load_yaml(RIGS / "four_cameras.yaml")
    blank = cv2.imencode(".png", np.zeros((480, 640, 3), np.uint8))[1].reshape(-1)
    names = config.of_kind(CAMERA)
    samples = {
        name: Sample(CAMERA, 0, 0, 0, name, CompressedFrame("png", blank), 0, name)
        for name in names
        if name != "left_camera"  # it is dead
    }
    intrinsics = {name: parameter_intrinsics(config.sensor(name)) for name in names}
    record = results.set_record(0, detections=(CAR,))
    shown = make_frame(record, samples, config=config, intrinsics=intrinsics).pictures
    assert list(shown) == list(names)
    assert shown["left_camera"] is None
    drawn = {name: bool(picture.any()) for name, picture in shown.items() if picture is not None}
    assert drawn == {"front_camera": True, "rear_camera": False, "right_camera": False}


def test_picture_is_left_alone_when_there_is_no_box() -> None:
    assert not picture().any()
