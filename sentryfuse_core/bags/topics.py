"""Which topic of a recording feeds which sensor: by type, by likelihood of the name, or as the user says."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from sentryfuse_core.bags.likely import (
    candidates,
    depth_topics,
    distinguishing,
    is_configured,
    is_of_another,
    name_parts,
    other_kind,
    other_robots,
    rank,
)
from sentryfuse_core.bags.readers import BagReader, Topic
from sentryfuse_core.config import AudioConfig, CameraConfig, Config, OdometryConfig, override
from sentryfuse_core.config.sensors import default_section
from sentryfuse_core.convert import (
    AUDIO_INFO_TYPE,
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
_ODOMETRY = "odometry"
# Of poses that jump, since something corrects them, or of other things; odometry goes on smoothly.
_OTHER_ODOMETRY = ["map", "global", "gps", "gnss", "truth", "gt", "slam", "target", "pose"]
_LIKELY_ODOMETRY = ["odom", "odometry", "wheel"]


@dataclass(frozen=True)
class Selection:
    """The chosen topic of each sensor found, its CameraInfo and AudioInfo topics, and what was ambiguous."""

    topics: Mapping[str, Topic]  # by name of the sensor
    cameras: tuple[str, ...]  # names of those among them
    camera_infos: Mapping[str, str]  # topics by camera
    notes: tuple[str, ...]
    audio_infos: Mapping[str, str]  # topics by pair of microphones
    rectified: frozenset[str] = frozenset()  # cameras whose pictures are undistorted already
    missing: tuple[str, ...] = ()  # enabled sensors that the recording has no topic of
    odometry: Topic | None = None

    @property
    def feeds(self) -> dict[tuple[str, str], str | None]:
        """Every topic and type to read, with its sensor; None for CameraInfo, AudioInfo and odometry."""
        found: dict[tuple[str, str], str | None] = {
            (topic.name, topic.type_name): name for name, topic in self.topics.items()
        }
        infos = [(topic, CAMERA_INFO_TYPE) for topic in self.camera_infos.values()]
        infos += [(topic, AUDIO_INFO_TYPE) for topic in self.audio_infos.values()]
        odometry = [(self.odometry.name, self.odometry.type_name)] if self.odometry else []
        return found | dict.fromkeys((*infos, *odometry))

    def told_by(self, topic: str) -> tuple[str, ...]:
        """Names of the sensors that a CameraInfo or AudioInfo on this topic is of."""
        infos = (*self.camera_infos.items(), *self.audio_infos.items())
        return tuple(name for name, info in infos if info == topic)

    @property
    def intrinsics(self) -> tuple[str, ...]:
        """What the cameras' intrinsics are taken from, where that is not plain."""
        found = []
        for name in self.cameras:
            if name not in self.camera_infos:
                whose = "" if len(self.cameras) == 1 else f" of {name}"
                found.append(f"no CameraInfo{whose}: the intrinsics are the parameters {name}.fx and so on")
            elif name in self.rectified:
                found.append(
                    f"{name}: {self.topics[name].name} is taken for rectified: its intrinsics are P of "
                    f"{self.camera_infos[name]}, without distortion; {name}.rectified overrides"
                )
        return tuple(found)


def parse_overrides(texts: Sequence[str], config: Config) -> tuple[dict[str, str], Config]:
    """`camera=/cam/front` as a mapping, odometry's into the configuration; TopicError for anything else."""
    found: dict[str, str] = {}
    names = [*config.sensors, _ODOMETRY]
    for text in texts:
        name, equals, topic = text.partition("=")
        if not equals or not topic or name not in names:
            raise TopicError(f"--topic {text}: give SENSOR=TOPIC, where SENSOR is one of {', '.join(names)}")
        if name == _ODOMETRY:
            config = override(config, {"odometry.topic": topic})
        else:
            found[name] = topic
    return found, config


def encodings(reader: BagReader) -> Callable[[Topic], str]:
    """How to look up what the first picture on a topic is encoded as; empty where that cannot be read."""

    def look_up(topic: Topic) -> str:
        try:
            named = reader.messages([topic.name])
            first = next((item for item in named if item.type_name == topic.type_name), None)
        except BagError:
            return ""  # told when the recording is played
        found = getattr(getattr(first, "message", None), "encoding", "")
        return found if isinstance(found, str) else ""

    return look_up


def select(
    available: Sequence[Topic],
    overrides: Mapping[str, str],
    *,
    config: Config,
    encoding: Callable[[Topic], str] = lambda _topic: "",
) -> Selection:
    """Choose one topic a sensor; raises TopicError where an override does not fit or nothing is left.

    `encoding` is asked only where several topics have raw pictures: a depth image is a camera's by type.
    """
    chosen = _asked(available, overrides, config)
    notes: list[str] = []
    missing: list[str] = []
    for name, kind in config.kinds:
        if name in overrides:
            notes += _shared(chosen[name], name)
            continue
        if not config.sensor(name).enabled:
            continue
        taken = set(chosen.values())
        free = found = [topic for topic in candidates(available, kind) if topic not in taken]
        if len(config.of_kind(kind)) > 1:  # which is whose cannot be told by the type alone
            found = [topic for topic in free if _is_called(topic, name, config)]
        depth = depth_topics(found, encoding) if kind is Modality.CAMERA else {}
        others = other_robots(chosen.values(), available)
        found.sort(key=partial(rank, sensor=name, config=config, depth=depth, others=others))
        if found:
            chosen[name] = found[0]
            notes += _doubts(found[0], name, config)
            notes += _shared(found[0], name)
        else:
            missing.append(name)
            notes += _unclaimed(free, name) if free else _foreign(available, name, kind)
        if len(found) > 1:
            rest = ", ".join(topic.name + depth.get(topic.name, "") for topic in found[1:])
            notes.append(f"{name}: took {found[0].name}, not {rest}; --topic {name}=NAME overrides")
    if not chosen:
        raise TopicError(_nothing(available, notes, config))
    chosen = {name: chosen[name] for name in config.sensors if name in chosen}
    cameras = {name: section for name in chosen if isinstance(section := config.sensor(name), CameraConfig)}
    mics = {name: section for name in chosen if isinstance(section := config.sensor(name), AudioConfig)}
    camera_infos = {
        name: _camera_info(
            available, chosen[name], name, section, alone=len(config.of_kind(Modality.CAMERA)) == 1
        )
        for name, section in cameras.items()
    }
    audio_infos = {
        name: _audio_info(available, chosen[name], name, section) for name, section in mics.items()
    }
    infos = _of_type(available, CAMERA_INFO_TYPE)
    for name in cameras if infos else ():
        if camera_infos[name] is None:
            notes.append(
                f"{name}: took none of the CameraInfo topics {', '.join(infos)}, as none lies beside "
                f"{chosen[name].name}; --set {name}.info_topic=NAME chooses one"
            )
    selection = Selection(
        topics=chosen,
        cameras=tuple(cameras),
        camera_infos={name: topic for name, topic in camera_infos.items() if topic is not None},
        audio_infos={name: topic for name, topic in audio_infos.items() if topic is not None},
        rectified=frozenset(name for name in cameras if is_rectified(cameras[name], chosen[name].name)),
        missing=tuple(missing),
        odometry=_odometry(available, config.odometry, notes, other_robots(chosen.values(), available)),
        notes=tuple(notes),
    )
    return replace(selection, notes=(*selection.notes, *_of_other_types(available, selection)))


def _of_other_types(available: Sequence[Topic], selection: Selection) -> list[str]:
    """What to tell of messages on a topic that is read which are of a type that nobody reads."""
    feeds = selection.feeds
    names = {name for name, _ in feeds}
    return [
        f"{topic.name} was recorded as {topic.type_name}, too: {topic.count} messages of it are left out"
        for topic in available
        if topic.count and topic.name in names and (topic.name, topic.type_name) not in feeds
    ]


def _is_called(topic: Topic, name: str, config: Config) -> bool:
    """Whether a topic is that of one of several sensors of a kind, by the parameters or by its name."""
    own = distinguishing(name, config)
    return is_configured(topic, name, config) or not own.isdisjoint(name_parts(topic.name))


def _doubts(topic: Topic, name: str, config: Config) -> list[str]:
    """What to tell where the likeliest topic has the sensor's type, but not its name."""
    word = "" if is_configured(topic, name, config) else other_kind(topic.name, config.kind_of(name))
    if not word:
        return []
    why = f"{name}: took {topic.name} for its type, though its name speaks of {word!r}"
    return [f"{why}; --topic {name}=NAME overrides, --set {name}.enabled=false leaves it out"]


def _shared(topic: Topic, name: str) -> list[str]:
    """What to tell where several published on the topic, and nothing tells whose a message is."""
    count = topic.qos.publishers
    who = f"{name}: {topic.name} was recorded of {count} publishers, and nothing tells whose"
    why = f"{who} a message is; if several sent, they are mixed"
    return [f"{why}: record each on a topic of its own"] if count > 1 else []


def _foreign(available: Sequence[Topic], name: str, kind: Modality) -> list[str]:
    """Why there is no such sensor, where a topic has its data in a type that is not understood."""
    for topic in available:
        known = foreign(topic.type_name)
        if known is not None and known.modality is kind and topic.count > 0:
            return [f"no {name}: {topic.name} is {topic.type_name}; {known.remedy}"]
    return []


def _unclaimed(free: Sequence[Topic], name: str) -> list[str]:
    """What to tell where topics have the type of one of several sensors, but none is called like it."""
    names = ", ".join(sorted(topic.name for topic in free))
    return [f"no {name}: none of {names} is called like it; --topic {name}=NAME chooses one"]


def _odometry(
    available: Sequence[Topic],
    config: OdometryConfig,
    notes: list[str],
    robots: Collection[tuple[int, str]],
) -> Topic | None:
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

    def best(topic: Topic) -> tuple[bool, bool, bool, bool, int, str]:
        name, parts = topic.name.strip("/"), name_parts(topic.name)
        other, likely = not parts.isdisjoint(_OTHER_ODOMETRY), not parts.isdisjoint(_LIKELY_ODOMETRY)
        away = is_of_another(topic, robots)
        return name != config.topic, away, other, not likely, -topic.count, name

    found = sorted((t for t in available if t.type_name == ODOMETRY_TYPE and t.count > 0), key=best)
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


def _asked(available: Sequence[Topic], overrides: Mapping[str, str], config: Config) -> dict[str, Topic]:
    """The topics that the user chose; TopicError where one does not fit or is given to two sensors."""
    chosen: dict[str, Topic] = {}
    for name, text in overrides.items():
        topic = _override(available, name, text, config)
        other = next((known for known, taken in chosen.items() if taken == topic), None)
        if other is not None:
            raise TopicError(f"--topic gives {topic.name} to {other} and to {name}; give each one of its own")
        chosen[name] = topic
    return chosen


def _nothing(available: Sequence[Topic], notes: Sequence[str], config: Config) -> str:
    """Why no sensor has a topic."""
    fits = any(candidates(available, kind) for _, kind in config.kinds)
    known = ", ".join(name.replace("/msg/", "/") for name in SUPPORTED_TYPES)
    what = (
        "no topic is an enabled sensor's" if fits else f"no topic with messages of a type read here ({known})"
    )
    listing = ", ".join(map(_described, available)) or "no topics at all"
    return f"{what}: the recording has {listing}" + "".join(f"; {note}" for note in notes)


def _described(topic: Topic) -> str:
    return f"{topic.name} ({topic.type_name}{'' if topic.count else ', no messages'})"


def _override(available: Sequence[Topic], sensor: str, name: str, config: Config) -> Topic:
    matching, kind = _named(available, name), config.kind_of(sensor)
    for topic in matching:
        if type_modality(topic.type_name) is kind:
            return topic
    understood = ", ".join(name for name, own in SUPPORTED_TYPES.items() if own is kind)
    raise TopicError(f"{name} has type {matching[0].type_name}; {sensor} understands {understood}")


def _camera_info(
    available: Sequence[Topic], camera: Topic, name: str, section: CameraConfig, *, alone: bool
) -> str | None:
    """The CameraInfo topic that was asked for, else that beside the camera's, else the only one.

    `alone`: there is no other camera that the only one could be of.
    """
    infos = _of_type(available, CAMERA_INFO_TYPE)
    rectified = is_rectified(section, camera.name)
    parts = camera.name.split("/")
    beside = []
    for depth in range(len(parts), 0, -1):
        folder = "/".join(parts[:depth])
        beside.append(f"{folder}/camera_info")
        # Some drivers have one for each picture: camera_info_rect, camera_info_raw.
        same = [info for info in infos if is_rectified(section, info) is rectified]
        beside += [info for info in same if info.startswith(f"{folder}/camera_info_")]
    default = cast("CameraConfig", default_section(name, Modality.CAMERA)).info_topic
    return _info(infos, beside, section.info_topic, default, alone=alone)


def _audio_info(available: Sequence[Topic], audio: Topic, name: str, section: AudioConfig) -> str | None:
    """The AudioInfo topic that was asked for, else that beside the audio's, else the only one."""
    beside = [f"{audio.name}_info", f"{audio.name.rpartition('/')[0]}/audio_info"]
    infos = _of_type(available, AUDIO_INFO_TYPE)
    default = cast("AudioConfig", default_section(name, Modality.AUDIO)).info_topic
    return _info(infos, beside, section.info_topic, default)


def _of_type(available: Sequence[Topic], type_name: str) -> list[str]:
    return [topic.name for topic in available if topic.type_name == type_name and topic.count > 0]


def _info(
    infos: Sequence[str], beside: Sequence[str], asked: str, default: str, *, alone: bool = True
) -> str | None:
    """The first of `infos` that fits; the default of the parameter was asked for by nobody."""
    named = "/" + asked.strip("/")
    wanted = [*beside, named] if asked == default else [named, *beside]
    return next((name for name in wanted if name in infos), infos[0] if len(infos) == 1 and alone else None)
