"""Measures of quality: within their ranges, true to what they are called, and blind to absent sensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import model_input
from torch import Tensor

from sentryfuse_core.preprocess.audio import bearing_features
from sentryfuse_core.preprocess.lidar import pillars
from sentryfuse_core.preprocess.quality import MEASURES, measures_of, quality
from sentryfuse_core.preprocess.tensors import UNSEEN, ModelInput
from sentryfuse_core.types import Modality, ModalitySet

KEYS = [measure.key for measure in MEASURES]


def value(inputs: ModelInput, key: str, pcm: Tensor | None = None) -> float:
    return float(quality(inputs, pcm)[0, KEYS.index(key)])


def image(pixels: Tensor) -> ModelInput:
    return ModelInput(camera=pixels[None], camera_position=torch.zeros(1, 3))


def texture(seed: int = 0) -> Tensor:
    return 0.3 + 0.4 * torch.rand(3, 128, 384, generator=torch.Generator().manual_seed(seed))


def plane(*, sigma_m: float = 0.0, least_deg: float = -80.0, most_deg: float = 80.0) -> ModelInput:
    """Returns from level ground 3 to 30 m away between two bearings."""
    generator = torch.Generator().manual_seed(0)
    range_m = 3.0 + 27.0 * torch.rand(20_000, generator=generator)
    bearing = torch.deg2rad(least_deg + (most_deg - least_deg) * torch.rand(20_000, generator=generator))
    z = sigma_m * torch.randn(20_000, generator=generator)
    points = torch.stack((range_m * bearing.cos(), range_m * bearing.sin(), z, torch.full_like(z, 0.2)), -1)
    return ModelInput(lidar=pillars(points[None]))


def test_quality_lies_in_the_declared_ranges_when_sensors_send_anything() -> None:
    wild = model_input(batch=3)
    wild = replace(wild, imu=wild.imu * 1e4, lidar=wild.lidar * 50.0)  # type: ignore[operator]
    values = quality(wild, torch.randn(3, 2, 3200) * 5.0)
    assert values.shape == (3, len(MEASURES))
    for index, measure in enumerate(MEASURES):
        assert measure.low <= float(values[:, index].min())
        assert float(values[:, index].max()) <= measure.high


@pytest.mark.parametrize("modality", list(Modality))
def test_quality_is_zero_for_a_sensor_that_is_absent(modality: Modality) -> None:
    rest = ModalitySet.all() - ModalitySet.of(modality)
    whole, without = quality(model_input()), quality(model_input().only(rest))
    for index, measure in enumerate(MEASURES):
        wanted = torch.zeros(2) if measure.modality is modality else whole[:, index]
        assert torch.equal(without[:, index], wanted)


def test_camera_quality_says_what_is_wrong_with_the_image() -> None:
    good, half = texture(), texture()
    half[:, :, :192] = 0.0
    assert value(image(half), "camera.dark") == pytest.approx(0.5)
    assert value(image(half), "camera.flat") == pytest.approx(0.5)
    assert value(image(good), "camera.flat") == 0.0
    assert value(image(torch.ones(3, 128, 384)), "camera.bright") == 1.0
    assert value(image(good * 0.2), "camera.light") < 0.5 * value(image(good), "camera.light")
    smooth = torch.nn.functional.avg_pool2d(good[None], 5, stride=1, padding=2)[0]
    assert value(image(smooth), "camera.sharp") < 0.5 * value(image(good), "camera.sharp")
    assert value(image(smooth), "camera.grain") < value(image(good), "camera.grain")


def test_camera_quality_is_of_what_is_seen_when_the_view_is_partial() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, 128, 384, generator=generator) * 0.3
    seen = torch.ones(1, 1, 32, 96)
    seen[..., 60:] = 0.0
    inputs = ModelInput(camera=pixels, camera_position=torch.zeros(1, 3), camera_seen=seen)
    hidden = pixels.clone()
    hidden[..., 240:] = UNSEEN
    same = quality(replace(inputs, camera=hidden))
    torch.testing.assert_close(quality(inputs), same)
    whole = quality(replace(inputs, camera_seen=None))
    torch.testing.assert_close(same, whole, atol=0.003, rtol=0.0)
    all_of_it = quality(replace(inputs, camera_seen=torch.ones_like(seen)))
    torch.testing.assert_close(all_of_it, whole, atol=0.001, rtol=0.0)


def test_lidar_quality_says_what_is_wrong_with_the_cloud() -> None:
    assert value(plane(), "lidar.blocked") == 0.0
    assert value(plane(least_deg=0.0), "lidar.blocked") == pytest.approx(0.5)
    assert value(plane(), "lidar.rough") == 0.0
    assert value(plane(sigma_m=0.5), "lidar.rough") > 0.3
    assert value(plane(sigma_m=0.5), "lidar.thick") > 0.3
    assert value(plane(sigma_m=1.0), "lidar.below") > 0.3
    assert value(plane(), "lidar.intensity") == pytest.approx(0.2)
    few = replace(plane(), lidar=pillars(torch.tensor([[[5.0, 0.0, 0.0, 0.2]]])))
    assert value(few, "lidar.returns") < 0.1
    assert value(plane(), "lidar.returns") > 0.8


def test_imu_quality_says_that_axes_stand_still_or_shake() -> None:
    stuck = torch.zeros(1, 32, 6)
    stuck[..., 5] = 9.81
    assert value(ModelInput(imu=stuck), "imu.still") == 1.0
    assert value(ModelInput(imu=stuck), "imu.force") == pytest.approx(1.0)
    shaken = stuck + torch.randn(1, 32, 6, generator=torch.Generator().manual_seed(0))
    assert value(ModelInput(imu=shaken), "imu.still") == 0.0
    assert value(ModelInput(imu=shaken), "imu.shaking") == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize(
    ("turns_rad_s", "noise_rad_s", "told"),
    [
        ((0.0, 0.0, 2.0), 0.0, 0.0),
        ((0.0, 0.0, -2.0), 0.2, 0.35),
        ((0.0, 0.0, 30.0), 0.0, 27.0),
        ((1.0, 0.0, 2.0), 0.0, 1.0),
    ],
    ids=["turns", "noisy", "other units", "rolls on"],
)
def test_imu_quality_tells_what_no_turning_robot_explains_and_not_that_one_turns(
    turns_rad_s: tuple[float, float, float], noise_rad_s: float, told: float
) -> None:
    moves = noise_rad_s * torch.randn(1, 32, 6, generator=torch.Generator().manual_seed(0))
    moves[..., :3] += torch.tensor(turns_rad_s)
    assert value(ModelInput(imu=moves), "imu.turning") == pytest.approx(told, rel=0.2, abs=1e-6)


def test_audio_quality_says_that_sound_is_clipped_silent_or_out_of_step() -> None:
    one = 0.1 * torch.randn(1, 1, 3200, generator=torch.Generator().manual_seed(0))
    pcm = one.expand(-1, 2, -1)

    def of(sound: Tensor, key: str) -> float:
        return value(ModelInput(audio=bearing_features(sound, 0.4)), key, sound)

    assert of(pcm, "audio.clipped") == of(pcm, "audio.silent") == 0.0
    assert of((pcm * 100.0).clamp(-1.0, 1.0), "audio.clipped") > 0.8
    assert of(torch.zeros_like(pcm), "audio.silent") == 1.0
    assert of(torch.zeros_like(pcm), "audio.loudness") < 0.1 < of(pcm, "audio.loudness")
    apart = 0.1 * torch.randn(1, 2, 3200, generator=torch.Generator().manual_seed(1))
    assert of(apart, "audio.coherent") < 0.5 * of(pcm, "audio.coherent")


def test_measures_are_named_by_sensor_and_have_a_range_and_a_unit() -> None:
    assert len(set(KEYS)) == len(KEYS)
    for measure in MEASURES:
        assert measure.low < measure.high
        assert measure.unit
        assert measure.doc
    assert measures_of(("lidar.returns",))[0].modality is Modality.LIDAR
    with pytest.raises(KeyError, match=r"lidar\.colour"):
        measures_of(("lidar.colour",))
