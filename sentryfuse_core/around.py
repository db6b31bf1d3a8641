"""The sectors of one set: which of them run together, and one list of boxes from what each found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sentryfuse_core.boxes import Floats, Ints
from sentryfuse_core.config.sectors import sector_name
from sentryfuse_core.preprocess.sectors import beyond_m, owners, sector_axes
from sentryfuse_core.preprocess.tensors import ModelInput, stacked
from sentryfuse_core.surroundings import SectorUse
from sentryfuse_core.types import Detection, Modality, ModalitySet, Plan

__all__ = [
    "Claim",
    "Run",
    "View",
    "in_base",
    "joint_plan",
    "merged",
    "most_trusted",
    "runs_of",
    "sector_uses",
]

_BEYOND_M = 3.0  # so far beyond its border a sector's box stays where the place's own sector has none
# That boxes of one object from two sectors may lie apart, beside a quarter of its length and width.
_NEAR_M = 0.5
_NEAR_SHARE = 0.03  # of its distance: what is far away is placed less exactly


@dataclass(frozen=True, eq=False)
class View:
    """One sector of a set: what is there of each sensor, and the sub-network for it."""

    yaw_rad: float  # to the left of ahead
    inputs: ModelInput
    plan: Plan
    trust: Mapping[Modality, float]


@dataclass(frozen=True, eq=False)
class Run:
    """One inference: sectors with the same sub-network as a batch."""

    sectors: tuple[int, ...]  # which of the views, in the order of the batch
    inputs: ModelInput
    plan: Plan


@dataclass(frozen=True)
class Claim:
    """A box in the base frame that one sector found."""

    detection: Detection
    sector: int
    told: bool  # its score is above the threshold of what found it


def runs_of(views: Sequence[View], *, perceiving: ModalitySet, batches: bool) -> tuple[Run, ...]:
    """What the network runs: nothing for a sector whose plan has none of the `perceiving` sensors.

    `batches`: whether sectors with the same plan may run as one.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, view in enumerate(views):
        if view.plan.mask & perceiving:
            key = (view.plan.mask, view.plan.parts, None if batches else index)
            groups.setdefault(key, []).append(index)
    return tuple(
        Run(
            tuple(group),
            stacked([views[index].inputs.only(views[index].plan.mask) for index in group]),
            views[group[0]].plan,
        )
        for group in groups.values()
    )


def joint_plan(views: Sequence[View]) -> Plan:
    """The plan of a set: of its only sector, or of the one with the most sensors, with the work of all."""
    if len(views) == 1:
        return views[0].plan
    widest = max((view.plan for view in views), key=lambda plan: (len(plan.mask), plan.gmacs))
    used = ModalitySet()
    for view in views:
        used |= view.plan.mask
    groups: dict[str, list[str]] = {}
    for view in (view for view in views if view.plan.mask):
        what = f"{view.plan.mask}{f' ({view.plan.words})' if view.plan.words else ''}"
        groups.setdefault(what, []).append(_name(view))
    words = "; ".join(f"{', '.join(names)}: {what}" for what, names in groups.items())
    return replace(widest, mask=used, gmacs=sum(view.plan.gmacs for view in views), words=words)


def sector_uses(views: Sequence[View]) -> tuple[SectorUse, ...]:
    """What looked at each sector."""
    return tuple(
        SectorUse(_name(view), math.degrees(view.yaw_rad), view.plan.mask, view.plan.level, view.plan.gmacs)
        for view in views
    )


def most_trusted(trusts: Sequence[Mapping[Modality, float]]) -> dict[Modality, float]:
    """Trust in each sensor where it is trusted most: an empty yard behind is no fault of a lidar."""
    best: dict[Modality, float] = {}
    for trust in trusts:
        for modality, value in trust.items():
            best[modality] = max(best.get(modality, 0.0), value)
    return best


def in_base(detection: Detection, yaw_rad: float) -> Detection:
    """A box of a sector's frame in the base frame."""
    if yaw_rad == 0.0:
        return detection
    x, y, _ = (sector_axes(-yaw_rad) @ (detection.x, detection.y, 0.0)).tolist()
    return replace(detection, x=x, y=y, yaw=math.remainder(detection.yaw + yaw_rad, math.tau))


def merged(claims: Sequence[Claim], yaws_rad: Mapping[int, float]) -> list[Claim]:
    """One claim for each object, best first: each place is its nearest sector's, and there are no doubles.

    Regions overlap, and a sector may place an object just beyond its border. So what lies a little beyond it
    stays, unless the neighbour has a box of the class there, too; of such a pair its owner's stays.
    `yaws_rad` are those of the sectors that ran.
    """
    if len(yaws_rad) == 1 or not claims:
        return list(claims)
    places = np.array([(claim.detection.x, claim.detection.y) for claim in claims])
    known = np.array([-1, *yaws_rad])  # `owners` counts those that ran, from -1
    found = known[owners(places, list(yaws_rad.values())) + 1]
    sector = np.array([claim.sector for claim in claims])
    owner = np.where(found < 0, sector, found)
    yaws, of_owner = (np.array([yaws_rad[int(index)] for index in which]) for which in (sector, owner))
    near_m = np.array([_near_m(claim.detection) for claim in claims])
    kept = (owner == sector) | (beyond_m(places, yaws, of_owner) <= _BEYOND_M)
    for first, second in _pairs(claims, places, near_m):
        if kept[first] and kept[second]:
            kept[_worse(claims, owner, first, second)] = False
    stay = [claim for claim, keep in zip(claims, kept, strict=True) if keep]
    return sorted(stay, key=lambda claim: (not claim.told, -claim.detection.score))


def _worse(claims: Sequence[Claim], owner: Ints, first: int, second: int) -> int:
    """Which of two goes: one that is not told, else one at a place of another sector, else the less sure."""

    def worth(index: int) -> tuple[bool, bool, float]:
        claim = claims[index]
        return claim.told, bool(owner[index] == claim.sector), claim.detection.score

    return min(first, second, key=worth)


def _pairs(claims: Sequence[Claim], places: Floats, near_m: Floats) -> Iterator[tuple[int, int]]:
    """Claims of two sectors to one object: of one class and close together, nearest first, none twice.

    A claim has at most one partner in each other sector: people side by side stay two.
    """
    sector = np.array([claim.sector for claim in claims])
    class_id = np.array([claim.detection.class_id for claim in claims])
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    close = (apart <= np.maximum(near_m[:, None], near_m)) & (class_id[:, None] == class_id)
    rows, columns = np.nonzero(np.triu(close & (sector[:, None] != sector), k=1))
    taken: set[tuple[int, int]] = set()
    for index in np.argsort(apart[rows, columns], kind="stable"):
        first, second = int(rows[index]), int(columns[index])
        partners = {(first, int(sector[second])), (second, int(sector[first]))}
        if not partners & taken:
            taken |= partners
            yield first, second


def _near_m(box: Detection) -> float:
    """How far apart boxes of one object may be that two sectors found."""
    return _NEAR_M + (box.length + box.width) / 4 + _NEAR_SHARE * math.hypot(box.x, box.y)


def _name(view: View) -> str:
    return sector_name(round(math.degrees(view.yaw_rad), 6))
