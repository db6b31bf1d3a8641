"""Where each sensor sits on the robot, from tf2: at the sample's stamp where it moves."""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any

from rclpy.time import Time

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.preprocess.placing import Found, stand_in
from sentryfuse_core.types import Pose

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

__all__ = ["TransformTree", "tf2_available"]

_REFRESH_NS = NS_PER_S  # a static transform does not move; a corrected calibration is taken up this soon
_PATIENCE_NS = 30 * NS_PER_MS  # for a transform that is as new as the sample
_IMPATIENT_NS = NS_PER_S  # after waiting in vain: what comes late once comes late again
_POLL_S = 0.002
_BEFORE_S = 0.1  # how far back a mount is looked at to see whether it moves


def tf2_available() -> bool:
    """Whether tf2_ros can be imported."""
    return importlib.util.find_spec("tf2_ros") is not None


class TransformTree:
    """Poses of sensor frames in the base frame; one thread at a time calls `find`.

    A chain of static transforms is remembered for a second. Along one that moves the pose is that of the
    sample's stamp, for which `find` waits a little, or the last one, and then it says so.
    """

    def __init__(
        self, node: Node, *, base_frame: str, steady_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        import tf2_ros  # not there in every installation

        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = _listener(tf2_ros.TransformListener)(self._buffer, node)
        self._base_frame = base_frame
        self._steady_ns = steady_ns
        self._static: dict[str, tuple[int, Found]] = {}  # and the steady time at which it was looked up
        self._last: dict[str, Found] = {}
        self._impatient_until_ns: dict[str, int] = {}

    def find(self, frame_id: str, *, stamp_ns: int, wait: bool = True) -> Found:
        """The pose of `frame_id` in the base frame at `stamp_ns`; `wait` allows a bounded wait for it."""
        at_ns, known = self._static.get(frame_id, (0, None))
        if known is not None and self._steady_ns() - at_ns <= _REFRESH_NS:
            return known
        latest = self._look_up(frame_id, 0)
        if latest is None:
            return self._unknown(frame_id)
        latest_ns, pose = latest
        if not latest_ns:
            self._last[frame_id] = found = Found(pose, self._named(frame_id))
            self._static[frame_id] = (self._steady_ns(), found)
            return found
        self._static.pop(frame_id, None)
        then = self._at(frame_id, stamp_ns, wait=wait and latest_ns < stamp_ns)
        self._last[frame_id] = found = Found(
            pose if then is None else then,
            f"{self._named(frame_id)}, moving",
            self._off(frame_id, latest_ns, pose, stamp_ns) if then is None else "",
        )
        return found

    def clear(self) -> None:
        """Forget what moved: time has jumped, and tf2 would refuse what is older than that."""
        self._buffer.clear()
        self._impatient_until_ns.clear()

    def _named(self, frame_id: str) -> str:
        return f"{self._base_frame} <- {frame_id}, tf2"

    def _unknown(self, frame_id: str) -> Found:
        last = self._last.get(frame_id)
        if last is None:
            return Found(None, "", f"tf2 knows no transform from frame {frame_id!r} to {self._base_frame!r}")
        return last._replace(
            problem=f"is placed by the last transform of frame {frame_id!r}, which tf2 has no more: "
            "time jumped, or its publisher is gone"
        )

    def _at(self, frame_id: str, stamp_ns: int, *, wait: bool) -> Pose | None:
        """The pose at a time, as soon as it is there."""
        now_ns = self._steady_ns()
        wait = wait and now_ns >= self._impatient_until_ns.get(frame_id, 0)
        while True:
            found = self._look_up(frame_id, stamp_ns)
            if found is not None or not wait:
                return None if found is None else found[1]
            if self._steady_ns() - now_ns >= _PATIENCE_NS:
                self._impatient_until_ns[frame_id] = self._steady_ns() + _IMPATIENT_NS
                return None
            time.sleep(_POLL_S)

    def _off(self, frame_id: str, latest_ns: int, pose: Pose, stamp_ns: int) -> str:
        before_ns = max(latest_ns - round(_BEFORE_S * NS_PER_S), 1)  # 0 would be the latest
        before = self._look_up(frame_id, before_ns)
        return stand_in(
            abs(stamp_ns - latest_ns) / NS_PER_S,
            pose,
            None if before is None else before[1],
            beside_s=_BEFORE_S,
        )

    def _look_up(self, frame_id: str, stamp_ns: int) -> tuple[int, Pose] | None:
        """What tf2 says for a time, 0 for the latest, with the time that it is of: 0 where nothing moves."""
        try:
            found = self._buffer.lookup_transform(self._base_frame, frame_id, Time(nanoseconds=stamp_ns))
        except self._error:
            return None
        stamp = found.header.stamp
        return stamp.sec * NS_PER_S + stamp.nanosec, _pose(found.transform)


def _listener(kind: type) -> type:
    """tf2's listener without its `__del__`, which fails where a signal found the listener half made.

    What it would unsubscribe from the node destroys at its own end.
    """
    return type(kind.__name__, (kind,), {"__del__": lambda _self: None})


def _pose(transform: Any) -> Pose:
    t, q = transform.translation, transform.rotation
    return Pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
