"""A tree of transforms over time: which frame sits where, along its chain of parents, as tf2 would say."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import Pose

__all__ = ["Chain", "TransformTree"]

Vector: TypeAlias = tuple[float, float, float]
Quaternion: TypeAlias = tuple[float, float, float, float]
_WINDOW_NS = 5 * NS_PER_S  # of moving transforms, behind the newest one
_PRUNE = 256  # entries beyond the window before they are let go of
_FURTHEST_M = 1e9  # coordinates of the whole earth are less
_NORM = 1e-2  # what a squared norm of a quaternion may be off by, as in tf2
_FAR_NS = NS_PER_S  # two entries further apart say little of the time between them
_IDENTITY = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


class Chain(NamedTuple):
    """A pose and how it came about."""

    pose: Pose
    frames: tuple[str, ...]  # from the target to the source
    moving: bool  # whether a transform of it is not static
    apart_ns: int  # how far the nearest entry lies from the time asked for, where that matters


class _Entry(NamedTuple):
    stamp_ns: int
    parent: str
    pose: Pose  # of the child in its parent


class TransformTree:
    """Takes transforms in the order of their recording and answers for any time within the last seconds."""

    def __init__(self) -> None:
        self._static: dict[str, _Entry] = {}
        self._moving: dict[str, list[_Entry]] = {}

    @property
    def frames(self) -> frozenset[str]:
        """Every frame named so far."""
        parents = {entry.parent for entry in self._static.values()}
        parents |= {entries[-1].parent for entries in self._moving.values()}
        return frozenset(parents | self._static.keys() | self._moving.keys())

    def add(self, child: str, parent: str, pose: Pose, *, stamp_ns: int, static: bool) -> str:
        """Take in one transform; what is odd about it, or why it is refused; empty: nothing."""
        problem = _refusal(child, parent, pose)
        if problem:
            return f"refused {parent} -> {child}: {problem}"
        norm = math.hypot(*pose.quaternion)
        x, y, z, w = (part / norm for part in pose.quaternion)
        entry = _Entry(stamp_ns, parent, Pose(pose.translation, (x, y, z, w)))
        before = self._static.get(child)
        if static:
            self._static[child] = entry
            return _second(child, before, parent)
        if before is not None:
            return f"{child} moves and is static; the static transform holds"
        entries = self._moving.setdefault(child, [])
        if entries and stamp_ns < entries[-1].stamp_ns - _WINDOW_NS:
            entries.clear()  # time went back, as in a recording of a recording
        before = entries[-1] if entries else None
        # Behind those of the same stamp: the last word holds.
        entries.insert(bisect_right(entries, stamp_ns, key=_stamp_of), entry)
        oldest = bisect_right(entries, entries[-1].stamp_ns - _WINDOW_NS, key=_stamp_of)
        if oldest > _PRUNE:
            del entries[: oldest - 1]
        return _second(child, before, parent)

    def find(self, target: str, source: str, *, stamp_ns: int, static: bool = False) -> Chain | str:
        """The pose of `source` in `target` at `stamp_ns`; a text says why there is none.

        `static` leaves the moving transforms out.
        """
        up_from_source = self._climb(source, stamp_ns, static=static)
        up_from_target = self._climb(target, stamp_ns, static=static)
        if isinstance(up_from_source, str) or isinstance(up_from_target, str):
            return up_from_source if isinstance(up_from_source, str) else str(up_from_target)
        below = {step.frame: index for index, step in enumerate(up_from_target)}
        meet = next((index for index, step in enumerate(up_from_source) if step.frame in below), None)
        if meet is None:
            return f"no transform from frame {source!r} to {target!r}"
        there = up_from_source[: meet + 1]
        back = up_from_target[: below[there[-1].frame] + 1]
        pose = _compose(_inverse(back[-1].pose), there[-1].pose)
        frames = (*(step.frame for step in back), *(step.frame for step in reversed(there[:-1])))
        apart_ns = max(there[-1].apart_ns, back[-1].apart_ns)
        return Chain(pose, frames, there[-1].moving or back[-1].moving, apart_ns)

    def _climb(self, frame: str, stamp_ns: int, *, static: bool) -> list[_Step] | str:
        """From a frame to the root of its tree, with the pose of the first frame in each."""
        steps = [_Step(frame, _IDENTITY, moving=False, apart_ns=0)]
        seen = {frame}
        while True:
            last = steps[-1]
            entry, apart_ns = self._static.get(last.frame), 0
            moving = entry is None
            if entry is None and not static and last.frame in self._moving:
                entry, apart_ns = _at(self._moving[last.frame], stamp_ns)
            if entry is None:
                return steps
            if entry.parent in seen:
                loop = " -> ".join([*(step.frame for step in steps), entry.parent])
                return f"the frames {loop} form a loop"
            seen.add(entry.parent)
            pose = _compose(entry.pose, last.pose)
            steps.append(_Step(entry.parent, pose, last.moving or moving, max(last.apart_ns, apart_ns)))


class _Step(NamedTuple):
    frame: str
    pose: Pose  # of the frame that was climbed from
    moving: bool
    apart_ns: int


def _stamp_of(entry: _Entry) -> int:
    return entry.stamp_ns


def _refusal(child: str, parent: str, pose: Pose) -> str:
    """Why a transform cannot be used, as tf2 has it."""
    if not child or not parent:
        return "a frame without a name"
    if child == parent:
        return "a frame in itself"
    if not all(map(math.isfinite, (*pose.translation, *pose.quaternion))):
        return "its numbers are not finite"
    if max(map(abs, pose.translation)) > _FURTHEST_M:
        return f"it is more than {_FURTHEST_M:g} m away"
    if abs(sum(part * part for part in pose.quaternion) - 1.0) > _NORM:
        return f"quaternion ({', '.join(f'{part:g}' for part in pose.quaternion)}) is no rotation"
    return ""


def _second(child: str, before: _Entry | None, parent: str) -> str:
    if before is None or before.parent == parent:
        return ""
    return f"{child} has two parents, {before.parent} and {parent}; the last one said holds"


def _at(entries: Sequence[_Entry], stamp_ns: int) -> tuple[_Entry, int]:
    """The entry for a time, between its neighbours where they agree on the parent, and how far one is."""
    index = bisect_right(entries, stamp_ns, key=_stamp_of)
    if index == 0:
        return entries[0], entries[0].stamp_ns - stamp_ns
    before = entries[index - 1]
    if index == len(entries) or before.stamp_ns == stamp_ns:
        return before, stamp_ns - before.stamp_ns
    after = entries[index]
    wide_ns = after.stamp_ns - before.stamp_ns
    nearest_ns = min(stamp_ns - before.stamp_ns, after.stamp_ns - stamp_ns)
    apart_ns = nearest_ns if wide_ns > _FAR_NS else 0
    if after.parent != before.parent:
        return before, apart_ns
    share = (stamp_ns - before.stamp_ns) / wide_ns
    a, b = before.pose.translation, after.pose.translation
    middle = (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2]))
    turned = _slerp(before.pose.quaternion, after.pose.quaternion, share)
    return _Entry(stamp_ns, before.parent, Pose(middle, turned)), apart_ns


def _slerp(a: Quaternion, b: Quaternion, share: float) -> Quaternion:
    cosine = sum(p * q for p, q in zip(a, b, strict=True))
    sign = 1.0 if cosine >= 0.0 else -1.0  # the shorter way
    angle = math.acos(min(abs(cosine), 1.0))
    if angle < 1e-6:
        return a
    first, second = math.sin((1.0 - share) * angle), sign * math.sin(share * angle)
    x, y, z, w = ((first * p + second * q) / math.sin(angle) for p, q in zip(a, b, strict=True))
    return (x, y, z, w)


def _rotate(q: Quaternion, v: Vector) -> Vector:
    x, y, z, w = q
    a, b, c = (2.0 * (y * v[2] - z * v[1]), 2.0 * (z * v[0] - x * v[2]), 2.0 * (x * v[1] - y * v[0]))
    return (
        v[0] + w * a + y * c - z * b,
        v[1] + w * b + z * a - x * c,
        v[2] + w * c + x * b - y * a,
    )


def _compose(outer: Pose, inner: Pose) -> Pose:
    """First `inner`, then `outer`; identity leaves the numbers as they were written."""
    if outer is _IDENTITY or inner is _IDENTITY:
        return inner if outer is _IDENTITY else outer
    (a, b, c, d), (x, y, z, w) = outer.quaternion, inner.quaternion
    turned = (
        d * x + a * w + b * z - c * y,
        d * y - a * z + b * w + c * x,
        d * z + a * y - b * x + c * w,
        d * w - a * x - b * y - c * z,
    )
    moved, (p, q, r) = _rotate(outer.quaternion, inner.translation), outer.translation
    return Pose((p + moved[0], q + moved[1], r + moved[2]), turned)


def _inverse(pose: Pose) -> Pose:
    if pose is _IDENTITY:
        return pose
    x, y, z, w = pose.quaternion
    back = _rotate((-x, -y, -z, w), pose.translation)
    return Pose((-back[0], -back[1], -back[2]), (-x, -y, -z, w))
