"""Attitude: roll and pitch against the ground's plane, from the gyroscope with a little accelerometer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sentryfuse_core.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AttitudeFilter"]

# Tuned on recorded drives of the synthetic world (seeds 100 to 139). A vehicle that brakes or turns feels a
# slope that is not there, far larger than the bumps: so the accelerometer has little weight, and what the
# gyroscope adds up is forgotten again. On a long slope the answer is against the slope, which is the ground.
_FORGET_S = 3.0
_ACCELEROMETER = 0.2  # of the difference, each second
_MOST_RAD = 0.03  # of the difference that counts
_GAP_S = 0.5  # after a silence this long the filter starts anew


class AttitudeFilter:
    """A leaky complementary filter for small angles (after Mahony et al., IEEE TAC 53(5), 2008), fed by set.

    Roll is positive with the right side low, pitch with the nose low, both in rad.
    """

    def __init__(self) -> None:
        self._roll = self._pitch = 0.0
        self._stamp_ns: int | None = None
        self._epoch = -1

    def update(
        self, stamps_ns: Sequence[int], readings: NDArray[np.float64], *, epoch: int
    ) -> tuple[float, float]:
        """Roll and pitch after gyro and acceleration [N, 2, 3] in base axes; what came before is skipped.

        A clock that jumped (another `epoch`) or a gap makes it start level.
        """
        if epoch != self._epoch:
            self._epoch, self._stamp_ns = epoch, None
        for stamp_ns, (rate, force) in zip(stamps_ns, readings.tolist(), strict=True):
            self._take(stamp_ns, rate, force)
        return self._roll, self._pitch

    def _take(self, stamp_ns: int, rate: list[float], force: list[float]) -> None:
        x, y, z = force
        if not math.isfinite(x + y + z + sum(rate)):
            return
        last_ns = self._stamp_ns
        if last_ns is None or stamp_ns - last_ns > _GAP_S * NS_PER_S:
            self._roll = self._pitch = 0.0
            self._stamp_ns = stamp_ns
            return
        step_s = (stamp_ns - last_ns) / NS_PER_S
        if step_s <= 0.0:
            return
        self._roll += step_s * _change(self._roll, rate[0], math.atan2(y, z))
        self._pitch += step_s * _change(self._pitch, rate[1], math.atan2(-x, math.hypot(y, z)))
        self._stamp_ns = stamp_ns


def _change(angle: float, rate: float, felt: float) -> float:
    """Rad/s: the gyroscope's `rate`, the pull to what the accelerometer felt, and forgetting."""
    return rate + _ACCELEROMETER * min(max(felt - angle, -_MOST_RAD), _MOST_RAD) - angle / _FORGET_S
