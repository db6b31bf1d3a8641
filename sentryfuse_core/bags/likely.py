"""How likely a topic of a recording is a sensor's, by its type, its name and how much it has."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from sentryfuse_core.bags.readers import Topic
from sentryfuse_core.config import Config
from sentryfuse_core.convert import DEPTH_ENCODINGS, type_modality
from sentryfuse_core.types import Modality

__all__ = [
    "candidates",
    "depth_topics",
    "distinguishing",
    "is_configured",
    "is_of_another",
    "name_parts",
    "other_kind",
    "other_robots",
    "rank",
]

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
_RAW_IMAGE = "sensor_msgs/msg/Image"


def depth_topics(found: Sequence[Topic], encoding: Callable[[Topic], str]) -> dict[str, str]:
    """The topics whose pictures are depth, and how to say so; asked only where there is a choice."""
    if len(found) < 2:
        return {}
    raw = {topic.name: encoding(topic) for topic in found if topic.type_name == _RAW_IMAGE}
    return {name: f" ({kind}: depth)" for name, kind in raw.items() if kind in DEPTH_ENCODINGS}


def candidates(available: Sequence[Topic], modality: Modality) -> list[Topic]:
    """The topics with messages whose type is the kind's."""
    found = [topic for topic in available if topic.count > 0 and type_modality(topic.type_name) is modality]
    if modality is Modality.AUDIO:
        return [
            topic for topic in found if topic.type_name not in _UNSPECIFIC or _has(topic.name, _AUDIO_WORDS)
        ]
    return found


def other_robots(chosen: Collection[Topic], available: Sequence[Topic]) -> set[tuple[int, str]]:
    """Namespaces, by place in a name, that hold what the chosen topics have in their own: /b of /a/scan.

    Those that a chosen topic lies in are of the same robot: /left and /right, each with a camera.
    """
    own, found = set[tuple[int, str]](), set[tuple[int, str]]()
    for mine in (topic.name.split("/") for topic in chosen):
        own.update(enumerate(mine))
        for other in (topic.name.split("/") for topic in available):
            apart = [place for place, part in enumerate(mine) if other[place : place + 1] != [part]]
            if len(other) == len(mine) and len(apart) == 1 and apart[0] < len(mine) - 1:
                found.add((apart[0], other[apart[0]]))
    return found - own


def is_of_another(topic: Topic, others: Collection[tuple[int, str]]) -> bool:
    """Whether a topic lies in one of the namespaces of `other_robots`."""
    return not set(enumerate(topic.name.split("/"))).isdisjoint(others)


def rank(
    topic: Topic,
    *,
    sensor: str,
    config: Config,
    depth: Collection[str],
    others: Collection[tuple[int, str]] = (),
) -> tuple[bool, bool, int, bool, bool, bool, bool, int, str]:
    """Smaller is better: configured, called like the sensor, of it itself, likely, whole, more messages.

    Of robots that have the same topics, the one whose others were chosen goes first.
    """
    name, kind = topic.name.strip("/"), config.kind_of(sensor)
    own = distinguishing(sensor, config)
    elsewhere = [word for word in _ELSEWHERE if word not in own]
    return (
        topic.name in depth,
        not is_configured(topic, sensor, config),
        -len(own & name_parts(name)),
        _has(name, elsewhere) or bool(other_kind(name, kind)),
        name_parts(name).isdisjoint(_LIKELY[kind].split()),
        is_of_another(topic, others),
        topic.type_name.endswith("CompressedImage"),
        -topic.count,
        name,
    )


def distinguishing(sensor: str, config: Config) -> set[str]:
    """Parts of a sensor's name that no other of its kind has; none where it is the only one."""
    others = [name for name in config.of_kind(config.kind_of(sensor)) if name != sensor]
    return name_parts(sensor) - name_parts("_".join(others)) if others else set()


def is_configured(topic: Topic, sensor: str, config: Config) -> bool:
    """Whether the parameters name the topic for the sensor."""
    configured = config.sensor(sensor).topic.strip("/")
    return topic.name.strip("/") in (configured, f"{configured}/compressed")


def other_kind(name: str, modality: Modality) -> str:
    """The part of a name that speaks of another kind of data; empty: none does."""
    derived = sorted(name_parts(name).intersection(_DERIVED[modality].split()))
    return next((word for word in (*derived, *_OTHER) if word in name.lower()), "")


def name_parts(name: str) -> set[str]:
    """Words of a name."""
    return set(re.split(r"[/_.-]", name.lower()))


def _has(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() for word in words)
