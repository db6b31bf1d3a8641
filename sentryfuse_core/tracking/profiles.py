"""How objects of a class move and how well their boxes are placed; the only numbers that a class brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from sentryfuse_core.boxes import Floats

__all__ = ["Profile", "profiles"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Standard deviations of one class."""

    speed_m_s: float  # of what was never seen before
    acceleration_m_s2: float
    turn_acceleration_rad_s2: float  # 0: goes straight on, whatever its box's heading does
    place_m: float  # of a box's centre
    yaw_rad: float  # of a box's axis


_KNOWN = {
    "car": Profile(
        speed_m_s=10.0, acceleration_m_s2=4.0, turn_acceleration_rad_s2=1.5, place_m=0.4, yaw_rad=0.2
    ),
    "cyclist": Profile(
        speed_m_s=5.0, acceleration_m_s2=3.0, turn_acceleration_rad_s2=1.5, place_m=0.3, yaw_rad=0.3
    ),
    "pedestrian": Profile(
        speed_m_s=2.0, acceleration_m_s2=2.0, turn_acceleration_rad_s2=0.0, place_m=0.25, yaw_rad=0.6
    ),
}
_OTHER = Profile(speed_m_s=6.0, acceleration_m_s2=4.0, turn_acceleration_rad_s2=0.0, place_m=0.4, yaw_rad=0.4)


def profiles(labels: Sequence[str]) -> Floats:
    """`[C, 5]`: the fields of the profiles of these classes; a class unknown here moves like anything may."""
    return np.array([astuple(_KNOWN.get(label, _OTHER)) for label in labels]).reshape(-1, 5)
