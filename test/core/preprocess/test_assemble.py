"""A set becomes the network's input: what is usable, in one frame, at one moment."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
from builders import MS, S, cloud_of, sample

from sentryfuse_core.config import Config, override
from sentryfuse_core.preprocess import audio
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.quality import MEASURES
from sentryfuse_core.preprocess.tensors import UNSEEN
from sentryfuse_core.sync import Synchronizer, streams
from sentryfuse_core.types import (
    AudioBlock,
    CompressedFrame,
    ImageFrame,
    ImuReading,
    Intrinsics,
    Modality,
    ModalitySet,
    Payload,
    Pose,
    Sample,
    SyncedSet,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEVEL = (0.0, 0.0, 0.0, 1.0)


def synced(samples: Mapping[Modality, tuple[Sample, ...]], *, stamp_ns: int = S) -> SyncedSet:
    return SyncedSet(0, 0, stamp_ns, None, samples, {}, stamp_ns, stamp_ns, stamp_ns)


def everything() -> dict[Modality, tuple[Sample, ...]]:
    """One sample of the paired sensors and a window of the others."""
    return {
        Modality.CAMERA: (sample(Modality.CAMERA, S),),
        Modality.LIDAR: (sample(Modality.LIDAR, S),),
        Modality.IMU: tuple(sample(Modality.IMU, S - offset * MS) for offset in range(95, -1, -5)),
        Modality.AUDIO: tuple(sample(Modality.AUDIO, S - offset * MS) for offset in range(200, 0, -20)),
    }


def prepare(samples: Mapping[Modality, tuple[Sample, ...]], config: Config | None = None) -> Prepared:
    return Preprocessor(config or Config())(synced(samples), ModalitySet.all())


@pytest.mark.parametrize("mask", ModalitySet.subsets())
def test_preprocessor_prepares_exactly_the_mask_when_all_sensors_are_there(mask: ModalitySet) -> None:
    prepared = Preprocessor(Config())(synced(everything()), mask)
    assert prepared.inputs.present == mask
    assert not prepared.invalid
    assert set(prepared.content) == set(mask) - {Modality.IMU}


def test_preprocessor_gives_the_shapes_of_the_network() -> None:
    preprocessor = Preprocessor(Config(), measures=True)
    inputs, again = (preprocessor(synced(everything()), ModalitySet.all()).inputs for _ in range(2))
    given = {name: tensor for name, tensor in vars(inputs).items() if tensor is not None}
    assert {name: tuple(tensor.shape) for name, tensor in given.items()} == {  # all of the view is seen
        "camera": (1, 3, GEOMETRY.image_height, GEOMETRY.image_width),
        "camera_position": (1, 3),
        "lidar": (1, 6, 64, 64),
        "imu": (1, 32, 6),
        "tilt": (1, 2),
        "audio": (1, 16, 16),
        "quality": (1, len(MEASURES)),
    }
    for name, tensor in given.items():
        assert tensor.dtype == torch.float32
        assert torch.isfinite(tensor).all()
        torch.testing.assert_close(tensor, getattr(again, name), rtol=0.0, atol=0.0)  # to the bit
    assert inputs.camera_position is not None
    np.testing.assert_allclose(inputs.camera_position[0], Config().camera.translation_m)


@pytest.mark.parametrize(
    ("there", "silent"),
    [
        (range(10), 0.0),
        (range(9), 0.0),  # the newest block has not come yet
        (range(1, 11), 0.0),  # the oldest one began before the window
        ([0, 1, 2, 3, 4, 6, 7, 8], 1 / 9),  # and one was lost
    ],
)
def test_sound_that_no_block_of_the_set_has_is_not_taken_for_silence(
    there: Sequence[int], silent: float
) -> None:
    noise = np.random.default_rng(0).integers(100, 9000, (320, 2)).astype(np.int16)  # no zeros
    block = AudioBlock(noise, 16_000, True)
    blocks = tuple(sample(Modality.AUDIO, S - (200 - 20 * index) * MS, payload=block) for index in there)
    prepared = Preprocessor(Config(), measures=True)(
        synced({Modality.AUDIO: blocks}), ModalitySet.of(Modality.AUDIO)
    )
    assert prepared.inputs.quality is not None
    column = [measure.key for measure in MEASURES].index("audio.silent")
    assert float(prepared.inputs.quality[0, column]) == pytest.approx(silent, abs=1e-3)


@pytest.mark.parametrize("samples", [320, 1024])
def test_window_of_sound_begins_with_sound_when_sets_come_from_the_synchroniser(samples: int) -> None:
    period_ns = samples * S // 16_000
    loud = AudioBlock(np.full((samples, 2), 1000, np.int16), 16_000, True)
    stream = [
        sample(Modality.AUDIO, at, arrival_ns=at + period_ns, payload=loud)
        for at in range(S, 3 * S, period_ns)
    ]
    clouds = [sample(Modality.LIDAR, at, arrival_ns=at + 30 * MS) for at in range(S, 3 * S, 100 * MS)]
    synchronizer = Synchronizer(Config().sync, streams(Config()))
    arrived = sorted([*stream, *clouds], key=lambda item: item.arrival_ns)
    sets = [found for item in arrived for found in synchronizer.add(item.modality, item)]
    steady = [found for found in sets if found.stamp_ns > 2 * S]
    assert steady
    for found in steady:
        blocks = audio.blocks_of(found.samples[Modality.AUDIO])
        pcm = audio.window(blocks, end_ns=found.stamp_ns)
        missing_ns = max(0, found.stamp_ns - blocks[-1][0] - period_ns)  # of the block that is not over yet
        sound = pcm[..., : pcm.shape[2] - missing_ns * 16_000 // S - 1]
        assert bool((sound != 0.0).all())


def measured(
    samples: Mapping[Modality, tuple[Sample, ...]], config: Config | None = None
) -> dict[str, float]:
    """Measures of a set by key."""
    prepared = Preprocessor(config or Config(), measures=True)(synced(samples), ModalitySet.all())
    assert prepared.inputs.quality is not None
    return dict(zip((measure.key for measure in MEASURES), prepared.inputs.quality[0].tolist(), strict=True))


@pytest.mark.parametrize(("readings", "told"), [(1, False), (2, False), (10, False), (12, True), (20, True)])
def test_imu_is_not_measured_when_readings_do_not_fill_half_of_the_window(
    readings: int, *, told: bool
) -> None:
    found = measured({Modality.IMU: everything()[Modality.IMU][-readings:]})
    assert {
        key: math.isfinite(value) for key, value in found.items() if key.startswith("imu.")
    } == dict.fromkeys(("imu.turning", "imu.force", "imu.shaking", "imu.still"), told)
    assert all(math.isfinite(value) for key, value in found.items() if not key.startswith("imu."))


@pytest.mark.parametrize(("blocks", "told"), [(1, False), (4, False), (5, True), (10, True)])
def test_sound_is_not_measured_when_it_does_not_fill_half_of_the_window(blocks: int, *, told: bool) -> None:
    found = measured({Modality.AUDIO: everything()[Modality.AUDIO][-blocks:]})
    assert math.isfinite(found["audio.silent"]) is told
    assert math.isfinite(found["audio.coherent"]) is told


@pytest.mark.parametrize("may_repeat", [False, True])
def test_imu_that_repeats_itself_looks_stuck_unless_it_may_repeat(*, may_repeat: bool) -> None:
    at_rest = everything()[Modality.IMU][0].payload
    held = tuple(replace(item, payload=at_rest) for item in everything()[Modality.IMU])
    found = measured({Modality.IMU: held}, override(Config(), {"imu.may_repeat": may_repeat}))
    assert math.isnan(found["imu.still"]) is may_repeat
    assert may_repeat or found["imu.still"] == 1.0
    assert math.isfinite(found["imu.force"])


def test_preprocessor_ignores_what_is_absent_when_the_mask_names_it() -> None:
    prepared = prepare({Modality.LIDAR: everything()[Modality.LIDAR]})
    assert prepared.inputs.present == ModalitySet.of(Modality.LIDAR)
    assert len(prepare({}).inputs.present) == 0


BROKEN: dict[Modality, tuple[Payload, str]] = {
    Modality.CAMERA: (CompressedFrame("jpeg", np.zeros(100, np.uint8)), "undecodable"),
    Modality.LIDAR: (cloud_of((np.nan, 0.0, 0.0), (0.0, 0.0, 0.0)), "no_finite_points"),
    Modality.IMU: (ImuReading(np.zeros(3), None), "field_absent"),
    Modality.AUDIO: (AudioBlock(np.zeros((4, 2), np.int16), 16_000, True), "no_data"),
}


@pytest.mark.parametrize("broken", list(Modality))
def test_preprocessor_goes_on_with_the_rest_when_one_sensor_cannot_be_decoded(broken: Modality) -> None:
    payload, expected = BROKEN[broken]
    samples = everything()
    samples[broken] = (sample(broken, S, payload=payload),)
    prepared = prepare(samples)
    assert prepared.inputs.present == ModalitySet.all() - ModalitySet.of(broken)
    assert {modality: error.reason for modality, error in prepared.invalid.items()} == {broken: expected}
    assert broken not in prepared.content


def test_preprocessor_names_the_parameter_when_headerless_audio_has_no_pose() -> None:
    preprocessor = Preprocessor(Config())
    preprocessor.placer.give(Modality.AUDIO, None)
    block = replace(sample(Modality.AUDIO, S - 20 * MS), frame_id="")
    prepared = preprocessor(synced({Modality.AUDIO: (block,)}), ModalitySet.all())
    assert "set audio.frame_id" in prepared.invalid[Modality.AUDIO].detail


def test_microphone_is_left_out_with_a_note_and_no_fault_when_no_sector_looks_ahead_or_back() -> None:
    found = prepare(everything(), override(Config(), {"output.sectors": "left, right"}))
    assert Modality.AUDIO not in found.sensors
    assert found.invalid == {}
    assert "audio is left out: no sector looks ahead or back, where a pair hears" in found.notes
    ahead = prepare(everything(), override(Config(), {"output.sectors": "left, back"}))
    assert (Modality.AUDIO in ahead.sensors, ahead.notes) == (True, ())


@pytest.mark.parametrize("lost", list(Modality))
def test_preprocessor_reports_a_sensor_when_its_pose_is_unknown(lost: Modality) -> None:
    preprocessor = Preprocessor(Config())
    preprocessor.placer.give(lost, None)
    prepared = preprocessor(synced(everything()), ModalitySet.all())
    assert prepared.inputs.present == ModalitySet.all() - ModalitySet.of(lost)
    assert prepared.invalid[lost].reason == "no_pose"
    told = f"no transform from frame '{lost.value}' to 'base_link': set {lost.value}.translation_m"
    assert prepared.invalid[lost].detail.startswith(told)
    preprocessor.placer.give(lost, Pose((0.0, 0.0, 1.0), Config().sensor(lost).quaternion_xyzw))
    assert preprocessor(synced(everything()), ModalitySet.all()).inputs.present == ModalitySet.all()


def occupied(prepared: Prepared) -> set[tuple[int, int]]:
    """Centres of the occupied pillars, in whole decimetres."""
    assert prepared.inputs.lidar is not None
    cells = torch.nonzero(prepared.inputs.lidar[0, 5])
    return {(int(row) * 5 + 2, int(column) * 5 - 158) for row, column in cells}


def test_lidar_points_are_in_the_base_frame_when_the_lidar_is_mounted_turned() -> None:
    turned = (0.0, 0.0, float(np.sqrt(0.5)), float(np.sqrt(0.5)))  # its x axis points left
    config = override(Config(), {"lidar.translation_m": (2.0, 0.0, 1.5), "lidar.quaternion_xyzw": turned})
    prepared = prepare(
        {Modality.LIDAR: (sample(Modality.LIDAR, S, payload=cloud_of((4.3, -6.3, -0.5))),)}, config
    )
    assert occupied(prepared) == {(82, 42)}  # 8.3 m ahead, 4.3 m to the left
    assert prepared.inputs.lidar is not None
    pillar = prepared.inputs.lidar[0, :, 16, 40]
    np.testing.assert_allclose(pillar[1:5], [1.0, 1.0, 1.0, 0.2], atol=1e-6)


def turning(rate_rad_s: float) -> tuple[Sample, ...]:
    reading = ImuReading(np.array([0.0, 0.0, rate_rad_s]), np.array([0.0, 0.0, 9.81]))
    return tuple(sample(Modality.IMU, S - offset * MS, payload=reading) for offset in range(100, -1, -5))


def test_lidar_is_moved_to_the_stamp_of_the_set_when_the_robot_turns() -> None:
    ahead = (sample(Modality.LIDAR, S - 100 * MS, payload=cloud_of((10.2, 0.2, 0.0))),)
    assert occupied(prepare({Modality.LIDAR: ahead})) == {(102, 2)}
    prepared = prepare({Modality.LIDAR: ahead, Modality.IMU: turning(5.0)})
    assert occupied(prepared) == {(92, -48)}  # half a radian to the right of where it was
    masked = Preprocessor(Config())(
        synced({Modality.LIDAR: ahead, Modality.IMU: turning(5.0)}), ModalitySet.of(Modality.LIDAR)
    )
    assert occupied(masked) == {(102, 2)}  # an IMU that is not trusted moves nothing


@pytest.mark.parametrize(
    ("rate_rad_s", "used", "yaw"),
    [
        (2.0, ModalitySet.all(), 0.2),
        (-0.005, ModalitySet.all(), -0.0005),
        (2.0, ModalitySet.of(Modality.LIDAR), 0.0),
        (float("nan"), ModalitySet.all(), 0.0),
        (34.9, ModalitySet.all(), 0.0),  # the end of the gyro's range
    ],
)
def test_yaw_since_the_last_set_is_the_gyros_when_it_is_used_and_makes_sense(
    rate_rad_s: float, used: ModalitySet, yaw: float
) -> None:
    """A positive turn is to the left."""
    both = synced({Modality.LIDAR: (sample(Modality.LIDAR, S),), Modality.IMU: turning(rate_rad_s)})
    preprocessor = Preprocessor(Config())
    preprocessor(both, ModalitySet.of(Modality.LIDAR, Modality.IMU))
    assert preprocessor.yaw_since(both, used, S - 100 * MS) == pytest.approx(yaw, abs=1e-6)


def test_yaw_since_the_last_set_is_all_that_was_measured_when_sets_are_rare() -> None:
    """The robot turned for a fifth of a second, and has stood still for longer than the window is."""
    forces = np.array([0.0, 0.0, 9.81])
    measured = tuple(
        sample(Modality.IMU, S - ago * MS, payload=ImuReading(np.array([0.0, 0.0, rate]), forces))
        for ago in range(500, -1, -5)
        for rate in [2.0 if 200 <= ago < 400 else 0.0]
    )
    both = synced({Modality.LIDAR: (sample(Modality.LIDAR, S),), Modality.IMU: measured[-20:]})
    preprocessor = Preprocessor(Config())
    preprocessor(both, ModalitySet.all(), readings={Modality.IMU: measured})
    assert preprocessor.yaw_since(both, ModalitySet.all(), S - 500 * MS) == pytest.approx(0.4, abs=0.02)
    assert preprocessor.yaw_since(both, ModalitySet.all(), S - 90 * MS) == 0.0


def test_nothing_is_moved_by_a_reading_at_the_end_of_the_gyros_range() -> None:
    """As of a kerb's blow: the readings beside it tell how the robot turned."""
    window = list(turning(1.0))
    blow = ImuReading(np.array([0.0, 0.0, -34.9]), np.array([0.0, 0.0, 9.81]))
    window[-3:-1] = (replace(one, payload=blow) for one in window[-3:-1])
    ahead = (sample(Modality.LIDAR, S - 100 * MS, payload=cloud_of((20.2, 0.2, 0.0))),)
    both = {Modality.LIDAR: ahead, Modality.IMU: tuple(window)}
    assert occupied(prepare(both)) == occupied(prepare({**both, Modality.IMU: turning(1.0)}))
    preprocessor = Preprocessor(Config())
    preprocessor(synced(both), ModalitySet.all())
    assert preprocessor.yaw_since(synced(both), ModalitySet.all(), S - 100 * MS) == pytest.approx(0.1)


def test_camera_is_moved_to_the_stamp_of_the_set_when_the_robot_turns() -> None:
    pixels = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(pixels, (320, 240), 9, (255, 255, 255), -1)
    frame = ImageFrame(480, 640, 1920, "rgb8", False, pixels.reshape(-1))
    samples: dict[Modality, Any] = {Modality.CAMERA: (sample(Modality.CAMERA, S - 50 * MS, payload=frame),)}
    columns = []
    for window in ((), turning(4.0), turning(0.001)):
        if window:
            samples[Modality.IMU] = window
        image = prepare(samples).inputs.camera
        assert image is not None
        light = torch.where(image[0, 0] > UNSEEN, image[0, 0], 0.0).sum(dim=0)
        columns.append(float((torch.arange(GEOMETRY.image_width) * light).sum() / light.sum()))
    still, left_turn, hardly = columns
    assert still + 0.5 == pytest.approx(GEOMETRY.image_cx, abs=0.5)
    assert left_turn + 0.5 == pytest.approx(GEOMETRY.image_cx + GEOMETRY.image_fx * np.tan(0.2), abs=0.7)
    assert hardly == still


def test_preprocessor_uses_new_intrinsics_when_they_are_set() -> None:
    samples = {Modality.CAMERA: everything()[Modality.CAMERA]}
    preprocessor = Preprocessor(Config())
    before = preprocessor(synced(samples), ModalitySet.all()).inputs
    preprocessor.set_intrinsics(Intrinsics(640, 480, 1280.0, 1280.0, 320.0, 240.0))
    after = preprocessor(synced(samples), ModalitySet.all()).inputs
    assert before.camera_seen is None
    assert after.camera_seen is not None
    pixels = 16.0 * float(after.camera_seen.sum())
    assert pixels == pytest.approx(96 * 72, rel=0.1)  # a quarter of the angle, and so of the pixels
