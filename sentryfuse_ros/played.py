"""Chooses what of a recording is played: which topics, of which of their types, and under which names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sentryfuse_core.bags.definitions import TRANSFORMS_TYPE
from sentryfuse_core.errors import ConfigError, TopicError
from sentryfuse_ros.messages import message_class
from sentryfuse_ros.qos import LATCHED
from sentryfuse_ros.relay import in_namespace, passed_on, refusal_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rclpy.node import Node
    from rclpy.qos import QoSProfile

    from sentryfuse_core.bags.readers import BagMessage, BagReader, Topic

__all__ = ["Played", "choose", "messages_of"]

_CLOCK = "/clock"


class Played(NamedTuple):
    """One topic that goes out."""

    topic: str  # as recorded
    types: frozenset[str]  # as recorded; two where ROS 1 had two names for what is one type now
    count: int  # messages of these types
    kind: Any  # the message class that is published
    name: str  # of the topic that is published
    profile: QoSProfile
    is_transforms: bool  # between frames
    is_static: bool  # those hold for the whole recording
    has_header: bool  # as its first field

    @property
    def is_timely(self) -> bool:
        """Whether the stamps are of about the time at which a message was recorded, as a map's are not."""
        return self.has_header and self.profile.durability != LATCHED.durability


def messages_of(reader: BagReader, played: Iterable[Played]) -> Iterator[BagMessage]:
    """The messages of these topics as bytes, by log time."""
    types = {item.topic: item.types for item in played}
    return (item for item in reader.messages(types, raw=True) if item.type_name in types[item.topic])


def choose(
    node: Node, reader: BagReader, values: Mapping[str, Any]
) -> tuple[Mapping[str, Played], Sequence[str]]:
    """What to play by recorded topic, as the player's parameters say, and what is left out and why.

    Raises TopicError where a parameter names what was not recorded or nothing can be played.
    """
    remap = dict(_pair(item) for item in values["remap"] if item)
    asked = {item for item in values["topics"] if item}
    recorded: dict[str, list[Topic]] = {}
    for topic in reader.topics():
        if topic.count:
            recorded.setdefault(topic.name, []).append(topic)
    for name in sorted(asked - recorded.keys()) + sorted(remap.keys() - recorded.keys()):
        raise TopicError(f"no topic {name!r} in {values['bag']}; it has {', '.join(sorted(recorded))}")
    played: dict[str, Played] = {}
    left_out: list[str] = []
    for name in sorted(asked or recorded):
        target = remap.get(name, name)
        if target == _CLOCK and values["stamps"] != "bag":
            left_out.append(
                f"{name}: it tells another time than stamps:={values['stamps']}; stamps:=bag plays it"
            )
            continue
        published = (
            f"{values['prefix']}{target}" if values["prefix"] else in_namespace(target, node.get_namespace())
        )
        if refusal := refusal_of(node, published):
            if name in remap:
                raise ConfigError(f"parameter remap: {published!r} is no topic of ROS 2: {refusal}")
            left_out.append(f"{name}: {published!r} is no topic of ROS 2 ({refusal}); remap renames it")
            continue
        if (found := _played(name, recorded[name], published, left_out)) is not None:
            played[name] = found
    if not played:
        raise TopicError(f"nothing to play in {values['bag']}: {'; '.join(left_out) or 'it has no messages'}")
    return played, left_out


def _played(topic: str, recorded: Iterable[Topic], name: str, left_out: list[str]) -> Played | None:
    """How a topic is played: of its types that which most of its messages are of, since a topic has one."""
    by_kind: dict[Any, list[Topic]] = {}
    for item in recorded:
        kind = _class_of(item)
        if kind is None:
            left_out.append(f"{topic}: {item.type_name} is not installed")
        else:
            by_kind.setdefault(kind, []).append(item)
    if not by_kind:
        return None
    kind, found = max(by_kind.items(), key=lambda pair: _count(pair[1]))
    first, count = found[0], _count(found)
    left_out += [
        f"{topic} of {item.type_name}: a topic has one type, and most of it is {first.type_name}"
        for kind_of, others in by_kind.items()
        for item in (others if kind_of is not kind else ())
    ]
    return Played(
        topic=topic,
        types=frozenset(item.type_name for item in found),
        count=count,
        kind=kind,
        name=name,
        profile=LATCHED if first.is_static else passed_on(first.qos, count=count),
        is_transforms=first.is_transforms,
        is_static=first.is_static,
        has_header=next(iter(kind.get_fields_and_field_types().values()), "") == "std_msgs/Header",
    )


def _class_of(topic: Topic) -> Any:
    """The message class of a topic; None where it is not installed."""
    try:
        return message_class(TRANSFORMS_TYPE if topic.is_transforms else topic.type_name)
    except ImportError:
        return None


def _count(topics: Iterable[Topic]) -> int:
    return sum(topic.count for topic in topics)


def _pair(item: str) -> tuple[str, str]:
    recorded, separator, published = item.partition(":=")
    if not separator or not recorded or not published:
        raise ConfigError(f"parameter remap: {item!r} is not recorded:=published")
    return recorded, published
