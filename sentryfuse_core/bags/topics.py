"""Which topic of a recording feeds which sensor: by type, by likelihood of the name, or as the user says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sentryfuse_core.bags.readers import BagReader, Topic
from sentryfuse_core.config import AudioConfig, CameraConfig, Config, OdometryConfig, override
from sentryfuse_core.convert import (
    AUDIO_INFO_TYPE,
    DEPTH_ENCODINGS,
    ODOMETRY_TYPE,
    SUPPORTED_TYPES,
    foreign,
    is_rectified,
    type_modality,
)
from sentryfuse_core.errors import BagError, TopicError
from sentryfuse_core.types import Modality

__all__ = ["CAMERA_INFO_TYPE", "Selection", "encodings", "parse_overrides", "select"]

CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
_ELSEWHERE = ("rear", "back", "side", "right")
_OTHER = ("depth", "disparity", "mask", "infra", "thermal", "debug")
# Parts of a name between slashes and underscores: what is made of a sensor's data, or another kind of sensor.
_DERIVED = {
    Modality.CAMERA: "confidence conf label labels segmentation semantic instance annotated overlay result "
    "results detections heatmap costmap map ir lidar radar range reflec nearir signal event events flow",
    Modality.LIDAR: "radar depth ground nonground obstacle obstacles map maps mapping costmap accumulated "
    "aggregated segmentation segmented cluster clusters clustered objects detections plane planes voxel "
    "voxels filtered stereo camera rgbd sonar marking features edge surf trajectory registered",
    Modality.IMU: "gimbal camera mag bias filtered",
    Modality.AUDIO: "tts speaker playback vad doa",
}
_LIKELY = {
    Modality.CAMERA: "image image_raw image_color front rgb color",
    Modality.LIDAR: "points velodyne ouster hesai pandar rslidar livox lidar os1 os0 top",
    Modality.IMU: "imu data",
    Modality.AUDIO: "audio",
}
_UNSPECIFIC = ("std_msgs/msg/Int16MultiArray",)  # audio only where the name says so
_AUDIO_WORDS = ("audio", "mic", "sound")
_ODOMETRY = "odometry"
_RAW_IMAGE = "sensor_msgs/msg/Image"
# Of poses that jump, since something corrects them, or of other things; odometry goes on smoothly.
_OTHER_ODOMETRY = ["map", "global", "gps", "gnss", "truth", "gt", "slam", "target", "pose"]
_LIKELY_ODOMETRY = ["odom", "odometry", "wheel"]


@dataclass(frozen=True)
class Selection:
    """The chosen topic of each sensor found, its CameraInfo and AudioInfo topics, and what was ambiguous."""

    topics: Mapping[Modality, Topic]
    camera_info: str | None
    notes: tuple[str, ...]
    audio_info: str | None = None
    rectified: bool = False  # whether the camera's pictures are undistorted already
    missing: tuple[Modality, ...] = ()  # enabled sensors that the recording has no topic of
    odometry: Topic | None = None

    @property
    def feeds(self) -> dict[str, Modality | None]:
        """Every topic to read, with its sensor; None for CameraInfo, AudioInfo and odometry."""
        feeds: dict[str, Modality | None] = {topic.name: modality for modality, topic in self.topics.items()}
        odometry = self.odometry.name if self.odometry else None
        return feeds | dict.fromkeys(filter(None, (self.camera_info, self.audio_info, odometry)))

    @property
    def intrinsics(self) -> tuple[str, ...]:
        """What the camera's intrinsics are taken from, where that is not plain."""
        if Modality.CAMERA not in self.topics:
            return ()
        if self.camera_info is None:
            return ("no CameraInfo: the intrinsics are the parameters camera.fx and so on",)
        told = (
            f"camera: {self.topics[Modality.CAMERA].name} is taken for rectified: its intrinsics are P of "
            f"{self.camera_info}, without distortion; camera.rectified overrides"
        )
        return (told,) if self.rectified else ()


def parse_overrides(texts: Sequence[str], config: Config) -> tuple[dict[Modality, str], Config]:
    """`camera=/cam/front` as a mapping, odometry's into the configuration; TopicError for anything else."""
    found: dict[Modality, str] = {}
    names = [*(modality.value for modality in Modality), _ODOMETRY]
    for text in texts:
        name, equals, topic = text.partition("=")
        if not equals or not topic or name not in names:
            raise TopicError(f"--topic {text}: give SENSOR=TOPIC, where SENSOR is one of {', '.join(names)}")
        if name == _ODOMETRY:
            config = override(config, {"odometry.topic": topic})
        else:
            found[Modality(name)] = topic
    return found, config


def encodings(reader: BagReader) -> Callable[[Topic], str]:
    """How to look up what the first picture on a topic is encoded as; empty where that cannot be read."""

    def look_up(topic: Topic) -> str:
        try:
            first = next(iter(reader.messages([topic.name])), None)
        except BagError:
            return ""  # told when the recording is played
        found = getattr(getattr(first, "message", None), "encoding", "")
        return found if isinstance(found, str) else ""

    return look_up


def select(
    available: Sequence[Topic],
    overrides: Mapping[Modality, str],
    *,
    config: Config,
    encoding: Callable[[Topic], str] = lambda _topic: "",
) -> Selection:
    """Choose one topic a sensor; raises TopicError where an override does not fit or nothing is left.

    `encoding` is asked only where several topics have raw pictures: a depth image is a camera's by type.
    """
    chosen: dict[Modality, Topic] = {}
    notes: list[str] = []
    missing: list[Modality] = []
    for modality in Modality:
        if modality in overrides:
            chosen[modality] = topic = _override(available, modality, overrides[modality])
            notes += _shared(topic, modality)
            continue
        if not config.sensor(modality).enabled:
            continue
        found = _candidates(available, modality)
        depth = _depth(found, encoding) if modality is Modality.CAMERA else {}
        found.sort(key=partial(_rank, modality=modality, config=config, depth=depth))
        if found:
            chosen[modality] = found[0]
            notes += _doubts(found[0], modality, config)
            notes += _shared(found[0], modality)
        else:
            missing.append(modality)
            notes += _foreign(available, modality)
        if len(found) > 1:
            others = ", ".join(topic.name + depth.get(topic.name, "") for topic in found[1:])
            name = modality.value
            notes.append(f"{name}: took {found[0].name}, not {others}; --topic {name}=NAME overrides")
    if not chosen:
        listing = ", ".join(f"{topic.name} ({topic.type_name})" for topic in available) or "no topics at all"
        why = "".join(f"; {note}" for note in notes)
        raise TopicError(f"no topic of a supported type with messages: the recording has {listing}{why}")
    camera_info, audio_info = _camera_info(available, chosen, config), _audio_info(available, chosen, config)
    infos = _of_type(available, CAMERA_INFO_TYPE)
    if Modality.CAMERA in chosen and infos and camera_info is None:
        notes.append(
            f"camera: took none of the CameraInfo topics {', '.join(infos)}, as none lies beside "
            f"{chosen[Modality.CAMERA].name}; --set camera.info_topic=NAME chooses one"
        )
    odometry = _odometry(available, config.odometry, notes)
    rectified = Modality.CAMERA in chosen and is_rectified(config.camera, chosen[Modality.CAMERA].name)
    return Selection(chosen, camera_info, tuple(notes), audio_info, rectified, tuple(missing), odometry)


def _depth(found: Sequence[Topic], encoding: Callable[[Topic], str]) -> dict[str, str]:
    """The topics whose pictures are depth, and how to say so; asked only where there is a choice."""
    if len(found) < 2:
        return {}
    raw = {topic.name: encoding(topic) for topic in found if topic.type_name == _RAW_IMAGE}
    return {name: f" ({kind}: depth)" for name, kind in raw.items() if kind in DEPTH_ENCODINGS}


def _doubts(topic: Topic, modality: Modality, config: Config) -> list[str]:
    """What to tell where the likeliest topic has the sensor's type, but not its name."""
    word = "" if _is_configured(topic, modality, config) else _other_kind(topic.name, modality)
    if not word:
        return []
    name = modality.value
    why = f"{name}: took {topic.name} for its type, though its name speaks of {word!r}"
    return [f"{why}; --topic {name}=NAME overrides, --set {name}.enabled=false leaves it out"]


def _shared(topic: Topic, modality: Modality) -> list[str]:
    """What to tell where several published on the topic, and nothing tells whose a message is."""
    count = topic.qos.publishers
    who = f"{modality.value}: {topic.name} was recorded of {count} publishers, and nothing tells whose"
    why = f"{who} a message is; if several sent, they are mixed"
    return [f"{why}: record each on a topic of its own"] if count > 1 else []


def _foreign(available: Sequence[Topic], modality: Modality) -> list[str]:
    """Why there is no such sensor, where a topic has its data in a type that is not understood."""
    for topic in available:
        known = foreign(topic.type_name)
        if known is not None and known.modality is modality and topic.count > 0:
            return [f"no {modality.value}: {topic.name} is {topic.type_name}; {known.remedy}"]
    return []


def _candidates(available: Sequence[Topic], modality: Modality) -> list[Topic]:
    found = [topic for topic in available if topic.count > 0 and type_modality(topic.type_name) is modality]
    if modality is Modality.AUDIO:
        return [
            topic for topic in found if topic.type_name not in _UNSPECIFIC or _has(topic.name, _AUDIO_WORDS)
        ]
    return found


def _rank(
    topic: Topic, *, modality: Modality, config: Config, depth: Collection[str]
) -> tuple[bool, bool, bool, bool, bool, int, str]:
    """Smaller is better: configured, of the sensor itself, likely, not to be decoded, more messages."""
    name = topic.name.strip("/")
    return (
        topic.name in depth,
        not _is_configured(topic, modality, config),
        _has(name, _ELSEWHERE) or bool(_other_kind(name, modality)),
        _parts(name).isdisjoint(_LIKELY[modality].split()),
        topic.type_name.endswith("CompressedImage"),
        -topic.count,
        name,
    )


def _is_configured(topic: Topic, modality: Modality, config: Config) -> bool:
    configured = config.sensor(modality).topic.strip("/")
    return topic.name.strip("/") in (configured, f"{configured}/compressed")


def _other_kind(name: str, modality: Modality) -> str:
    """The part of a name that speaks of another kind of data; empty: none does."""
    derived = sorted(_parts(name).intersection(_DERIVED[modality].split()))
    return next((word for word in (*derived, *_OTHER) if word in name.lower()), "")


def _parts(name: str) -> set[str]:
    return set(re.split(r"[/_.-]", name.lower()))


def _has(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() for word in words)


def _odometry(available: Sequence[Topic], config: OdometryConfig, notes: list[str]) -> Topic | None:
    """The topic of odometry: the one asked for, else the likeliest of its type; nobody misses it."""
    if not config.enabled:
        return None
    if config.topic != OdometryConfig().topic:
        named = _named(available, config.topic)
        for topic in named:
            if topic.type_name == ODOMETRY_TYPE:
                return topic
        raise TopicError(
            f"{config.topic} has type {named[0].type_name}; odometry understands {ODOMETRY_TYPE}"
        )

    def rank(topic: Topic) -> tuple[bool, bool, bool, int, str]:
        name, parts = topic.name.strip("/"), _parts(topic.name)
        other, likely = not parts.isdisjoint(_OTHER_ODOMETRY), not parts.isdisjoint(_LIKELY_ODOMETRY)
        return name != config.topic, other, not likely, -topic.count, name

    found = sorted((t for t in available if t.type_name == ODOMETRY_TYPE and t.count > 0), key=rank)
    if len(found) > 1:
        others = ", ".join(topic.name for topic in found[1:])
        notes.append(f"odometry: took {found[0].name}, not {others}; --topic odometry=NAME overrides")
    return found[0] if found else None


def _named(available: Sequence[Topic], name: str) -> list[Topic]:
    """The topics of this name, of whatever type; TopicError where there is none."""
    matching = [topic for topic in available if topic.name.strip("/") == name.strip("/")]
    if not matching:
        names = [topic.name for topic in available]
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names) or 'no topics'}"
        raise TopicError(f"no topic {name!r} in the recording; {hint}")
    return matching


def _override(available: Sequence[Topic], modality: Modality, name: str) -> Topic:
    matching = _named(available, name)
    for topic in matching:
        if type_modality(topic.type_name) is modality:
            return topic
    understood = ", ".join(name for name, sensor in SUPPORTED_TYPES.items() if sensor is modality)
    raise TopicError(f"{name} has type {matching[0].type_name}; {modality.value} understands {understood}")


def _camera_info(available: Sequence[Topic], chosen: Mapping[Modality, Topic], config: Config) -> str | None:
    """The CameraInfo topic that was asked for, else that beside the camera's, else the only one."""
    camera = chosen.get(Modality.CAMERA)
    infos = _of_type(available, CAMERA_INFO_TYPE)
    if camera is None:
        return None
    rectified = is_rectified(config.camera, camera.name)
    parts = camera.name.split("/")
    beside = []
    for depth in range(len(parts), 0, -1):
        folder = "/".join(parts[:depth])
        beside.append(f"{folder}/camera_info")
        # Some drivers have one for each picture: camera_info_rect, camera_info_raw.
        same = [name for name in infos if is_rectified(config.camera, name) is rectified]
        beside += [name for name in same if name.startswith(f"{folder}/camera_info_")]
    return _info(infos, beside, config.camera.info_topic, CameraConfig().info_topic)


def _audio_info(available: Sequence[Topic], chosen: Mapping[Modality, Topic], config: Config) -> str | None:
    """The AudioInfo topic that was asked for, else that beside the audio's, else the only one."""
    audio = chosen.get(Modality.AUDIO)
    if audio is None:
        return None
    beside = [f"{audio.name}_info", f"{audio.name.rpartition('/')[0]}/audio_info"]
    infos = _of_type(available, AUDIO_INFO_TYPE)
    return _info(infos, beside, config.audio.info_topic, AudioConfig().info_topic)


def _of_type(available: Sequence[Topic], type_name: str) -> list[str]:
    return [topic.name for topic in available if topic.type_name == type_name and topic.count > 0]


def _info(infos: Sequence[str], beside: Sequence[str], asked: str, default: str) -> str | None:
    """The first of `infos` that fits; the default of the parameter was asked for by nobody."""
    named = "/" + asked.strip("/")
    wanted = [*beside, named] if asked == default else [named, *beside]
    return next((name for name in wanted if name in infos), infos[0] if len(infos) == 1 else None)
