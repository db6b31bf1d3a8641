"""The feature functions that training and the running robot share."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sentryfuse_core.preprocess.audio import SPEED_OF_SOUND_M_S, bearing_features
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.imu import resample
from sentryfuse_core.preprocess.lidar import pillars

RATE_HZ = GEOMETRY.audio_rate_hz


def delayed_pair(
    bearing_deg: float, *, spacing_m: float = 0.4, noise: float = 0.0, seed: int = 0
) -> torch.Tensor:
    """White noise from one bearing at two microphones, [1, 2, 3200]: the nearer one hears it first."""
    rng = np.random.default_rng(seed)
    count = 8192
    spectrum = np.fft.rfft(rng.normal(0.0, 0.1, count))
    frequency_hz = np.fft.rfftfreq(count, 1.0 / RATE_HZ)
    half_lag_s = 0.5 * spacing_m * math.sin(math.radians(bearing_deg)) / SPEED_OF_SOUND_M_S
    left = np.fft.irfft(spectrum * np.exp(2j * np.pi * frequency_hz * half_lag_s))
    right = np.fft.irfft(spectrum * np.exp(-2j * np.pi * frequency_hz * half_lag_s))
    pair = np.stack([left, right])[:, :3200] + rng.normal(0.0, noise, (2, 3200))
    return torch.from_numpy(pair)[None]


@pytest.mark.parametrize("index", range(1, 15))
def test_bearing_features_peak_at_the_source_when_it_is_broadband(index: int) -> None:
    bearing_deg = math.degrees(GEOMETRY.bearings_rad[index])
    features = bearing_features(delayed_pair(bearing_deg, noise=0.03), 0.4)
    assert features.shape == (1, 16, 16)
    correlation = features[0, :, :8].mean(dim=-1)
    assert int(correlation.argmax()) == index
    assert correlation[index] > 0.8


def test_bearing_features_hear_the_left_when_the_left_channel_leads() -> None:
    early = torch.randn(3300, generator=torch.Generator().manual_seed(1)) * 0.1
    pair = torch.stack([early[10:3210], early[:3200]])[None]  # the right channel lags by 10 samples
    correlation = bearing_features(pair, 0.4)[0, :, :8].mean(dim=-1)
    assert GEOMETRY.bearings_rad[int(correlation.argmax())] > 0.3


def test_bearing_features_are_zero_when_silent_and_mono_has_energies_only() -> None:
    assert not bearing_features(torch.zeros(2, 2, 3200), 0.4).any()
    mono = bearing_features(delayed_pair(30.0)[:, :1], 0.4)
    assert not mono[..., :8].any()
    assert (mono[..., 8:] > 0.5).all()


def test_bearing_features_rank_energy_when_one_band_is_loud() -> None:
    time_s = torch.arange(3200) / RATE_HZ
    tone = 0.5 * torch.sin(2 * math.pi * 1000.0 * time_s)
    energy = bearing_features(tone.expand(1, 2, 3200), 0.4)[0, 0, 8:]
    assert int(energy.argmax()) == 4  # 894 to 1546 Hz
    assert energy[4] == pytest.approx(1.0 + math.log10(0.125) / 10.0, abs=0.02)


def test_bearing_features_are_the_same_when_batched() -> None:
    parts = [delayed_pair(bearing, seed=seed) for seed, bearing in enumerate((-60.0, 5.0, 80.0))]
    together = bearing_features(torch.cat(parts), 0.4)
    for index, part in enumerate(parts):
        torch.testing.assert_close(
            together[index : index + 1], bearing_features(part, 0.4), atol=1e-5, rtol=1e-4
        )


def slow_pillars(points: np.ndarray) -> np.ndarray:
    """One point at a time."""
    cells: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for x, y, z, intensity in points:
        if not np.isfinite([x, y, z, intensity]).all() or not -3.0 <= z <= 6.0:
            continue
        if 0.0 <= x < 32.0 and -16.0 <= y < 16.0:
            cells.setdefault((math.floor(x / 0.5), math.floor((y + 16.0) / 0.5)), []).append(
                (z, min(max(intensity, 0.0), 1.0))
            )
    grid = np.zeros((6, 64, 64))
    for (row, column), members in cells.items():
        heights, strengths = np.array(members).T
        shape = (heights.max(), heights.mean(), heights.min())
        grid[:, row, column] = (math.log1p(len(members)) / 4.0, *shape, strengths.mean(), 1.0)
    return grid


def test_pillars_equal_the_slow_reference_when_points_are_dirty() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal([16.0, 0.0, 1.0, 0.5], [12.0, 10.0, 2.5, 0.5], (2, 3000, 4)).astype(np.float32)
    points[rng.random(points.shape) < 0.02] = np.nan
    points[rng.random(points.shape) < 0.01] = np.inf
    points[0, :50] = points[0, 50]  # many in one cell
    result = pillars(torch.from_numpy(points)).numpy()
    for index in range(2):
        np.testing.assert_allclose(result[index], slow_pillars(points[index]), atol=1e-5)


def test_pillars_are_zero_when_no_point_is_inside() -> None:
    outside = torch.tensor([[[-1.0, 0.0, 0.0, 0.5], [5.0, 16.0, 0.0, 0.5], [5.0, 0.0, 9.0, 0.5]]])
    assert not pillars(outside).any()
    assert not pillars(torch.empty(1, 0, 4)).any()


def test_pillars_tell_the_same_when_a_dense_cloud_is_denser_still() -> None:
    rng = np.random.default_rng(4)
    cloud = torch.from_numpy(rng.uniform([0, -16, -1, 0], [32, 16, 4, 1], (1, 12_000, 4)).astype(np.float32))
    usual = pillars(cloud)
    beside = torch.cat((cloud, cloud + torch.tensor([100.0, 0.0, 0.0, 0.0])), dim=1)
    torch.testing.assert_close(pillars(beside), usual)  # what lies outside the region makes it no denser
    five = pillars(torch.cat((cloud.repeat(1, 5, 1), cloud.repeat(1, 5, 1) * torch.nan), dim=1))
    torch.testing.assert_close(five, usual, atol=1e-5, rtol=1e-5)


def test_pillars_scale_each_cloud_of_a_batch_alone_when_one_is_dense() -> None:
    rng = np.random.default_rng(5)
    dense = torch.from_numpy(rng.uniform([0, -16, -1, 0], [32, 16, 4, 1], (20_000, 4)).astype(np.float32))
    sparse = dense.where((torch.arange(20_000) % 4 == 0)[:, None], torch.tensor(torch.nan))
    together = pillars(torch.stack((dense, sparse)))
    torch.testing.assert_close(together[:1], pillars(dense[None]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together[1:], pillars(sparse[None]), atol=1e-5, rtol=1e-5)
    assert float(torch.expm1(4.0 * together[:, 0]).sum(dim=(1, 2))[0]) == pytest.approx(12_000, rel=1e-4)


def test_resample_is_exact_when_values_are_linear_in_time() -> None:
    times_s = torch.linspace(-0.1, 0.0, 21).expand(3, 21) + torch.tensor([[0.0], [-0.002], [0.001]])
    values = torch.stack([2.0 * times_s + channel for channel in range(6)], dim=-1)
    result = resample(times_s, values)
    grid = torch.linspace(-0.1, 0.0, 32)
    expected = 2.0 * torch.minimum(torch.maximum(grid, times_s[:, :1]), times_s[:, -1:])
    torch.testing.assert_close(result[..., 0], expected)
    torch.testing.assert_close(result[..., 5], expected + 5.0)


def test_resample_holds_the_reading_when_there_is_one() -> None:
    result = resample(torch.tensor([[-0.03]]), torch.arange(6.0).view(1, 1, 6))
    torch.testing.assert_close(result, torch.arange(6.0).expand(1, 32, 6))
