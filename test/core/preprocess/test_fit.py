"""What is told where data does not fit the parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import MS, S, cloud_message, image_message, sample
from builders import image_frame as noisy_image

from sentryfuse_core.config import Config, override
from sentryfuse_core.convert.cloud import point_cloud
from sentryfuse_core.convert.image import image_frame
from sentryfuse_core.preprocess.fit import FitCheck, audio_misfit, lidar_misfit
from sentryfuse_core.types import AudioBlock, Intrinsics, Modality, Sample, SyncedSet

CAMERA, LIDAR, IMU, AUDIO = Modality
TWO_IMUS = {"sensors": ["a", "b"], "a.kind": "imu", "b.kind": "imu"}
INTRINSICS = Intrinsics(4, 4, 2.0, 2.0, 2.0, 2.0)


def block(stamp_ns: int, *, stamped: bool = False) -> Sample:
    """20 ms of stereo at 16 kHz."""
    return sample(AUDIO, stamp_ns, payload=AudioBlock(np.zeros((320, 2), np.int16), 16_000, stamped))


@pytest.mark.parametrize("stamped", [False, True])
def test_audio_fits_when_blocks_were_lost_or_came_in_bursts(stamped: bool) -> None:
    steady = [block(S + index * 20 * MS, stamped=stamped) for index in range(40)]
    assert audio_misfit(steady) is None
    assert audio_misfit([item for index, item in enumerate(steady) if index % 4]) is None
    slow = [block(S + index * 27 * MS, stamped=stamped) for index in range(40)]
    assert "audio.sample_rate_hz" in str(audio_misfit(slow))


def test_audio_fits_when_headerless_blocks_come_in_bursts() -> None:
    assert audio_misfit([block(S + index // 4 * 80 * MS + index % 4 * MS) for index in range(40)]) is None


def synced(modality: Modality, *samples: Sample) -> SyncedSet:
    stamp_ns = samples[-1].stamp_ns
    return SyncedSet(0, 0, stamp_ns, None, {modality: samples}, {}, stamp_ns, stamp_ns, stamp_ns)


def test_audio_is_judged_when_each_set_holds_only_two_blocks() -> None:
    check, notes = FitCheck(Config(), {CAMERA: INTRINSICS}), []
    for index in range(40):
        pair = [block(S + (index + later) * 30 * MS) for later in (0, 1)]
        notes += check.look(synced(AUDIO, *pair), felt_m_s2={})
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("felt_m_s2", "told"),
    [
        ((0.3, -0.2, 9.7), ""),
        ((3.0, 0.0, 9.0), ""),  # it brakes
        ((0.0, 0.0, -9.8), "sign"),
        ((9.8, 0.0, 0.1), "imu.quaternion_xyzw"),
        ((0.0, 0.0, 0.1), ""),  # told by its unit
    ],
)
def test_imu_says_what_to_correct_when_gravity_is_not_felt_upwards(
    felt_m_s2: tuple[float, ...], told: str
) -> None:
    check, notes = FitCheck(Config(), {CAMERA: INTRINSICS}), []
    for _ in range(60):
        notes += check.look(synced(IMU, sample(IMU, S)), felt_m_s2={IMU: felt_m_s2})
    assert len(notes) == bool(told)
    assert told in "".join(notes)


@pytest.mark.parametrize(
    ("largest", "full_scale", "told"),
    [(0.9, 255.0, "set it to 1 "), (200.0, 255.0, ""), (0.9, 1.0, ""), (60_000.0, 255.0, "set it to 65535 ")],
)
def test_lidar_says_what_to_set_when_intensities_have_another_scale(
    largest: float, full_scale: float, told: str
) -> None:
    columns = {name: np.ones(50, np.float32) for name in "xyz"} | {
        "intensity": np.linspace(0, largest, 50, dtype="f4")
    }
    found = lidar_misfit(sample(LIDAR, S, payload=point_cloud(cloud_message(columns))), full_scale)
    assert told in (found or "")
    assert (found is None) == (not told)


def test_camera_is_checked_again_when_a_camera_info_comes() -> None:
    picture = sample(
        CAMERA, S, payload=image_frame(image_message("16UC1", np.zeros((4, 8), np.uint8), width=4))
    )
    check = FitCheck(Config(), {CAMERA: INTRINSICS})
    (note,) = check.look(synced(CAMERA, picture), felt_m_s2={})
    assert "16UC1" in note
    assert check.look(synced(CAMERA, picture), felt_m_s2={}) == []
    check.set_intrinsics(Intrinsics(1280, 720, 640.0, 640.0, 640.0, 360.0), frame_id="")
    assert any("CameraInfo" in note for note in check.look(synced(CAMERA, picture), felt_m_s2={}))


def picture(width: int = 640, height: int = 480) -> SyncedSet:
    return synced(CAMERA, sample(CAMERA, S, payload=noisy_image(width=width, height=height)))


def test_camera_misfit_is_taken_back_when_the_camera_info_comes() -> None:
    check = FitCheck(Config(), {CAMERA: Intrinsics(1280, 300, 640.0, 640.0, 640.0, 150.0)})
    (note,) = check.look(picture(), felt_m_s2={})
    assert check.misfits == (note,)
    check.set_intrinsics(Intrinsics(640, 480, 320.0, 320.0, 320.0, 240.0), frame_id=CAMERA.value)
    assert check.look(picture(), felt_m_s2={}) == []
    assert check.misfits == check.told == ()


def test_camera_is_checked_again_and_told_once_when_its_pictures_change() -> None:
    check = FitCheck(Config(), {CAMERA: INTRINSICS})
    check.set_intrinsics(Intrinsics(640, 480, 320.0, 320.0, 320.0, 240.0), frame_id=CAMERA.value)
    assert check.look(picture(), felt_m_s2={}) == []
    (note,) = check.look(picture(1280, 720), felt_m_s2={})
    assert "1280 x 720 pixels, CameraInfo holds for 640 x 480" in note
    assert check.misfits == (note,)
    for _ in range(3):
        assert check.look(picture(), felt_m_s2={}) == []
        assert check.misfits == ()
        assert check.look(picture(1280, 720), felt_m_s2={}) == []
        assert check.misfits == (note,)
    check.look(picture(), felt_m_s2={})
    assert (check.misfits, check.told) == ((), (note,)), "it was so for some of the pictures"


def test_audio_misfit_is_taken_back_when_an_audio_info_corrects_its_rate() -> None:
    check = FitCheck(Config(), {})
    wrong = AudioBlock(np.zeros((320, 2), np.int16), 8_000, False)  # 40 ms, as nobody said otherwise yet
    for index in range(60):
        block_now = wrong if index < 30 else replace(wrong, sample_rate_hz=16_000)
        check.look(synced(AUDIO, sample(AUDIO, S + index * 20 * MS, payload=block_now)), felt_m_s2={})
        assert bool(check.misfits) == (19 <= index < 30)


UPSIDE_DOWN = (0.0, 0.0, -9.8)


def two_imus() -> SyncedSet:
    samples = {name: (sample(IMU, S, name=name),) for name in ("a", "b")}
    return SyncedSet(0, 0, S, None, samples, {}, S, S, S)


def test_imu_that_is_mounted_wrong_is_told_by_its_name_when_it_is_the_one_in_use() -> None:
    check, notes = FitCheck(override(Config(), TWO_IMUS), {}), []
    for _ in range(60):
        notes += check.look(two_imus(), felt_m_s2={"a": (0.1, 0.0, 9.8)})
    assert notes == []
    for _ in range(60):
        notes += check.look(two_imus(), felt_m_s2={"b": UPSIDE_DOWN})
    (note,) = notes
    assert note.startswith("b: acceleration averages")


def test_imu_misfit_is_taken_back_when_its_pose_is_corrected() -> None:
    check = FitCheck(Config(), {})
    for index in range(120):
        felt = (0.01 * index, 0.0, -9.8 if index < 60 else 9.8)
        fresh = check.look(synced(IMU, sample(IMU, S)), felt_m_s2={IMU: felt})
        assert len(fresh) == (index == 19)
        assert bool(check.misfits) == (19 <= index < 79)


@pytest.mark.parametrize(("largest", "told"), [(1023, True), (4095, True), (65535, False)])
def test_bits_that_are_not_filled_are_told_when_a_picture_has_16(largest: int, *, told: bool) -> None:
    check, notes = FitCheck(Config(), {CAMERA: INTRINSICS}), list[str]()
    for index in range(20):
        bright = largest if index else 0  # the first picture of many cameras is black
        values = np.linspace(0, bright, 16).astype("<u2").reshape(4, 4)
        picture = image_frame(image_message("mono16", values.view(np.uint8), width=4))
        notes += check.look(synced(CAMERA, sample(CAMERA, S, payload=picture)), felt_m_s2={})
    assert any("higher 8 are read" in note for note in notes) is told
