"""Points of a lidar that turns while the robot moves: each from its own moment to that of the set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.planar import Velocity
from sentryfuse_core.preprocess import motion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sentryfuse_core.ego import EgoMotion
    from sentryfuse_core.types import Pose, Sample

__all__ = ["Even", "deskewed", "even_motion", "point_times_s"]

_SHORTEST_S, _LONGEST_S = 0.002, 1.0  # of a sweep; what is shorter is a snapshot
_NEAR_S = 1.5  # from its stamp, or from zero: further away no point of the cloud can be
_STILL_RAD, _STILL_M = 1e-3, 0.01  # during a sweep: what moves less is taken as it is
_CHUNK = 8192  # points at a time: what is made of them on the way stays near the processor
_PER_S = (1, 1_000, 1_000_000, NS_PER_S)  # units that drivers write: s, ms, us, ns


class Even(NamedTuple):
    """A motion without acceleration: turn rate and speed `[3]` along the base's axes, m/s over ground."""

    rate_rad_s: motion.Vector
    speed_m_s: motion.Vector


def point_times_s(raw: NDArray[Any], *, stamp_ns: int) -> NDArray[np.float32] | str:
    """Seconds from the cloud's stamp to each point `[N]`, or in words why they are not known.

    Drivers write seconds to nanoseconds, since the stamp (Ouster, Velodyne) or as a time of its clock
    (Hesai, Livox). In one unit alone the whole lasts as long as a sweep does. Empty: a snapshot.
    """
    first, last = (value.item() for value in (raw.min(), raw.max()))
    span = last - first
    if not np.isfinite(span):
        return "they are not all finite"
    per_s = next((unit for unit in _PER_S if _SHORTEST_S * unit < span <= _LONGEST_S * unit), None)
    if per_s is None:
        if span <= _SHORTEST_S:
            return np.zeros(0, np.float32)
        return f"from first to last they go on by {span:g}, in no unit a sweep"
    whole = raw.dtype.kind in "iu"
    stamp = stamp_ns * per_s // NS_PER_S if whole else stamp_ns / NS_PER_S * per_s
    since_zero, since_stamp = abs(first + span / 2) / per_s, abs(first - stamp + span / 2) / per_s
    if min(since_zero, since_stamp) > _NEAR_S:
        return f"they are of another clock than its stamp, {since_stamp:.0f} s away"
    if since_zero > _NEAR_S:
        raw = (raw.astype(np.int64) if whole else raw) - stamp
    times_s: NDArray[np.float32] = raw.astype(np.float32) / np.float32(per_s)
    return times_s


def even_motion(
    ego: EgoMotion | None, readings: Sequence[Sample], imu_pose: Pose | None, *, from_ns: int, to_ns: int
) -> Even | None:
    """How the base moves meanwhile: it turns as the gyro tells, else odometry, which tells its speed."""
    velocity = None if ego is None else ego.velocity((from_ns + to_ns) // 2)
    rate = None if imu_pose is None else motion.mean_rate(readings, imu_pose, from_ns=from_ns, to_ns=to_ns)
    if rate is None and velocity is None:
        return None
    x, y, yaw_rate = velocity or Velocity()
    return Even(np.array([0.0, 0.0, yaw_rate]) if rate is None else rate, np.array([x, y, 0.0]))


def deskewed(
    points: NDArray[np.float32], times_s: NDArray[np.float32], moves: Even, pose: Pose
) -> NDArray[np.float32]:
    """Points `[4, N]` of a sensor with this pose, each measured at `times_s` `[N]`, as seen at time 0."""
    to_sensor = motion.pose_rotation(pose).T
    speed = to_sensor @ (moves.speed_m_s + np.cross(moves.rate_rad_s, pose.translation))
    turn = to_sensor @ moves.rate_rad_s
    rate, longest_s = float(np.linalg.norm(turn)), float(np.abs(times_s).max())
    if rate * longest_s < _STILL_RAD and float(np.linalg.norm(speed)) * longest_s < _STILL_M:
        return points
    axis, bend = (vector.astype(np.float32) for vector in (turn / (rate or 1.0), np.cross(turn, speed) / 2))
    moved: NDArray[np.float32] = points.copy()
    for start in range(0, points.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        _move(moved[:3, part], times_s[part], axis, np.float32(rate), speed.astype(np.float32), bend)
    return moved


def _move(
    points: NDArray[np.float32],
    times_s: NDArray[np.float32],
    axis: NDArray[np.float32],
    rate: np.float32,
    speed: NDArray[np.float32],
    bend: NDArray[np.float32],
) -> None:
    """Turn points `[3, N]` about `axis` by Rodrigues' formula, and shift them along a way that bends."""
    angles = times_s * rate
    sin, cos = np.sin(angles), np.cos(angles)
    x, y, z = points
    along = (x * axis[0] + y * axis[1] + z * axis[2]) * (np.float32(1.0) - cos)
    across = (z * axis[1] - y * axis[2], x * axis[2] - z * axis[0], y * axis[0] - x * axis[1])
    for row in range(3):
        points[row] *= cos
        points[row] += sin * across[row] + along * axis[row] + times_s * (speed[row] + times_s * bend[row])
