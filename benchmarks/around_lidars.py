"""One of two lidars lost: what is found less where the other sees and where not, and what coverage tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.around_moments import BOTH, NOSE, TAIL, Inputs, Moment, boxes_of, claims
from sentryfuse_core.around import merged
from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.metrics import evaluate_detections
from sentryfuse_core.lab.bench.results import Figure, at_least
from sentryfuse_core.lab.world.around import QUARTERS_RAD
from sentryfuse_core.lab.world.batch import SEEN_RETURNS
from sentryfuse_core.preprocess.coverage import covered
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import Modality, ModalitySet

SIDES = dict(enumerate(QUARTERS_RAD))
LOSSES = ((NOSE, TAIL), (TAIL, NOSE))  # which lidar is left, and which is lost
ITS_M = 4.0  # a box this near to an object may be its by the metric
WIDER_DEG = 4  # a return tells of directions this near to its own, and its cell lies a little aside
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def lidar_lost(bank: Bank, moments: Sequence[Moment]) -> tuple[list[Figure], dict[str, Any]]:
    """Rows over both losses together, and what they are made of."""
    found = {alive: _found(bank, moments, alive) for alive in (BOTH, NOSE, TAIL)}
    sees = [moment.returns[left] >= SEEN_RETURNS for left, _ in LOSSES for moment in moments]
    saw = [moment.returns[lost] >= SEEN_RETURNS for _, lost in LOSSES for moment in moments]
    alone = [was & ~still for was, still in zip(saw, sees, strict=True)]
    truth = [moment.truth for _ in LOSSES for moment in moments]
    both = [boxes for _ in LOSSES for boxes in found[BOTH]]
    one = [boxes for left, _ in LOSSES for boxes in found[left]]
    maps = {
        what: {name: map_of(bank, truth, boxes, chosen) for name, boxes in (("both", both), ("one", one))}
        | {"objects": int(sum(mask.sum() for mask in chosen))}
        for what, chosen in (("the other sees", sees), ("it alone saw", alone))
    }
    change = {what: item["one"] - item["both"] for what, item in maps.items()}
    counted = {
        what: (
            f"{item['both']:.1f} with both; {item['objects']} objects, and every false box of the moments",
        )
        for what, item in maps.items()
    }
    told = [is_told(moment, left, lost) for left, lost in LOSSES for moment in moments]
    rows = [
        at_least(
            "one of two lidars lost: objects the other sees",
            change["the other sees"],
            "points",
            -1.0,
            notes=counted["the other sees"],
        ),
        at_least(
            "one of two lidars lost: objects it alone saw",
            change["it alone saw"],
            "points",
            notes=counted["it alone saw"],
        ),
        at_least(
            "one of two lidars lost, each of half a turn: coverage tells it in the same set",
            100 * float(np.mean(told)),
            "% of moments",
            100.0,
        ),
    ]
    return rows, maps


def _found(bank: Bank, moments: Sequence[Moment], alive: str) -> list[FrameBoxes]:
    full = [ModalitySet.all()] * len(QUARTERS_RAD)
    each = [merged(claims(bank, moment.pairs[alive], full), SIDES) for moment in moments]
    return [boxes_of([claim.detection for claim in found]) for found in each]


def map_of(
    bank: Bank, truth: Sequence[FrameBoxes], found: Sequence[FrameBoxes], chosen: Sequence[Mask]
) -> float:
    """MAP in per cent of the `chosen` objects alone; boxes of the others are neither right nor wrong."""
    objects = [own.take(mask) for own, mask in zip(truth, chosen, strict=True)]
    boxes = [
        own.take(~of_others(own, there, mask)) for own, there, mask in zip(found, truth, chosen, strict=True)
    ]
    return 100 * evaluate_detections(objects, boxes, labels=bank.labels).map


def of_others(found: FrameBoxes, truth: FrameBoxes, chosen: Mask) -> Mask:
    """Which boxes are nearest to an object of their class that is not `chosen`."""
    if not len(truth):
        return np.zeros(len(found), np.bool_)
    apart_m = np.linalg.norm(found.boxes[:, None, :2] - truth.boxes[:, :2], axis=-1)
    apart_m[found.classes[:, None] != truth.classes] = np.inf
    return ~chosen[apart_m.argmin(axis=1)] & (apart_m.min(axis=1) < ITS_M)


def is_told(moment: Moment, left: str, lost: str) -> bool:
    """Whether each degree that only the `lost` lidar hit stops being a lidar's in the same set.

    Of lidars that see half a turn each: those of a whole turn hit the ground in every degree.
    """
    own = moment.hit[lost] & ~_widened(moment.hit[left])
    before, after = (_watched(moment.halves[alive]) for alive in (BOTH, left))
    return bool(own.any() and before[own].all() and not after[own].any())


def _widened(degrees: Mask) -> Mask:
    shifts = range(-WIDER_DEG, WIDER_DEG + 1)
    return np.logical_or.reduce([np.roll(degrees, shift) for shift in shifts])


def _watched(inputs: Inputs) -> Mask:
    """The degrees that coverage calls a lidar's."""
    views = list(zip(QUARTERS_RAD, inputs, strict=True))
    return (covered(views).sensors & Modality.LIDAR.bit) > 0
