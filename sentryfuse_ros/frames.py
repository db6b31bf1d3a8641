"""Where each sensor sits on the robot, from tf2 where it is installed."""

from __future__ import annotations

import importlib.util
from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import Pose

__all__ = ["TransformTree", "tf2_available"]

_REFRESH_NS = NS_PER_S  # mounted sensors do not move; a corrected calibration is taken up this soon


def tf2_available() -> bool:
    """Whether tf2_ros can be imported."""
    return importlib.util.find_spec("tf2_ros") is not None


class TransformTree:
    """Poses of sensor frames in the base frame, looked up in tf2 and remembered for a second."""

    def __init__(self, node: Node, *, base_frame: str) -> None:
        import tf2_ros

        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._base_frame = base_frame
        self._known: dict[str, tuple[int, Pose]] = {}

    def pose(self, frame_id: str, *, now_ns: int) -> Pose:
        """The pose of `frame_id`; `now_ns` is steady time.

        Raises InvalidMessageError `no_transform` while tf2 does not know it: a guess, such as
        identity, would put every point of the sensor in the wrong place.
        """
        looked_up_ns, pose = self._known.get(frame_id, (None, None))
        if pose is None or now_ns - looked_up_ns > _REFRESH_NS:
            try:
                found = self._buffer.lookup_transform(self._base_frame, frame_id, Time())
            except self._error as error:
                if pose is None:
                    raise InvalidMessageError("no_transform", _explain(frame_id, self._base_frame, error)) from error
            else:
                pose = _pose(found.transform)
            self._known[frame_id] = (now_ns, pose)
        return pose

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def _explain(frame_id: str, base_frame: str, error: Exception) -> str:
    return (
        f"tf2 knows no transform from {frame_id!r} to {base_frame!r} ({' '.join(str(error).split())}); "
        "publish it, or set output.extrinsics to parameters"
    )


def _pose(transform: Any) -> Pose:
    t, q = transform.translation, transform.rotation
    return Pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
