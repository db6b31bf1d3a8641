"""Faults of tensors do what those of messages do, and every one has three severities."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from builders import chunk_message, cloud_message, image_message
from torch import Tensor

from sentryfuse_core.faults.hit import Hit
from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.faults.severities import SEVERITIES
from sentryfuse_core.faults.tensors import TENSOR_FAULTS, RawSet, spoil
from sentryfuse_core.types import Modality

HEIGHT, WIDTH = 16, 24


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def raw(seed: int = 0, *, batch: int = 2) -> RawSet:
    draw = torch.Generator().manual_seed(seed)
    points = torch.randn(batch, 300, 4, generator=draw) * torch.tensor([8.0, 8.0, 1.0, 0.1])
    return RawSet(
        image=torch.rand(batch, 3, HEIGHT, WIDTH, generator=draw),
        points=points,
        motion=torch.randn(batch, 32, 6, generator=draw),
        tilt=0.01 * torch.randn(batch, 2, generator=draw),
        pcm=0.1 * torch.randn(batch, 2, 3200, generator=draw),
        late_image=torch.rand(batch, 3, HEIGHT, WIDTH, generator=draw),
        late_points=points + 1.0,
    )


def equal(one: Tensor | None, other: Tensor | None) -> bool:
    assert one is not None
    assert other is not None
    return torch.equal(torch.nan_to_num(one, nan=-99.0), torch.nan_to_num(other, nan=-99.0))


FIELDS = {
    Modality.CAMERA: ("image",),
    Modality.LIDAR: ("points",),
    Modality.IMU: ("motion", "tilt"),
    Modality.AUDIO: ("pcm",),
}


@pytest.mark.parametrize(("sensor", "fault"), list(SEVERITIES))
def test_fault_spoils_its_own_sensor_alone_when_it_has_any_severity(sensor: Modality, fault: str) -> None:
    good = raw()
    for options in SEVERITIES[sensor, fault]:
        bad = spoil(good, sensor, fault, options, generator())
        for name in ("image", "points", "motion", "tilt", "pcm"):
            assert equal(getattr(bad, name), getattr(good, name)) == (name not in FIELDS[sensor])
            assert getattr(bad, name).shape == getattr(good, name).shape
        if sensor is Modality.CAMERA:
            assert bad.image is not None
            assert 0.0 <= float(bad.image.min()) <= float(bad.image.max()) <= 1.0


def test_every_tensor_fault_has_severities_and_the_other_way_round() -> None:
    assert TENSOR_FAULTS.keys() == SEVERITIES.keys()


def spoilt_message(message: SimpleNamespace, fault: str, options: Mapping[str, float]) -> Any:
    hit = Hit(options, np.random.default_rng(0))
    for damage in FAULTS[fault].spoils:
        message = damage(message, hit)
    return message


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("black", {}),
        ("white", {}),
        ("covered", {"left": 0.25, "right": 0.0, "top": 0.5, "bottom": 0.0, "level": 0.2, "sigma": 0.0}),
        ("covered", {"left": 0.0, "right": 0.0, "top": 0.0, "bottom": 0.0, "level": 0.0, "sigma": 0.0}),
    ],
)
def test_camera_fault_does_to_tensors_what_it_does_to_messages(fault: str, options: dict[str, float]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    told = spoilt_message(image_message("rgb8", pixels.reshape(HEIGHT, -1), width=WIDTH), fault, options)
    wanted = np.asarray(told.data, np.uint8).reshape(pixels.shape)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255.0
    bad = spoil(RawSet(image=image), Modality.CAMERA, fault, options, generator())
    assert bad.image is not None
    found = (bad.image[0].permute(1, 2, 0) * 255.0).round().to(torch.uint8).numpy()
    np.testing.assert_array_equal(found, wanted)


def test_blocked_does_to_points_what_it_does_to_clouds() -> None:
    xyz = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * 5.0
    options = {"from_deg": -20.0, "to_deg": 70.0}
    told = spoilt_message(cloud_message(dict(zip("xyz", xyz.T, strict=True))), "blocked", options)
    step = told.point_step
    rows = np.asarray(told.data, np.uint8).reshape(-1, step)
    x = rows[:, :4].copy().view("<f4")[:, 0]
    points = torch.from_numpy(np.concatenate((xyz, np.zeros((50, 1), np.float32)), axis=1))[None]
    bad = spoil(RawSet(points=points), Modality.LIDAR, "blocked", options, generator())
    assert bad.points is not None
    np.testing.assert_array_equal(np.isnan(bad.points[0, :, 0].numpy()), np.isnan(x))
    assert 0 < np.isnan(x).sum() < 50


@pytest.mark.parametrize(("fault", "options"), [("silent", {}), ("clipped", {"gain": 20.0})])
def test_audio_fault_does_to_tensors_what_it_does_to_messages(fault: str, options: dict[str, float]) -> None:
    pcm = np.random.default_rng(0).integers(-9000, 9000, (100, 2), dtype=np.int16)
    told = spoilt_message(chunk_message(pcm), fault, options)
    wanted = np.asarray(told.data, np.uint8).view("<i2").reshape(-1, 2)
    sound = torch.from_numpy(pcm.T.astype(np.float32))[None] / 32767.0
    bad = spoil(RawSet(pcm=sound), Modality.AUDIO, fault, options, generator())
    assert bad.pcm is not None
    np.testing.assert_allclose(bad.pcm[0].T.numpy() * 32767.0, wanted, atol=1.01)


def test_turned_lidar_moves_points_to_the_right_when_its_pose_is_wrong_to_the_left() -> None:
    points = torch.tensor([[[10.0, 0.0, 1.0, 0.5]]])
    bad = spoil(RawSet(points=points), Modality.LIDAR, "turned", {"yaw_deg": 90.0}, generator())
    torch.testing.assert_close(bad.points, torch.tensor([[[0.0, -10.0, 1.0, 0.5]]]), atol=1e-5, rtol=0.0)


def test_turned_camera_moves_the_image_by_its_focal_length_when_it_looks_left() -> None:
    image = torch.zeros(1, 3, 128, 384)
    image[..., 190:194] = 1.0
    bad = spoil(RawSet(image=image), Modality.CAMERA, "turned", {"yaw_deg": 10.0}, generator())
    assert bad.image is not None
    column = float((bad.image[0, 0, 60] * torch.arange(384)).sum() / bad.image[0, 0, 60].sum())
    assert column == pytest.approx(192.0 + 192.0 * np.tan(np.radians(10.0)), abs=2.0)


def test_stuck_imu_holds_its_first_reading_and_the_tilt_follows() -> None:
    bad = spoil(raw(), Modality.IMU, "stuck", {}, generator())
    assert bad.motion is not None
    assert torch.equal(bad.motion, bad.motion[:, :1].expand_as(bad.motion))


def test_spoil_raises_when_a_fault_has_no_tensor_form() -> None:
    with pytest.raises(KeyError):
        spoil(raw(), Modality.CAMERA, "drift", {}, generator())
