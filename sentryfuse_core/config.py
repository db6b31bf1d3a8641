"""Every default, once: frozen sections with units, ranges and help, read from YAML or ROS parameters.

The dotted path of a field (`sync.max_wait_s`) is its name in YAML, on the command line and as a ROS
parameter. Unknown keys and values out of range raise ConfigError; nothing is corrected in silence.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.safe_files import read_yaml
from sentryfuse_core.types import Modality

__all__ = [
    "AudioConfig",
    "BudgetConfig",
    "CameraConfig",
    "Config",
    "HealthConfig",
    "ImuConfig",
    "LidarConfig",
    "ModelConfig",
    "Option",
    "OutputConfig",
    "SensorConfig",
    "SyncConfig",
    "foreign",
    "load_yaml",
    "options",
    "override",
    "to_mapping",
]

T = TypeVar("T")


def _opt(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Declare an option: default, help with unit, inclusive range, and whether it may change at run time."""
    return field(
        default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices, "live": live}
    )


@dataclass(frozen=True, kw_only=True)
class SensorConfig:
    """What holds for every sensor."""

    enabled: bool = _opt(default=True, doc="subscribe to this sensor at all")
    topic: str = _opt("", "topic, relative names go under the node's namespace")
    reliability: str = _opt("best_effort", "QoS reliability", choices=("best_effort", "reliable"))
    depth: int = _opt(5, "QoS history depth in messages", low=1, high=10_000)
    expected_rate_hz: float = _opt(0.0, "expected rate in Hz; 0: learn it", low=0.0, high=10_000.0)
    may_repeat: bool = _opt(
        default=False,
        doc="messages may be equal to the bit, as those of a simulator without noise; never found frozen",
    )
    stamp_offset_s: float = _opt(0.0, "constant taken off every stamp, in s", low=-10.0, high=10.0)
    frame_id: str = _opt("", "frame that overrides the message's; empty: use the message's")
    translation_m: tuple[float, float, float] = _opt(
        (0.0, 0.0, 0.0), "sensor in the base frame: x, y, z in m"
    )
    quaternion_xyzw: tuple[float, float, float, float] = _opt(
        (0.0, 0.0, 0.0, 1.0), "rotation from the sensor's frame to the base frame, unit quaternion x, y, z, w"
    )


@dataclass(frozen=True, kw_only=True)
class CameraConfig(SensorConfig):
    """Front camera; its frame is optical: z forward, x right, y down."""

    topic: str = _opt("camera/image", "image topic; compressed transport adds '/compressed' if missing")
    translation_m: tuple[float, float, float] = _opt(
        (0.3, 0.0, 1.5), "camera in the base frame: x, y, z in m"
    )
    quaternion_xyzw: tuple[float, float, float, float] = _opt(
        (-0.5, 0.5, -0.5, 0.5),
        "rotation from the optical frame to the base frame, unit quaternion x, y, z, w",
    )
    expected_lag_s: float = _opt(
        0.0,
        "known delay from stamp to arrival in s; much more is taken for a wrong clock",
        low=0.0,
        high=10.0,
    )
    transport: str = _opt(
        "raw", "sensor_msgs/Image or sensor_msgs/CompressedImage", choices=("raw", "compressed")
    )
    info_topic: str = _opt("camera/camera_info", "sensor_msgs/CameraInfo; replaces the intrinsics below")
    rectified: str = _opt(
        "auto",
        "whether pictures are undistorted, so that P of CameraInfo holds and D does not; auto: by the name "
        "of the topic (image_rect, rectified, undistorted)",
        choices=("auto", "always", "never"),
    )
    image_width: int = _opt(640, "width that the intrinsics hold for, in pixels", low=1, high=16_384)
    image_height: int = _opt(480, "height that the intrinsics hold for, in pixels", low=1, high=16_384)
    fx: float = _opt(320.0, "focal length x in pixels", low=1.0, high=100_000.0)
    fy: float = _opt(320.0, "focal length y in pixels", low=1.0, high=100_000.0)
    cx: float = _opt(320.0, "principal point x in pixels", low=-100_000.0, high=100_000.0)
    cy: float = _opt(240.0, "principal point y in pixels", low=-100_000.0, high=100_000.0)


@dataclass(frozen=True, kw_only=True)
class LidarConfig(SensorConfig):
    """Spinning lidar; its frame has x forward, y left, z up."""

    topic: str = _opt("lidar/points", "sensor_msgs/PointCloud2 topic")
    translation_m: tuple[float, float, float] = _opt((0.0, 0.0, 1.8), "lidar in the base frame: x, y, z in m")
    expected_lag_s: float = _opt(
        0.0,
        "known delay from stamp to arrival in s; much more is taken for a wrong clock",
        low=0.0,
        high=10.0,
    )
    intensity_full_scale: float = _opt(255.0, "intensity that counts as 1.0", low=1e-6, high=1e9)


@dataclass(frozen=True, kw_only=True)
class ImuConfig(SensorConfig):
    """Inertial unit, rigidly mounted; x forward, y left, z up after the rotation below."""

    topic: str = _opt("imu/data", "sensor_msgs/Imu topic")
    depth: int = _opt(100, "QoS history depth in messages", low=1, high=10_000)
    window_s: float = _opt(0.1, "samples in (stamp - window, stamp] go into a set, in s", low=0.005, high=5.0)


@dataclass(frozen=True, kw_only=True)
class AudioConfig(SensorConfig):
    """Pair of microphones, left then right, along the base frame's y axis."""

    topic: str = _opt("audio", "AudioChunk, audio_common (both families) or Int16MultiArray topic")
    depth: int = _opt(50, "QoS history depth in messages", low=1, high=10_000)
    info_topic: str = _opt(
        "audio_info", "audio_common_msgs/AudioInfo; replaces sample_rate_hz, channels and encoding below"
    )
    window_s: float = _opt(
        0.2, "blocks that start in (stamp - window, stamp] go into a set, in s", low=0.01, high=5.0
    )
    translation_m: tuple[float, float, float] = _opt(
        (0.2, 0.0, 1.2), "middle of the pair in the base frame, in m"
    )
    spacing_m: float = _opt(0.4, "distance between the two microphones in m", low=0.01, high=5.0)
    latency_s: float = _opt(0.05, "capture latency of blocks without a header, in s", low=0.0, high=5.0)
    sample_rate_hz: int = _opt(
        16_000, "rate of messages that do not say theirs, in Hz", low=1_000, high=384_000
    )
    channels: int = _opt(2, "channels of messages that do not say theirs", low=1, high=64)
    encoding: str = _opt("S16LE", "encoding of messages that do not say theirs", choices=("S16LE", "F32LE"))


@dataclass(frozen=True, kw_only=True)
class SyncConfig:
    """When samples become a set."""

    max_wait_s: float = _opt(0.05, "longest wait after the anchor arrived, in s", low=0.0, high=1.0)
    slop_s: float = _opt(0.04, "largest distance of a paired camera or lidar sample in s; at most T/2",
                         low=0.0, high=1.0)  # fmt: skip
    tick_period_s: float = _opt(0.1, "period of sets when neither camera, lidar nor audio lives, in s",
                                low=0.01, high=10.0)  # fmt: skip
    audio_anchor_period_s: float = _opt(0.1, "distance of two sets anchored on audio, to half a block, in s",
                                        low=0.01, high=10.0)  # fmt: skip
    max_future_s: float = _opt(0.5, "stamps further in the future are dropped, in s", low=0.01, high=60.0)
    jump_back_s: float = _opt(
        1.0, "two streams going back further than this are a time jump, in s", low=0.1, high=60.0
    )
    rebase_messages: int = _opt(
        5, "consistent messages before a stream that went back is believed", low=2, high=100
    )
    buffer_s: float = _opt(2.0, "longest time a sample is kept, in s", low=0.1, high=60.0)


@dataclass(frozen=True, kw_only=True)
class HealthConfig:
    """When a sensor is believed."""

    timeout_periods: float = _opt(3.0, "silence of this many periods is a lost sensor", low=1.5, high=100.0)
    timeout_floor_camera_s: float = _opt(
        0.2, "but never less than this for the camera, in s", low=0.01, high=60.0
    )
    timeout_floor_lidar_s: float = _opt(0.35, "the same for the lidar, in s", low=0.01, high=60.0)
    timeout_floor_imu_s: float = _opt(0.25, "the same for the IMU, in s", low=0.01, high=60.0)
    timeout_floor_audio_s: float = _opt(0.2, "the same for audio, in s", low=0.01, high=60.0)
    rate_warn: float = _opt(
        0.9, "below this share of the expected rate a sensor is degraded", low=0.0, high=1.0
    )
    rate_error: float = _opt(0.5, "below this share of the expected rate a sensor is lost", low=0.0, high=1.0)
    slowest_camera_hz: float = _opt(
        2.0,
        "a camera whose learned rate is below this is degraded, in Hz; 0: any will do",
        low=0.0,
        high=1000.0,
    )
    slowest_lidar_hz: float = _opt(2.0, "the same for the lidar, in Hz", low=0.0, high=1000.0)
    slowest_imu_hz: float = _opt(20.0, "the same for the IMU, in Hz", low=0.0, high=10_000.0)
    slowest_audio_hz: float = _opt(2.0, "the same for audio blocks, in Hz", low=0.0, high=10_000.0)
    disorder_share: float = _opt(
        0.05, "share of the last 100 out of order or duplicate that degrades", low=0.0, high=1.0
    )
    frozen_image: int = _opt(3, "identical images in a row that mean frozen", low=2, high=1000)
    frozen_cloud: int = _opt(3, "identical clouds in a row that mean frozen", low=2, high=1000)
    frozen_imu: int = _opt(20, "identical IMU readings in a row that mean frozen", low=2, high=10_000)
    frozen_audio: int = _opt(10, "identical audio blocks in a row that mean frozen", low=2, high=10_000)
    invalid_share: float = _opt(0.05, "share of the last 100 malformed that degrades", low=0.0, high=1.0)
    invalid_run: int = _opt(10, "malformed messages in a row that mean lost", low=2, high=1000)
    bad_of_five: int = _opt(3, "bad ones of the last five content checks that degrade", low=1, high=5)
    recover_good: int = _opt(5, "good messages before a lost sensor is used again", low=1, high=1000)
    recover_s: float = _opt(1.0, "and at least this long, in s", low=0.0, high=60.0)
    relapse_s: float = _opt(30.0, "a relapse within this time doubles the hold, in s", low=0.0, high=3600.0)
    hold_cap_s: float = _opt(16.0, "longest hold, in s", low=0.0, high=3600.0)
    black_level: float = _opt(16.0, "mean below this without structure is black, of 255", low=0.0, high=255.0)
    white_level: float = _opt(
        240.0, "mean above this without structure is white, of 255", low=0.0, high=255.0
    )
    flat_std: float = _opt(
        1.0,
        "deviation between blocks of the image below this, beyond pixel noise, is no structure, of 255",
        low=0.0,
        high=255.0,
    )
    covered_share: float = _opt(
        0.3,
        "part of the image that lost the structure it used to have and means a blocked lens",
        low=0.05,
        high=1.0,
    )
    gapped_share: float = _opt(
        0.05, "share of the time that no block of audio covers that is gapped audio", low=0.0, high=1.0
    )
    clock_apart_s: float = _opt(
        10.0,
        "stamps further than this from the clock, again and again, are another clock's, in s",
        low=1.0,
        high=1e9,
    )
    stuck_axis_s: float = _opt(
        1.0,
        "one IMU axis constant to the bit for this long while others move is stuck, in s",
        low=0.01,
        high=3600.0,
    )
    min_points: int = _opt(50, "fewer finite points are a blind lidar", low=0, high=1_000_000)
    blocked_sector_deg: float = _opt(
        60.0, "wider empty sectors mean a blocked lidar, in degrees", low=1.0, high=360.0
    )
    gyro_full_scale_rad_s: float = _opt(
        34.9, "readings at this value are saturated, in rad/s", low=0.1, high=1000.0
    )
    accel_full_scale_m_s2: float = _opt(
        156.9, "readings at this value are saturated, in m/s^2", low=1.0, high=10_000.0
    )
    clipped_share: float = _opt(
        0.1, "share of samples at full scale that is clipped audio", low=0.0, high=1.0
    )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network, on what."""

    checkpoint: str = _opt("", "safetensors file with its manifest beside it; empty: the shipped one")
    device: str = _opt("auto", "auto, cpu, cuda or cuda:N")
    backend: str = _opt(
        "auto",
        "what runs the network; auto: CUDA graphs on a CUDA device, else ONNX Runtime if its files are built",
        choices=("auto", "eager", "compiled", "cuda_graph", "onnx", "tensorrt"),
    )
    precision: str = _opt(
        "auto",
        "numbers that CUDA graphs and TensorRT multiply; auto: float16; all else computes in float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    max_level: int = _opt(
        0, "widest pruning level that is loaded; 0: all; wider ones cannot run then", low=0, high=15
    )
    engine_dir: str = _opt("", "folder of what `sentryfuse build-engines` builds; empty: ~/.cache/sentryfuse")
    threads: int = _opt(
        1, "CPU threads of the network; more help on idle cores only; 0: leave it to torch", low=0, high=256
    )
    score_threshold: float = _opt(
        0.0,
        "detections below this score are not published; 0: the checkpoint's own for the sensors in use",
        low=0.0,
        high=1.0,
        live=True,
    )
    max_detections: int = _opt(50, "at most this many detections a set", low=1, high=1000, live=True)


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """How much network to run."""

    level: int = _opt(
        -1, "pruning level an operator insists on, 0 = full width; -1: automatic", low=-1, high=15, live=True
    )
    latency_ms: float = _opt(
        0.0, "time one inference may take in ms; 0: no limit", low=0.0, high=60_000.0, live=True
    )
    keep_pace: bool = _opt(
        default=True, doc="run narrower while sets are skipped because one takes too long", live=True
    )
    power_w: float = _opt(
        0.0, "power perception may draw in W; 0: no limit", low=0.0, high=100_000.0, live=True
    )
    measure_power: bool = _opt(
        default=True, doc="hold power_w by measured power, where the machine has a sensor for it", live=True
    )
    full_power_w: float = _opt(
        15.0,
        "power that full width is worth in W, where none is measured; below, a narrower level runs",
        low=0.1,
        high=100_000.0,
        live=True,
    )
    min_battery: float = _opt(
        0.2, "charge below which the narrowest level runs, 0..1", low=0.0, high=1.0, live=True
    )
    thermal: bool = _opt(
        default=True, doc="run narrower while the machine is too hot or slows itself down", live=True
    )
    max_temperature_c: float = _opt(
        0.0, "hotter is too hot, in C; 0: each thermal zone's own trip point", low=0.0, high=150.0, live=True
    )
    min_map_share: float = _opt(
        0.0,
        "share of the full width's mAP, with the same sensors, that a level must have to be chosen; 0: any",
        low=0.0,
        high=1.0,
        live=True,
    )
    timeout_s: float = _opt(
        0.0, "a Budget message holds this long in s; 0: until the next", low=0.0, high=86_400.0, live=True
    )


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is published."""

    base_frame: str = _opt("base_link", "frame of the detections: x forward, y left, z up")
    extrinsics: str = _opt(
        "auto",
        "auto: from tf2, or the transforms of a recording, where they know the frame; else from parameters",
        choices=("auto", "parameters"),
    )
    max_output_age_s: float = _opt(
        0.5, "results older than this are counted, not published, in s", low=0.01, high=60.0
    )
    markers: bool = _opt(default=True, doc="publish ~/markers", live=True)
    latency_window_s: float = _opt(30.0, "latency percentiles are over this time, in s", low=1.0, high=3600.0)
    diagnostics_period_s: float = _opt(1.0, "period of /diagnostics in s", low=0.1, high=60.0)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of it."""

    camera: CameraConfig = field(default_factory=CameraConfig)
    lidar: LidarConfig = field(default_factory=LidarConfig)
    imu: ImuConfig = field(default_factory=ImuConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        for option in options():
            option.check(_get(self, option.path))
        for modality in (Modality.CAMERA, Modality.LIDAR):
            rate_hz = self.sensor(modality).expected_rate_hz
            if rate_hz > 0 and self.sync.slop_s > 0.5 / rate_hz:
                raise ConfigError(
                    f"sync.slop_s = {self.sync.slop_s} is more than half a period of {modality.value} "
                    f"({rate_hz} Hz): wrong pairs would be possible; use at most {0.5 / rate_hz:.4f}"
                )
        for modality in Modality:
            norm = sum(part * part for part in self.sensor(modality).quaternion_xyzw)
            if abs(norm - 1.0) > 1e-3:
                raise ConfigError(
                    f"{modality.value}.quaternion_xyzw has squared norm {norm:.4f}; give a unit quaternion"
                )

    def sensor(self, modality: Modality) -> SensorConfig:
        """The section of one sensor."""
        section: SensorConfig = getattr(self, modality.value)
        return section


@dataclass(frozen=True)
class Option:
    """One option as help texts and ROS parameter descriptors need it."""

    path: str
    default: Any
    kind: type  # bool, int, float, str or tuple (of floats)
    length: int  # elements of a tuple, else 0
    doc: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    live: bool

    def check(self, value: Any) -> Any:
        """Return `value` as the option's type, or raise ConfigError that names path, value and remedy."""
        if self.kind is tuple:
            if not isinstance(value, (list, tuple)) or len(value) != self.length:
                raise ConfigError(f"{self.path} = {value!r}: give {self.length} numbers")
            return tuple(self._number(item, float) for item in value)
        if self.kind is bool or self.kind is str:
            if not isinstance(value, self.kind):
                raise ConfigError(f"{self.path} = {value!r}: give a {self.kind.__name__}")
            if self.choices and value not in self.choices:
                raise ConfigError(f"{self.path} = {value!r}: give one of {', '.join(self.choices)}")
            return value
        return self._number(value, self.kind)

    def _number(self, value: Any, kind: type) -> Any:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or (kind is int and value != int(value))
        ):
            raise ConfigError(f"{self.path} = {value!r}: give {'an integer' if kind is int else 'a number'}")
        if not abs(value) < float("inf"):
            raise ConfigError(f"{self.path} = {value!r}: give a finite number")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise ConfigError(f"{self.path} = {value!r} is outside {self.low} .. {self.high}")
        return kind(value)


@lru_cache(maxsize=1)
def options() -> tuple[Option, ...]:
    """Every option of `Config`, in the order of definition."""
    found: list[Option] = []
    for section in dataclasses.fields(Config):
        section_class = typing.get_type_hints(Config)[section.name]
        hints = typing.get_type_hints(section_class)
        for item in dataclasses.fields(section_class):
            hint = hints[item.name]
            is_tuple = typing.get_origin(hint) is tuple
            found.append(
                Option(
                    path=f"{section.name}.{item.name}",
                    default=item.default,
                    kind=tuple if is_tuple else hint,
                    length=len(typing.get_args(hint)) if is_tuple else 0,
                    **item.metadata,
                )
            )
    return tuple(found)


def _get(config: Config, path: str) -> Any:
    section, name = path.split(".")
    return getattr(getattr(config, section), name)


def override(config: Config, values: Mapping[str, Any]) -> Config:
    """Return `config` with the dotted `values` put in, checked; unknown names raise ConfigError."""
    known = {option.path: option for option in options()}
    changes: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        if path not in known:
            raise ConfigError(f"unknown parameter {path!r}{_nearest(path, known)}")
        section, name = path.split(".")
        changes.setdefault(section, {})[name] = known[path].check(value)
    sections = {name: dataclasses.replace(getattr(config, name), **items) for name, items in changes.items()}
    return dataclasses.replace(config, **sections)


def foreign(names: Iterable[str]) -> dict[str, str]:
    """The names that lie in no section of `Config`, each with the parameter it may be meant for, or "".

    A parameter file that many nodes share gives each of them the others' parameters, too.
    """
    import difflib

    paths = [option.path for option in options()]
    sections = list(dict.fromkeys(path.split(".")[0] for path in paths))
    by_name = {path.split(".")[1]: path for path in reversed(paths)}
    found: dict[str, str] = {}
    for name in names:
        section, dot, rest = name.partition(".")
        if section in sections:
            continue
        if dot:
            close = difflib.get_close_matches(section.lower(), sections, n=1, cutoff=0.75)
            wanted = difflib.get_close_matches(f"{close[0]}.{rest}", paths, n=1) if close else []
        else:
            close = difflib.get_close_matches(name, by_name, n=1, cutoff=0.85)
            wanted = [by_name[item] for item in close]
        found[name] = wanted[0] if wanted else ""
    return found


def _nearest(path: str, known: Mapping[str, Option]) -> str:
    import difflib

    close = difflib.get_close_matches(path, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else "; `sentryfuse params` lists all"


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}.")
        else:
            yield path, value


def load_yaml(path: Path) -> Config:
    """Read a configuration: plain sections, or a ROS parameter file (`node: ros__parameters: ...`).

    Raises ConfigError for a file that is missing or not YAML, unknown keys and bad values.
    """
    import yaml

    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"cannot read the parameter file {path}: {reason}") from error
    if content is None:
        return Config()
    if not isinstance(content, Mapping):
        raise ConfigError(f"the parameter file {path} holds no mapping of sections")
    nodes = [
        body["ros__parameters"]
        for body in content.values()
        if isinstance(body, Mapping) and "ros__parameters" in body
    ]
    sections = nodes or [content]
    values: dict[str, Any] = {}
    for section in sections:
        values.update(_flatten(section))
    if nodes:  # a file that other nodes may share
        for name, likely in foreign(values).items():
            if likely and "." in name:
                raise ConfigError(f"unknown parameter {name!r} in {path}; did you mean {likely!r}?")
            del values[name]
    return override(Config(), values)


def to_mapping(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values, for YAML, JSON and manifests."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    return plain
