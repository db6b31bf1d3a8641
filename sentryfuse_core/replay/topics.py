"""Which topic of a recording feeds which sensor: by type, by likelihood of the name, or as the user says."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sentryfuse_core.config import Config
from sentryfuse_core.convert import SUPPORTED_TYPES, type_modality
from sentryfuse_core.errors import TopicError
from sentryfuse_core.replay.readers import Topic
from sentryfuse_core.types import Modality

__all__ = ["CAMERA_INFO_TYPE", "Selection", "parse_overrides", "select"]

CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
_UNLIKELY = ("depth", "disparity", "mask", "rear", "back", "side", "right", "infra", "thermal", "debug")
_UNSPECIFIC = ("std_msgs/msg/Int16MultiArray",)  # audio only where the name says so
_AUDIO_WORDS = ("audio", "mic", "sound")


@dataclass(frozen=True)
class Selection:
    """The chosen topic of each sensor found, the camera's CameraInfo topic, and what was ambiguous."""

    topics: Mapping[Modality, Topic]
    camera_info: str | None
    notes: tuple[str, ...]


def parse_overrides(texts: Sequence[str]) -> dict[Modality, str]:
    """`camera=/cam/front` as a mapping; raises TopicError for anything else."""
    found: dict[Modality, str] = {}
    for text in texts:
        name, equals, topic = text.partition("=")
        if not equals or not topic or name not in [modality.value for modality in Modality]:
            sensors = ", ".join(modality.value for modality in Modality)
            raise TopicError(f"--topic {text}: give SENSOR=TOPIC, where SENSOR is one of {sensors}")
        found[Modality(name)] = topic
    return found


def select(available: Sequence[Topic], overrides: Mapping[Modality, str], *, config: Config) -> Selection:
    """Choose one topic a sensor; raises TopicError where an override does not fit or nothing is left."""
    chosen: dict[Modality, Topic] = {}
    notes: list[str] = []
    for modality in Modality:
        if modality in overrides:
            chosen[modality] = _override(available, modality, overrides[modality])
            continue
        if not config.sensor(modality).enabled:
            continue
        found = sorted(_candidates(available, modality), key=lambda topic: _rank(topic, modality, config))
        if found:
            chosen[modality] = found[0]
        if len(found) > 1:
            others = ", ".join(topic.name for topic in found[1:])
            name = modality.value
            notes.append(f"{name}: took {found[0].name}, not {others}; --topic {name}=NAME overrides")
    if not chosen:
        listing = ", ".join(f"{topic.name} ({topic.type_name})" for topic in available) or "no topics at all"
        raise TopicError(f"no topic of a supported type with messages: the recording has {listing}")
    return Selection(chosen, _camera_info(available, chosen, config), tuple(notes))


def _candidates(available: Sequence[Topic], modality: Modality) -> list[Topic]:
    found = [topic for topic in available if topic.count > 0 and type_modality(topic.type_name) is modality]
    if modality is Modality.AUDIO:
        return [
            topic for topic in found if topic.type_name not in _UNSPECIFIC or _has(topic.name, _AUDIO_WORDS)
        ]
    return found


def _rank(topic: Topic, modality: Modality, config: Config) -> tuple[bool, bool, bool, int, str]:
    """Smaller is better: the configured name, a likely one, images without decoding, more messages."""
    configured = config.sensor(modality).topic.strip("/")
    name = topic.name.strip("/")
    return (
        name not in (configured, f"{configured}/compressed"),
        _has(name, _UNLIKELY),
        topic.type_name.endswith("CompressedImage"),
        -topic.count,
        name,
    )


def _has(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() for word in words)


def _override(available: Sequence[Topic], modality: Modality, name: str) -> Topic:
    matching = [topic for topic in available if topic.name.strip("/") == name.strip("/")]
    if not matching:
        names = [topic.name for topic in available]
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names) or 'no topics'}"
        raise TopicError(f"no topic {name!r} in the recording; {hint}")
    for topic in matching:
        if type_modality(topic.type_name) is modality:
            return topic
    understood = ", ".join(name for name, sensor in SUPPORTED_TYPES.items() if sensor is modality)
    raise TopicError(f"{name} has type {matching[0].type_name}; {modality.value} understands {understood}")


def _camera_info(available: Sequence[Topic], chosen: Mapping[Modality, Topic], config: Config) -> str | None:
    """The CameraInfo topic beside the camera's, else the configured one, else the only one."""
    camera = chosen.get(Modality.CAMERA)
    infos = [topic.name for topic in available if topic.type_name == CAMERA_INFO_TYPE and topic.count > 0]
    if camera is None or not infos:
        return None
    parts = camera.name.split("/")
    siblings = ["/".join([*parts[:depth], "camera_info"]) for depth in range(len(parts) - 1, 0, -1)]
    wanted = [*siblings, "/" + config.camera.info_topic.strip("/")]
    return next((name for name in wanted if name in infos), infos[0] if len(infos) == 1 else None)
