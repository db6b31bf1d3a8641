"""Why a sensor's topic brings nothing, by what its publishers offer; knows no ROS."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from sentryfuse_core.convert import foreign
from sentryfuse_core.types import Modality

__all__ = ["COMPRESSED", "IMAGE_TYPES", "Problem", "best_effort_only", "no_publisher", "unknown_type"]

COMPRESSED = "/compressed"  # what image_transport puts behind the name of the image
IMAGE_TYPES = {"raw": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}


@dataclass(frozen=True)
class Problem:
    """Why nothing arrives on a topic, and what to do about it."""

    code: str  # stable: no_publisher, incompatible_qos or unknown_type
    reason: str
    remedy: str


def no_publisher(topic: str, *, name: str = "camera", sibling: str = "") -> Problem:
    """Nobody publishes; but where it is a picture's topic, on the `sibling` that the other transport has."""
    remedy = "start its driver, compare ROS_DOMAIN_ID, or remap the topic to the driver's"
    if sibling:
        transport = "compressed" if sibling.endswith(COMPRESSED) else "raw"
        remedy = f"{sibling} is published: set {name}.transport to {transport}"
    return Problem("no_publisher", f"no publisher on {topic}", remedy)


def best_effort_only(name: str) -> Problem:
    """A reliable subscription hears nothing of a best-effort publisher; nothing else can mismatch here."""
    reason = "incompatible QoS: a publisher offers another RELIABILITY"
    return Problem("incompatible_qos", reason, f"set {name}.reliability to best_effort")


def unknown_type(name: str, kind: Modality, topic: str, offered: Set[str], *, wanted: str | None) -> Problem:
    """Nothing `offered` to this sensor is of the type `wanted`; None where any type of audio would do."""
    reason = f"unknown type {', '.join(sorted(offered))}" + (f", not {wanted}" if wanted else "")
    known = next(filter(None, map(foreign, sorted(offered))), None)
    remedy = known.remedy if known else "remap the topic or convert the messages"
    if kind is Modality.CAMERA and IMAGE_TYPES["compressed"] in offered:
        remedy = f"set {name}.transport to compressed"
        if not topic.endswith(COMPRESSED):
            remedy = f"{remedy} and remap {topic}{COMPRESSED} to {topic}"
    elif kind is Modality.CAMERA and IMAGE_TYPES["raw"] in offered:
        remedy = f"set {name}.transport to raw"
    return Problem("unknown_type", reason, remedy)
