"""Every number of the synthetic world: who lives in it, and how its sensors see and hear it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sentryfuse_core.lab.world.things import CLUTTER, THINGS, Thing
from sentryfuse_core.lab.world.variety import Variety

__all__ = [
    "CLASSES",
    "CLUTTER",
    "THINGS",
    "WEATHERS",
    "WORLDS",
    "CameraModel",
    "ImuModel",
    "LidarModel",
    "SoundModel",
    "TerrainModel",
    "Thing",
    "Traits",
    "WeatherModel",
    "WorldConfig",
    "held_out_world",
    "with_weather",
    "world_v2",
]


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
class WeatherModel:
    """Rain and fog; extinction per metre takes light twice from the lidar and contrast from the camera.

    Fog: extinction is 3 / meteorological optical range (Koschmieder's law, 5 % contrast). Rain: 0.01 R^0.6
    per metre for R mm/h and range noise 0.02 r (1 - exp(-R))^2 (Goodin et al., Electronics 8(1):89, 2019).
    """

    rain_share: float = 0.2  # of scenes
    fog_share: float = 0.12
    rain_mm_h: tuple[float, float] = (0.5, 8.0)
    fog_range_m: tuple[float, float] = (50.0, 250.0)  # meteorological optical range
    least_return: float = 0.02  # reflectivity that the lidar just sees at its largest range in clear air
    backscatter: float = 1.5  # share of rays that drops send back, for each 1/m of extinction
    backscatter_m: tuple[float, float] = (1.0, 10.0)  # from where they do


@dataclass(frozen=True, kw_only=True)
class TerrainModel:
    """Bumps that tilt the vehicle as it moves: a few waves along the way driven, for roll and for pitch."""

    smooth_share: float = 0.4  # of scenes, where it stays level
    waves: int = 3
    wavelength_m: tuple[float, float] = (2.5, 12.0)
    roll_deg: float = 1.6  # standard deviation on the roughest ground
    pitch_deg: float = 2.4


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
    tilt_error: float = 0.62  # of the filter that makes attitude from it, in standard deviations of the tilt
    tilt_noise_deg: float = 0.25  # and its error on smooth ground; both measured in drives


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

    version: int = 3
    objects: tuple[int, int] = (0, 9)  # fewest, most; in a street parked cars come beside
    clutter: tuple[int, int] = (3, 22)
    textures: tuple[int, ...] = (20, 21, 22, 23)  # seeds of the ground's patterns
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
    weather: WeatherModel = field(default_factory=WeatherModel)
    terrain: TerrainModel = field(default_factory=TerrainModel)
    variety: Variety | None = field(default_factory=Variety)  # None: one lidar, one camera, one kind of place

    @property
    def targets(self) -> int:
        """Slots of a scene that hold what is labelled: those that are heard, then parked cars."""
        return self.objects[1] + (0 if self.variety is None else self.variety.parked)

    @property
    def things(self) -> tuple[Thing, ...]:
        """The clutter of this world; its classes are counted on from those of CLASSES."""
        return CLUTTER if self.variety is None else THINGS


def world_v2() -> WorldConfig:
    """The world that weights before world_v3 were trained in: boxes on level ground, one lidar and camera."""
    return WorldConfig(version=2, objects=(4, 9), clutter=(0, 6), variety=None)


WORLDS = {"v3": WorldConfig, "v2": world_v2}
"""By version, newest first."""
WEATHERS = ("auto", "clear", "rain", "fog")


def with_weather(config: WorldConfig, weather: str) -> WorldConfig:
    """The world under one of WEATHERS; auto leaves it to chance."""
    if weather == "auto":
        return config
    rain, fog = float(weather == "rain"), float(weather == "fog")
    return replace(config, weather=replace(config.weather, rain_share=rain, fog_share=fog))


def held_out_world(config: WorldConfig | None = None) -> WorldConfig:
    """The same world with ground patterns and speeds that no training sees."""
    return replace(config or WorldConfig(), textures=(90, 91), ego_speed=(0.0, 7.5))
