"""Attitude: roll and pitch against the ground's plane, from the gyroscope with a little accelerometer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sentryfuse_core.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FORGET_S", "MOST_TILT_RAD", "AttitudeFilter"]

# Tuned on recorded drives of the synthetic world (seeds 100 to 139). A vehicle that brakes or turns feels a
# slope that is not there, far larger than the bumps: so the accelerometer has little weight, and what the
# gyroscope adds up is forgotten again. On a long slope the answer is against the slope, which is the ground.
FORGET_S = 3.0
"""So long a wrong rate of turn adds up."""
MOST_TILT_RAD = 0.6
"""Beyond, a tilt says nothing: no bump makes it, and training knew none."""
_ACCELEROMETER = 0.2  # of the difference, each second
_MOST_RAD = 0.03  # of the difference that counts
_GAP_NS = NS_PER_S // 2  # after a silence this long the filter starts anew
_FASTEST_RAD_S = 5.0  # of roll and pitch: a kerb's blow is slower, so a faster reading is an error
_STEPS = 2.0  # a reading stands for at most so many usual steps: it tells nothing of the rest of a hole
_USUAL_OF = 16  # steps that the usual one is averaged over
_LEVEL = (0.0, 0.0)


class AttitudeFilter:
    """A leaky complementary filter for small angles (after Mahony et al., IEEE TAC 53(5), 2008), fed by set.

    Roll is positive with the right side low, pitch with the nose low, both in rad.
    """

    def __init__(self) -> None:
        self._source: Hashable = None
        self._end_ns = 0
        self._begin(None)

    def _begin(self, stamp_ns: int | None) -> None:
        self._roll, self._pitch = _LEVEL
        self._stamp_ns = stamp_ns
        self._usual_s = 0.0  # between two readings; 0: not known yet
        self._doubted_ns = 0  # until then the tilt is not told

    def update(
        self,
        stamps_ns: Sequence[int],
        readings: NDArray[np.float64],
        *,
        end_ns: int,
        source: Hashable = None,
    ) -> tuple[float, float]:
        """Roll and pitch at `end_ns` after gyro and acceleration [N, 2, 3] in base axes, by rising stamp.

        What came before is skipped. It starts level after a gap, with another `source` (an IMU and an epoch)
        and when time went back; so it does when the tilt cannot be right, and tells level until it could have
        been for as long as it takes to forget.
        """
        if source != self._source or end_ns < self._end_ns:
            self._begin(None)
        self._source, self._end_ns = source, end_ns
        for stamp_ns, (rate, force) in zip(stamps_ns, readings.tolist(), strict=True):
            self._take(stamp_ns, rate, force)
        last_ns = self._stamp_ns
        silent = last_ns is None or end_ns - last_ns > _GAP_NS
        return _LEVEL if silent or end_ns < self._doubted_ns else (self._roll, self._pitch)

    def _take(self, stamp_ns: int, rate: list[float], force: list[float]) -> None:
        x, y, z = force
        if not math.isfinite(x + y + z + sum(rate)) or math.hypot(rate[0], rate[1]) > _FASTEST_RAD_S:
            return
        last_ns = self._stamp_ns
        if last_ns is None or stamp_ns - last_ns > _GAP_NS:
            self._begin(stamp_ns)
            return
        if stamp_ns <= last_ns:
            return
        gone_s = (stamp_ns - last_ns) / NS_PER_S
        step_s = min(gone_s, _STEPS * self._usual_s) if self._usual_s else gone_s
        self._usual_s += (gone_s - self._usual_s) / (_USUAL_OF if self._usual_s else 1)
        self._roll += step_s * _change(self._roll, rate[0], math.atan2(y, z))
        self._pitch += step_s * _change(self._pitch, rate[1], math.atan2(-x, math.hypot(y, z)))
        self._stamp_ns = stamp_ns
        if max(abs(self._roll), abs(self._pitch)) > MOST_TILT_RAD:
            self._begin(stamp_ns)
            self._doubted_ns = stamp_ns + round(FORGET_S * NS_PER_S)


def _change(angle: float, rate: float, felt: float) -> float:
    """Rad/s: the gyroscope's `rate`, the pull to what the accelerometer felt, and forgetting."""
    return rate + _ACCELEROMETER * min(max(felt - angle, -_MOST_RAD), _MOST_RAD) - angle / FORGET_S
