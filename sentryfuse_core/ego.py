"""Ego motion: how the robot moved between two moments, from odometry that is checked before it is used."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import OdometryConfig
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.odometry import OdometryReading
from sentryfuse_core.planar import (
    EgoState,
    EgoStep,
    Velocity,
    ahead,
    apart,
    base_state,
    between,
    contradicts_speed,
    leads_to,
    step,
)
from sentryfuse_core.types import Pose

__all__ = ["EgoMotion", "Mount"]

Mount: TypeAlias = Callable[[str, int], Pose | None]  # of a frame in the base frame at a stamp; None: unknown

_stamp_ns = attrgetter("stamp_ns")  # of an EgoState
_KEPT_NS = 3 * NS_PER_S
_GAP_NS = NS_PER_S  # readings further apart say nothing of what lies between them
_SOON_NS = NS_PER_S // 125  # nor need there be one sooner than this after another
_PENDING = 10_000  # readings kept for a set that does not come; the oldest go first
_COMPARED_NS = NS_PER_S // 5  # way and speed are compared over this time: noise of a pose is no speed then
_OFF_RAD_S = 0.1  # of the IMU: no gyro that can be used errs as much
_AHEAD_S = 1.0  # of the sets, or behind them: no clock that was synchronised is
_MOMENT_S = 0.5
_SETTLE_NS = NS_PER_S  # without another fault, before it is used again
_FORGET_NS = 5 * NS_PER_S  # what the IMU said, once it says nothing more
_TOLD = {
    "stopped": "no message for more than {limit_s:g} s; check what publishes it, or raise odometry.timeout_s",
    "other_clock": "its stamps are of another clock than the sensors'; let both stamp with ROS time",
    "late": "its stamps lie more than {limit_s:g} s behind the sensors'; raise odometry.timeout_s",
    "contradicts_imu": "its yaw rate contradicts the IMU's; check its frames, and how the IMU is mounted",
    "contradicts_itself": "its twist contradicts its pose; it belongs along the axes of child_frame_id",
}


@dataclass
class _Doubt:
    """A contradiction: believed once it has lasted a moment, until it has been gone for one."""

    held_s: float = 0.0
    believed: bool = False

    def note(self, seconds: float, *, contradicts: bool) -> None:
        """For so long two sources contradicted each other, or agreed."""
        self.held_s = min(max(self.held_s + (seconds if contradicts else -seconds), 0.0), _MOMENT_S)
        self.believed = self.held_s >= _MOMENT_S or (self.believed and self.held_s > 0.0)


class EgoMotion:
    """Seconds of odometry. Any thread may `take` and `refuse`; the rest is for one thread, set by set.

    `problem` says why what came is not used, with a remedy, and `code` is its stable name; both are empty
    while it is used, and where it never came.
    """

    def __init__(self, config: OdometryConfig) -> None:
        self.code = self.problem = ""
        self.frame_id = ""  # in which it tells the pose
        self.received = 0
        self.now: Velocity | None = None  # at the last set
        self._timeout_s = config.timeout_s
        self._pending: deque[OdometryReading | InvalidMessageError] = deque(maxlen=_PENDING)
        self._heard_ns: int | None = None  # stamp of the last set before which something came
        self._fault = ("", "", 0)  # code, text, and the stamp of a set until which it counts
        self._epoch = 0
        self._compared_ns: int | None = None  # stamp up to which the IMU was asked
        self._forget()

    def take(self, reading: OdometryReading) -> None:
        """Take in one reading; it is looked at with the next set."""
        self.received += 1
        self._pending.append(reading)

    def refuse(self, error: InvalidMessageError) -> None:
        """A message came that cannot be read."""
        self.received += 1
        self._pending.append(error)

    def follow(self, stamp_ns: int, *, epoch: int, mount: Mount) -> None:
        """Take in what came until the set of this stamp, and judge it."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._forget()
            self._heard_ns = None if self._heard_ns is None else stamp_ns
        while self._pending:
            self._heard_ns = stamp_ns
            fault = self._enter(self._pending.popleft(), mount)
            if fault is not None:
                self._fault = (*fault, stamp_ns + _SETTLE_NS)
        if self._compared_ns is not None and stamp_ns - self._compared_ns > _FORGET_NS:
            self._imu, self._compared_ns = _Doubt(), None
        self.code, self.problem = self._judged(stamp_ns)
        self.now = self.velocity(stamp_ns)

    def compare(self, from_ns: int, to_ns: int, yaw: float) -> None:
        """The IMU says that the robot turned left by `yaw` rad between two stamps."""
        way, span_s = self._between(from_ns, to_ns), (to_ns - from_ns) / NS_PER_S
        if way is None or span_s <= 0.0:
            return
        since_ns, self._compared_ns = max(self._compared_ns or from_ns, from_ns), to_ns
        differs = apart(way.yaw / span_s, yaw / span_s, least=_OFF_RAD_S)
        self._imu.note((to_ns - since_ns) / NS_PER_S, contradicts=differs)

    def motion(self, from_ns: int, to_ns: int) -> EgoStep | None:
        """How the base moved between two stamps; None where that is not known."""
        return None if self.problem else self._between(from_ns, to_ns)

    def velocity(self, stamp_ns: int) -> Velocity | None:
        """Speed and yaw rate at a stamp; None where they are not known."""
        state = None if self.problem else self._at(stamp_ns)
        return None if state is None else state.velocity

    def pose(self, stamp_ns: int) -> EgoStep | None:
        """Where the base is in `frame_id` at a stamp; None where that is not known."""
        state = None if self.problem else self._at(stamp_ns)
        return None if state is None else state.pose

    def as_of_now(self) -> EgoMotion:
        """How it stands now, for a set that is finished when others have been followed already."""
        return copy.copy(self)  # what `motion` and `velocity` read is replaced, never changed in place

    def _forget(self) -> None:
        self._states: list[EgoState] = []  # by rising stamp
        self._newest_ns: int | None = None  # stamp of the last reading of a known frame
        self._twist, self._imu = _Doubt(), _Doubt()
        self._compared_ns = None

    def _enter(self, reading: OdometryReading | InvalidMessageError, mount: Mount) -> tuple[str, str] | None:
        """Enter one reading; code and text of what is wrong with it."""
        if isinstance(reading, InvalidMessageError):
            return "invalid", f"{reading}; correct what publishes it"
        newest_ns, frame = self._newest_ns, reading.child_frame_id
        if newest_ns is not None and -_SOON_NS < newest_ns - reading.stamp_ns < _GAP_NS:
            return None  # told already, out of order, or hardly news
        pose = mount(frame, reading.stamp_ns)
        if pose is None:
            named = f"no transform to its child_frame_id {frame!r}" if frame else "it has no child_frame_id"
            return "wrong_frame", f"{named}; publish that transform, or set odometry.frame_id"
        state = base_state(reading, pose)
        if newest_ns is None or abs(reading.stamp_ns - newest_ns) >= _GAP_NS:
            self._states = []
        jumped = self._jumped(reading, state)
        if jumped:
            self._states = []
        since = bisect_right(self._states, state.stamp_ns - _COMPARED_NS, key=_stamp_ns) - 1
        if since >= 0:
            seconds = (state.stamp_ns - self._states[-1].stamp_ns) / NS_PER_S
            self._twist.note(seconds, contradicts=contradicts_speed([*self._states[since:], state]))
        self.frame_id, self._newest_ns = reading.frame_id, reading.stamp_ns
        self._states = [*self._states, state]
        if state.stamp_ns - self._states[0].stamp_ns > 2 * _KEPT_NS:
            self._states = self._states[
                bisect_right(self._states, state.stamp_ns - _KEPT_NS, key=_stamp_ns) :
            ]
        return ("jumped", jumped) if jumped else None

    def _jumped(self, reading: OdometryReading, state: EgoState) -> str:
        """What breaks with the readings before; empty: nothing does."""
        if not self._states:
            return ""
        if reading.frame_id != self.frame_id:
            change = f"its frame_id changed from {self.frame_id!r} to {reading.frame_id!r}"
            return f"{change}; let one source publish it, in one frame"
        if leads_to(self._states[-2:], state):
            return ""
        return "its pose jumped; use odometry that goes on without jumps (in REP 105's frame odom, not map)"

    def _judged(self, stamp_ns: int) -> tuple[str, str]:
        """Code and text of what is wrong as of a set; empty where nothing is."""
        code, text, until_ns = self._fault
        if 0 < until_ns - stamp_ns <= _SETTLE_NS:
            return code, text
        if self._heard_ns is None:
            return "", ""
        newest_ns = self._heard_ns if self._newest_ns is None else self._newest_ns
        behind_s, limit_s = (stamp_ns - newest_ns) / NS_PER_S, self._timeout_s
        findings = {
            "stopped": behind_s > limit_s and stamp_ns - self._heard_ns > limit_s * NS_PER_S,
            "other_clock": not -_AHEAD_S <= behind_s <= max(limit_s, _AHEAD_S),
            "late": behind_s > limit_s,
            "contradicts_imu": self._imu.believed,
            "contradicts_itself": self._twist.believed,
        }
        code = next((code for code, found in findings.items() if found), "")
        return code, _TOLD[code].format(limit_s=limit_s) if code else ""

    def _between(self, from_ns: int, to_ns: int) -> EgoStep | None:
        before, after = self._at(from_ns), self._at(to_ns)
        return None if before is None or after is None else step(before.pose, after.pose)

    def _at(self, stamp_ns: int) -> EgoState | None:
        """Between two readings, or a little after the last."""
        index = bisect_right(self._states, stamp_ns, key=_stamp_ns)
        if not index:
            return None
        before = self._states[index - 1]
        if index < len(self._states):
            return between(before, self._states[index], stamp_ns)
        return ahead(before, stamp_ns) if stamp_ns - before.stamp_ns <= self._timeout_s * NS_PER_S else None
