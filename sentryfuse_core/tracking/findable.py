"""What the sensors in use find: the chance of a detection where an object is, by place and class.

An object that is not found where nothing looks is no less likely to be there, and hardly less so where the
sensors that look often miss. So tracks outlive sensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from sentryfuse_core.boxes import Floats, Ints
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.tracking.tracker import Findable
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["Recall", "findable"]

Recall: TypeAlias = Callable[[ModalitySet], Sequence[float]]  # share found by class; NaN: not evaluated

_SEEING = ModalitySet.of(Modality.CAMERA, Modality.LIDAR, Modality.AUDIO)
_UNEVALUATED = 0.5
_BORDER_M = 2.0  # from the region's border inwards, over which objects go from not found to found as usual
_HALF_VIEW = GEOMETRY.image_cx / GEOMETRY.image_fx  # of the camera: y over x at the image's edge


def findable(used: ModalitySet, recall: Recall) -> Findable:
    """What the sensors `used` find; beside the camera's view those of them that are left.

    `recall` is what a set of sensors found when the weights were evaluated.
    """
    inside, beside = _shares(used, recall), _shares(used - ModalitySet.of(Modality.CAMERA), recall)

    def chance(places: Floats, classes: Ints) -> Floats:
        x, y = places[:, 0], places[:, 1]
        border_m = np.minimum.reduce(
            (x - GEOMETRY.x_min_m, GEOMETRY.x_max_m - x, y - GEOMETRY.y_min_m, GEOMETRY.y_max_m - y)
        )
        share = np.where(np.abs(y) <= _HALF_VIEW * x, inside[classes], beside[classes])
        found: Floats = share * np.clip(border_m / _BORDER_M, 0.0, 1.0)
        return found

    return chance


def _shares(sensors: ModalitySet, recall: Recall) -> Floats:
    """`[C]` what the sensors find of each class: nothing, where none of them perceives anything."""
    found = [_UNEVALUATED if math.isnan(share) else share for share in recall(sensors)]
    return np.array(found) if sensors & _SEEING else np.zeros(len(found))
