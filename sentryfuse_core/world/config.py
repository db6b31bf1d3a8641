"""Every number of the synthetic world: who lives in it, and how its sensors see and hear it."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CLASSES", "CameraModel", "ImuModel", "LidarModel", "SoundModel", "Traits", "WorldConfig"]


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What members of one class have in common: mean and spread of size (m), speed (m/s) and loudness."""

    label: str
    share: float  # of all objects
    size: tuple[float, float, float]  # length, width, height
    size_spread: tuple[float, float, float]  # standard deviations of the same
    speed: tuple[float, float]  # slowest, fastest
    standing: float  # share that stands still
    reflectivity: tuple[float, float]  # for the lidar, 0..1
    loudness: float  # root mean square at 1 m, full scale 1.0


CLASSES: tuple[Traits, ...] = (
    Traits(
        label="car",
        share=0.4,
        size=(4.4, 1.85, 1.55),
        size_spread=(0.35, 0.08, 0.14),
        speed=(1.0, 8.0),
        standing=0.25,
        reflectivity=(0.35, 0.8),
        loudness=0.25,
    ),
    Traits(
        label="pedestrian",
        share=0.35,
        size=(0.5, 0.6, 1.72),
        size_spread=(0.05, 0.06, 0.1),
        speed=(0.6, 1.9),
        standing=0.15,
        reflectivity=(0.2, 0.45),
        loudness=0.14,
    ),
    Traits(
        label="cyclist",
        share=0.25,
        size=(1.75, 0.6, 1.72),
        size_spread=(0.08, 0.05, 0.08),
        speed=(2.0, 6.0),
        standing=0.0,
        reflectivity=(0.25, 0.6),
        loudness=0.16,
    ),
)


@dataclass(frozen=True, kw_only=True)
class CameraModel:
    """Pinhole camera that looks straight along the base frame's x axis; sizes in pixels."""

    width: int = 640
    height: int = 480
    focal: float = 320.0
    rate_hz: int = 15
    latency_ns: int = 15_000_000
    full_well: float = 10_000.0  # electrons at full scale and gain 1
    read_noise: float = 6.0  # electrons
    max_gain: float = 16.0
    night_illumination: float = 0.004  # of noon's
    haze_m: float = 160.0  # distance after which 1/e of the contrast is left
    jpeg_quality: int = 90


@dataclass(frozen=True, kw_only=True)
class LidarModel:
    """Spinning lidar; a whole sweep is taken at one instant, the stamp."""

    beams: int = 32
    columns: int = 720
    lowest_deg: float = -22.0
    highest_deg: float = 6.0
    rate_hz: int = 10
    latency_ns: int = 5_000_000
    max_range_m: float = 60.0
    noise_m: float = 0.02  # standard deviation of the range
    noise_per_m: float = 0.0005  # and its growth with range
    dropout: float = 0.02  # share of lost returns near by
    dropout_far: float = 0.35  # and what is added to it at max_range_m
    ground_reflectivity: float = 0.18


@dataclass(frozen=True, kw_only=True)
class ImuModel:
    """Inertial unit in base axes; specific force, so +9.81 upwards at rest."""

    rate_hz: int = 200
    latency_ns: int = 1_000_000
    gravity: float = 9.81
    gyro_noise: float = 0.004  # rad/s, standard deviation of a sample
    gyro_bias: float = 0.003
    accel_noise: float = 0.04  # m/s^2
    accel_bias: float = 0.05
    vibration: float = 0.06  # m/s^2 for each m/s of speed


@dataclass(frozen=True, kw_only=True)
class SoundModel:
    """Two microphones, left then right."""

    sample_rate_hz: int = 16_000
    block_samples: int = 320
    latency_ns: int = 2_000_000  # after the last sample of a block
    speed_m_s: float = 343.0
    noise: float = 0.0025  # root mean square of the background, full scale 1.0
    tape_s: float = 8.0  # a source's broadband noise repeats after this time


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """The world and where its sensors sit; lengths in metres in the base frame."""

    objects: tuple[int, int] = (4, 9)  # fewest, most
    region_x: tuple[float, float] = (1.5, 33.0)  # where most objects are
    region_y: tuple[float, float] = (-16.5, 16.5)
    keep_out: float = 2.5  # free distance around the vehicle
    label_range: float = 40.0  # boxes whose centre is further are not labelled
    ego_speed: tuple[float, float] = (0.0, 6.0)
    ego_yaw_rate: float = 0.25  # rad/s, largest
    camera: CameraModel = field(default_factory=CameraModel)
    lidar: LidarModel = field(default_factory=LidarModel)
    imu: ImuModel = field(default_factory=ImuModel)
    sound: SoundModel = field(default_factory=SoundModel)
