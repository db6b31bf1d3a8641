"""Criteria that need more than one message: a stuck IMU axis, units of an IMU, gaps between audio blocks."""

from __future__ import annotations

import math
from collections import deque

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import HealthConfig
from sentryfuse_core.health.criteria import Finding, find
from sentryfuse_core.health.stats import ImuValues
from sentryfuse_core.types import AudioBlock

__all__ = ["AUDIO_BLOCKS", "STUCK_READINGS", "AudioGaps", "ImuUnits", "Share", "StuckAxis"]

_AXES = ("gyro x", "gyro y", "gyro z", "accelerometer x", "accelerometer y", "accelerometer z")
AUDIO_BLOCKS = 50  # that gaps are looked for in
STUCK_READINGS = 50  # in a row that a stuck axis has to repeat its value in
_DOUBTED, _DOUBTED_NS = 10, NS_PER_S // 10  # in a row, and for so long, after which the gyro's tells no turn
_TURNS_RAD_S = 0.02  # if it is above this: below, coarse steps repeat too, and turn nothing wrongly
_GAPS = 3  # gaps among them that count
_UNITS_OF = 100  # readings at least that units are told by
_UNITS_NS = 2 * NS_PER_S  # and their time
_LEAST_M_S2, _MOST_M_S2 = 4.0, 40.0  # average acceleration of anything that drives
_ONE_G = (0.8, 1.2)
_MOST_RAD_S = 10.0  # average turn of anything that drives: more than 1.5 turns a second
_GYRO_FINE = 15  # times in a row that the gyroscope has to look right once it did not


class Share:
    """Which of the last messages were marked."""

    def __init__(self, of: int) -> None:
        self._of = of
        self._count = 0
        self.marks: deque[int] = deque()  # numbers of those marked

    def add(self, *, mark: bool) -> bool:
        """Whether one is marked, or the last that was has just dropped out."""
        self._count += 1
        marks = self.marks
        if mark:
            marks.append(self._count)
        elif not marks:
            return False
        if marks[0] <= self._count - self._of:
            marks.popleft()
        return True


class StuckAxis:
    """Finds one axis that repeats its value to the bit while another one moves.

    A robot that stands still has noise on every axis, so none stands out. An axis that never moved, as
    those a planar simulator fills with zeros, is not measured and not stuck.
    """

    def __init__(self, config: HealthConfig) -> None:
        self._stuck_ns = round(config.stuck_axis_s * NS_PER_S)
        self._values: list[float] = []
        self._since_ns: list[int] = []
        self._run: list[int] = []
        self._moved: list[bool] = []
        self.doubtful = False  # whether the newest reading may turn things by an axis that is stuck

    def look(self, reading: ImuValues, stamp_ns: int) -> Finding | None:
        """Take in one reading; the finding while an axis is stuck."""
        gyro, accel = reading
        values, before = gyro + accel, self._values
        self._values = values
        if len(values) != len(before):
            self._since_ns = [stamp_ns] * len(values)
            self._run = [0] * len(values)
            self._moved = [False] * len(values)
            self.doubtful = False
            return None
        run, stuck, moving, doubtful = self._run, -1, False, False
        for axis, value in enumerate(values):
            if value != before[axis]:
                run[axis] = 0
                self._since_ns[axis] = stamp_ns
                self._moved[axis] = moving = True
            else:
                run[axis] += 1
                if run[axis] >= _DOUBTED and self._moved[axis]:
                    if axis < len(gyro) and abs(value) > _TURNS_RAD_S:
                        doubtful |= stamp_ns - self._since_ns[axis] >= _DOUBTED_NS
                    if run[axis] >= STUCK_READINGS:
                        stuck = axis
        self.doubtful = moving and doubtful
        if stuck < 0 or not moving or stamp_ns - self._since_ns[stuck] < self._stuck_ns:
            return None
        name = _AXES[stuck if gyro else stuck + 3]
        return find("stuck_axis", f"{name} repeats one value to the bit while other axes move")


class ImuUnits:
    """Finds readings in other units than REP 103's: over seconds, acceleration has to average gravity.

    No vehicle falls, or turns at several turns a second, for two seconds. Readings are never scaled. What is
    found of the gyroscope is kept for half a minute after it last looked so: only what turns shows its unit.
    """

    def __init__(self) -> None:
        self._accel_finding: Finding | None = None
        self._gyro_finding: Finding | None = None
        self._fine = 0  # times in a row that the gyroscope looked right
        self._restart()

    def _restart(self) -> None:
        self._since_ns: int | None = None
        self._count = 0
        self._accel = self._gyro = 0.0  # sums of absolute values

    @property
    def turns_wrongly(self) -> bool:
        """Whether the gyroscope's unit is wrong."""
        return self._gyro_finding is not None

    def look(self, reading: ImuValues, stamp_ns: int, *, sound: bool) -> Finding | None:
        """Take in one reading, `sound` if nothing else is wrong with it; the finding of the last seconds.

        One that is not sound is passed over: what is in degrees is at the end of its range in a sharp turn.
        """
        if sound:
            self._take(reading, stamp_ns)
        return self._accel_finding or self._gyro_finding

    def _take(self, reading: ImuValues, stamp_ns: int) -> None:
        if self._since_ns is None:
            self._since_ns = stamp_ns
        self._count += 1
        gyro, accel = reading
        self._accel += math.hypot(*accel)
        self._gyro += math.hypot(*gyro)
        if stamp_ns < self._since_ns:
            self._restart()
        elif self._count >= _UNITS_OF and stamp_ns - self._since_ns >= _UNITS_NS:
            self._accel_finding = _accel_unit(self._accel / self._count) if accel else None
            self._judge_gyro(self._gyro / self._count)
            self._restart()

    def _judge_gyro(self, mean: float) -> None:
        self._fine = 0 if mean > _MOST_RAD_S else self._fine + 1
        if not self._fine:
            reason = f"angular velocity averages {mean:.3g} rad/s: it looks like degrees per second"
            self._gyro_finding = find("units", reason, wanted="rad/s (REP 103)")
        elif self._fine >= _GYRO_FINE:
            self._gyro_finding = None


def _accel_unit(mean: float) -> Finding | None:
    if _LEAST_M_S2 < mean < _MOST_M_S2:
        return None
    looks = "like another unit than m/s^2" if mean else "as if it was not measured"
    if _ONE_G[0] < mean < _ONE_G[1]:
        looks = "like g, not m/s^2"
    elif 0.0 < mean < _LEAST_M_S2:
        looks = "like m/s^2 without gravity"
    reason = f"acceleration averages {mean:.3g} where gravity alone is 9.81 m/s^2: it looks {looks}"
    return find("units", reason, wanted="m/s^2 with gravity (REP 103 and 145)")


class AudioGaps:
    """Finds time that no block of audio covers: stamps that advance faster than samples come.

    Jitter of stamps averages out, and one gap alone, as after a pause, is none of the microphone's. Blocks
    without a stamp of their own are not judged.
    """

    def __init__(self, config: HealthConfig) -> None:
        self._share = config.gapped_share
        self._steps: deque[tuple[int, int]] = deque(maxlen=AUDIO_BLOCKS)  # from stamp to stamp, and missing
        self._stamp_ns: int | None = None
        self._length_ns = 0

    def restart(self) -> None:
        """Stamps do not follow on those before."""
        self._steps.clear()
        self._stamp_ns = None

    def look(self, block: AudioBlock, stamp_ns: int) -> Finding | None:
        """Take in one block; the finding while too much is missing."""
        if not block.stamped:
            return None
        before_ns, self._stamp_ns = self._stamp_ns, stamp_ns
        length_ns, self._length_ns = self._length_ns, len(block.pcm) * NS_PER_S // block.sample_rate_hz
        if before_ns is None:
            return None
        steps = self._steps
        steps.append((stamp_ns - before_ns, stamp_ns - before_ns - length_ns))
        if len(steps) < AUDIO_BLOCKS or sum(10 * missing > step for step, missing in steps) < _GAPS:
            return None
        span_ns = sum(step for step, _ in steps)
        # Without the largest, which may be a pause.
        missing_ns = sum(missing for _, missing in steps) - max(missing for _, missing in steps)
        if missing_ns <= self._share * span_ns:
            return None
        missing_ms, span_ms = missing_ns / NS_PER_MS, span_ns / NS_PER_MS
        return find("gapped", f"{missing_ms:.0f} ms of the last {span_ms:.0f} ms are in no block of audio")
