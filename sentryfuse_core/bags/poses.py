"""The poses of a recording's sensors, from its own /tf_static and /tf."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from sentryfuse_core.bags.readers import BagMessage, BagReader, Topic, Undecodable
from sentryfuse_core.bags.transforms import Chain, TransformTree
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config.sensors import default_section
from sentryfuse_core.errors import BagError
from sentryfuse_core.preprocess.placing import (
    PARAMETERS,
    Found,
    Placement,
    Placer,
    difference,
    parameter_pose,
    stand_in,
)
from sentryfuse_core.types import Pose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentryfuse_core.config import Config

__all__ = ["BagTransforms", "pose_facts", "pose_notes"]

_AHEAD_NS = NS_PER_S  # of recorded time: a transform is often recorded after the message it belongs to
_BESIDE_S = 0.1  # between the times at which a mount is looked at to see whether it moves
_LOOKED_THROUGH = 10_000  # messages of /tf in which the base frame has to appear
_MOST_NAMED = 20  # frames in a note
_MOST_NOTES = 20  # a broken recording has a note for each of its frames
_SAME_RAD, _SAME_M = 0.01, 0.01


class BagTransforms:
    """Frames as a recording's transforms place them; it lends itself to the placer where it knows any.

    `sensors` are the names of the sensors' topics: of several robots in a recording theirs is taken.

    Static transforms hold for the whole recording, whenever they were recorded. Moving ones are read as
    `now_ns` goes on, and only once a frame cannot be placed without them, so that an hour of /tf neither
    takes memory nor time that nobody needs.
    """

    def __init__(self, reader: BagReader, config: Config, sensors: Collection[str], placer: Placer) -> None:
        self.now_ns = reader.start_ns
        self.notes: list[str] = []
        self._base = config.output.base_frame
        self._tree = TransformTree()
        self._known: dict[str, Found] = {}  # placed by static transforms alone
        self._reader = reader
        self._next: BagMessage | None = None
        asked = config.output.extrinsics == "auto"
        topics = [topic for topic in reader.topics() if topic.count and topic.is_transforms]
        chosen = self._of_one_robot(topics, sensors) if asked else []
        if asked and not chosen:
            self._note("no /tf_static or /tf in the recording: the poses are the parameters'")
        self._fixed = sorted({topic.name for topic in chosen if topic.is_static})
        self._moving = sorted({topic.name for topic in chosen if not topic.is_static})
        count = sum(topic.count for topic in chosen if topic.is_static)
        for item in islice(self._messages(self._fixed), count):
            self._add(item, static=True)
        if chosen and self._has_base():
            placer.transforms = self
        self._stream = self._messages(self._moving)

    def _messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Messages of the topics up to damage, which is told when the sensors' messages come to it."""
        with suppress(BagError):
            yield from self._reader.messages(topics) if topics else ()

    def find(self, frame_id: str, *, stamp_ns: int) -> Found:
        """The pose of a frame in the base frame at a time near `now_ns`."""
        known = self._known.get(frame_id)
        if known is not None:
            return known
        chain = self._tree.find(self._base, frame_id, stamp_ns=stamp_ns, static=True)
        if isinstance(chain, Chain):
            self._known[frame_id] = found = Found(chain.pose, self._named(chain))
            return found
        self._read_on(self.now_ns + _AHEAD_NS)
        chain = self._tree.find(self._base, frame_id, stamp_ns=stamp_ns)
        if isinstance(chain, str):
            return Found(None, "", f"{chain} in the recording's transforms")
        return Found(chain.pose, self._named(chain), self._off(chain, frame_id, stamp_ns))

    def _off(self, chain: Chain, frame_id: str, stamp_ns: int) -> str:
        """What to tell of a pose of another time than the stamp's, by how the mount moves about then."""
        away_ns = chain.apart_ns + round(_BESIDE_S * NS_PER_S)
        for beside_ns in (stamp_ns - away_ns, stamp_ns + away_ns) if chain.apart_ns else ():
            beside = self._tree.find(self._base, frame_id, stamp_ns=beside_ns)
            pose = beside.pose if isinstance(beside, Chain) else None
            told = stand_in(chain.apart_ns / NS_PER_S, chain.pose, pose, beside_s=_BESIDE_S)
            if told:
                return told
        return ""

    def _named(self, chain: Chain) -> str:
        topics = [*self._fixed, *self._moving] if chain.moving else self._fixed
        return f"{' <- '.join(chain.frames)}, {' and '.join(topics)}"

    def _of_one_robot(self, topics: list[Topic], sensors: Collection[str]) -> list[Topic]:
        """The topics of one namespace: the one that holds most of the sensors' names, the nearest first."""
        spaces = sorted({topic.name.rpartition("/")[0] for topic in topics})

        def nearness(space: str) -> tuple[int, int]:
            holds = sum(name.startswith(f"{space}/") for name in sensors)
            return holds, len(space)

        best = max(spaces, key=nearness, default="")
        if len(spaces) > 1:
            names = ", ".join(f"{space}/tf" for space in spaces if space != best)
            self._note(f"poses are from the transforms under {best or '/'}, not {names}")
        return [topic for topic in topics if topic.name.rpartition("/")[0] == best]

    def _has_base(self) -> bool:
        """Whether the base frame is known, or comes in the beginning of /tf; without it nothing is placed."""
        heard = set(self._tree.frames)
        for item in islice(self._messages(self._moving), _LOOKED_THROUGH):
            if self._base in heard:
                break
            heard |= {name.lstrip("/") for found in _transforms(item) for name in found[:2]}
        if self._base in heard:
            return True
        names = sorted(heard)
        listed = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
        self._note(
            f"the recording's transforms have no frame {self._base!r}, only {listed or 'none at all'}: the "
            "poses are the parameters'; set output.base_frame to the robot's base among them"
        )
        return False

    def _read_on(self, until_ns: int) -> None:
        """Take in the moving transforms up to `until_ns` of recorded time."""
        while (item := self._next or next(self._stream, None)) is not None:
            self._next = item if item.log_time_ns > until_ns else None
            if self._next is not None:
                return
            self._add(item, static=False)

    def _add(self, item: BagMessage, *, static: bool) -> None:
        if isinstance(item.message, Undecodable):
            self._note(f"a message of {item.topic} cannot be decoded: {item.message.detail}")
        for child, parent, pose, stamp_ns in _transforms(item):
            problem = self._tree.add(
                child.lstrip("/"), parent.lstrip("/"), pose, stamp_ns=stamp_ns, static=static
            )
            if problem:
                self._note(f"{item.topic}: {problem}")
            if child.startswith("/") or parent.startswith("/"):
                self._note(f"{item.topic}: frames with a leading slash, which tf2 refuses; read without it")

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < _MOST_NOTES:
            self.notes.append(text)


def _transforms(item: BagMessage) -> Iterator[tuple[str, str, Pose, int]]:
    """Child, parent, pose and stamp of every transform in a message."""
    for transform in getattr(item.message, "transforms", ()):
        t, q = transform.transform.translation, transform.transform.rotation
        stamp = transform.header.stamp
        pose = Pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
        stamp_ns = stamp.sec * NS_PER_S + stamp.nanosec
        yield transform.child_frame_id, transform.header.frame_id, pose, stamp_ns


def pose_facts(placements: Mapping[str, Placement]) -> dict[str, str]:
    """By sensor, what placed it last: the chain of frames, or the parameters."""
    return {str(name): placed.source for name, placed in placements.items() if placed.source}


def pose_notes(placements: Mapping[str, Placement], config: Config) -> Iterator[str]:
    """Poses that somebody set in the parameters and that another one from the recording overrules."""
    for name, placed in placements.items():
        section = config.sensor(name)
        given = parameter_pose(section)
        if (
            placed.source in ("", PARAMETERS)
            or placed.pose is None
            or given == parameter_pose(default_section(name, config.kind_of(name)))
        ):
            continue
        turned_rad, moved_m = difference(placed.pose, given)
        if turned_rad > _SAME_RAD or moved_m > _SAME_M:
            yield (
                f"{name} is placed by the recording ({placed.source}), not by {name}.translation_m and "
                f"{name}.quaternion_xyzw, which are {moved_m:.2f} m and {math.degrees(turned_rad):.1f} "
                "degrees away; output.extrinsics: parameters uses those"
            )
