"""Section `health`: the thresholds by which a sensor is believed."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt

__all__ = ["HealthConfig"]


@dataclass(frozen=True, kw_only=True)
class HealthConfig:
    """When a sensor is believed."""

    timeout_periods: float = opt(3.0, "silence of this many periods is a lost sensor", low=1.5, high=100.0)
    timeout_floor_camera_s: float = opt(
        0.2, "but never less than this for the camera, in s", low=0.01, high=60.0
    )
    timeout_floor_lidar_s: float = opt(0.35, "the same for the lidar, in s", low=0.01, high=60.0)
    timeout_floor_imu_s: float = opt(0.25, "the same for the IMU, in s", low=0.01, high=60.0)
    timeout_floor_audio_s: float = opt(0.2, "the same for audio, in s", low=0.01, high=60.0)
    rate_warn: float = opt(
        0.9, "below this share of the expected rate a sensor is degraded", low=0.0, high=1.0
    )
    rate_error: float = opt(0.5, "below this share of the expected rate a sensor is lost", low=0.0, high=1.0)
    slowest_camera_hz: float = opt(
        2.0,
        "a camera whose learned rate is below this is degraded, in Hz; 0: any will do",
        low=0.0,
        high=1000.0,
    )
    slowest_lidar_hz: float = opt(2.0, "the same for the lidar, in Hz", low=0.0, high=1000.0)
    slowest_imu_hz: float = opt(20.0, "the same for the IMU, in Hz", low=0.0, high=10_000.0)
    slowest_audio_hz: float = opt(2.0, "the same for audio blocks, in Hz", low=0.0, high=10_000.0)
    disorder_share: float = opt(
        0.05, "share of the last 100 out of order or duplicate that degrades", low=0.0, high=1.0
    )
    frozen_image: int = opt(3, "identical images in a row that mean frozen", low=2, high=1000)
    frozen_cloud: int = opt(3, "identical clouds in a row that mean frozen", low=2, high=1000)
    frozen_imu: int = opt(20, "identical IMU readings in a row that mean frozen", low=2, high=10_000)
    frozen_audio: int = opt(10, "identical audio blocks in a row that mean frozen", low=2, high=10_000)
    invalid_share: float = opt(0.05, "share of the last 100 malformed that degrades", low=0.0, high=1.0)
    invalid_run: int = opt(10, "malformed messages in a row that mean lost", low=2, high=1000)
    bad_of_five: int = opt(3, "bad ones of the last five content checks that degrade", low=1, high=5)
    recover_good: int = opt(5, "good messages before a lost sensor is used again", low=1, high=1000)
    recover_s: float = opt(1.0, "and at least this long, in s", low=0.0, high=60.0)
    relapse_s: float = opt(30.0, "a relapse within this time doubles the hold, in s", low=0.0, high=3600.0)
    hold_cap_s: float = opt(16.0, "longest hold, in s", low=0.0, high=3600.0)
    black_level: float = opt(16.0, "mean below this without structure is black, of 255", low=0.0, high=255.0)
    white_level: float = opt(240.0, "mean above this without structure is white, of 255", low=0.0, high=255.0)
    flat_std: float = opt(
        1.0,
        "deviation between blocks of the image below this, beyond pixel noise, is no structure, of 255",
        low=0.0,
        high=255.0,
    )
    covered_share: float = opt(
        0.3,
        "part of the image that lost the structure it used to have and means a blocked lens",
        low=0.05,
        high=1.0,
    )
    gapped_share: float = opt(
        0.05, "share of the time that no block of audio covers that is gapped audio", low=0.0, high=1.0
    )
    clock_apart_s: float = opt(
        10.0,
        "stamps further than this from the clock, again and again, are another clock's, in s",
        low=1.0,
        high=1e9,
    )
    stuck_axis_s: float = opt(
        1.0,
        "one IMU axis constant to the bit for this long while others move is stuck, in s",
        low=0.01,
        high=3600.0,
    )
    min_points: int = opt(50, "fewer finite points are a blind lidar", low=0, high=1_000_000)
    blocked_sector_deg: float = opt(
        60.0, "wider empty sectors mean a blocked lidar, in degrees", low=1.0, high=360.0
    )
    gyro_full_scale_rad_s: float = opt(
        34.9, "readings at this value are saturated, in rad/s", low=0.1, high=1000.0
    )
    accel_full_scale_m_s2: float = opt(
        156.9, "readings at this value are saturated, in m/s^2", low=1.0, high=10_000.0
    )
    clipped_share: float = opt(0.1, "share of samples at full scale that is clipped audio", low=0.0, high=1.0)
