"""Where each sensor sits on the robot, from tf2 where it is installed."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import TYPE_CHECKING, Any

from rclpy.time import Time

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import Pose

if TYPE_CHECKING:
    from rclpy.node import Node

__all__ = ["TransformTree", "tf2_available"]

_REFRESH_NS = NS_PER_S  # mounted sensors do not move; a corrected calibration is taken up this soon
_RETRY_NS = NS_PER_S // 10


def tf2_available() -> bool:
    """Whether tf2_ros can be imported."""
    return importlib.util.find_spec("tf2_ros") is not None


class TransformTree:
    """Poses of sensor frames in the base frame, looked up in tf2 and remembered for a second."""

    def __init__(self, node: Node, *, base_frame: str) -> None:
        import tf2_ros  # not there in every installation

        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._base_frame = base_frame
        self._known: dict[str, tuple[int, Pose | None]] = {}

    def pose(self, frame_id: str, *, now_ns: int) -> Pose | None:
        """The pose of `frame_id` at the steady time `now_ns`; None while tf2 does not know it.

        A guess, such as identity, would put every point of the sensor in the wrong place.
        """
        at_ns, pose = self._known.get(frame_id, (None, None))
        if at_ns is None or now_ns - at_ns > (_RETRY_NS if pose is None else _REFRESH_NS):
            # A pose that was known stays: the tree's buffer is empty after a jump of the clock.
            with contextlib.suppress(self._error):
                pose = _pose(self._buffer.lookup_transform(self._base_frame, frame_id, Time()).transform)
            self._known[frame_id] = (now_ns, pose)
        return pose


def _pose(transform: Any) -> Pose:
    t, q = transform.translation, transform.rotation
    return Pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
