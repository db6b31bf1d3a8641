"""The dropout matrix: metrics and calibration of every set of sensors and level, and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.matching import Matches, match_frames
from sentryfuse_core.evaluation.metrics import DetectionMetrics, metrics_of
from sentryfuse_core.lab.scoring.calibration import (
    LOW_SCORE,
    Calibrator,
    Reliability,
    fit_calibrator,
    reliability,
)
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["SEEING", "Cell", "Summary", "judge_cell", "summarise"]

_SEES = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)
SEEING = tuple(mask for mask in ModalitySet.subsets() if (mask & _SEES).bits)  # the 12 with camera or lidar
_LOST_ONE = tuple(mask for mask in ModalitySet.subsets() if len(mask) == len(Modality) - 1)


@dataclass(frozen=True, eq=False)
class Cell:
    """One detector (a set of sensors, or a reference) at one level."""

    name: str
    level: int
    matches: Matches
    metrics: DetectionMetrics
    calibrator: Calibrator | None = None  # fitted on other worlds; None: not fitted, or nothing to fit on
    before: Reliability | None = None  # of scores as they come; None: no detection scores LOW_SCORE or more
    after: Reliability | None = None  # of calibrated ones

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "what": self.name,
            "level": self.level,
            **self.metrics.to_mapping(),
            "calibrator": None if self.calibrator is None else self.calibrator.to_mapping(),
            "before": None if self.before is None else self.before.to_mapping(),
            "after": None if self.after is None else self.after.to_mapping(),
        }


@dataclass(frozen=True)
class Summary:
    """One level in a few figures, NaN where a set of sensors was not evaluated."""

    level: int
    all_sensors: float  # mAP
    seeing: float  # mean mAP over the 12 sets with camera or lidar
    lost_one: float  # mean mAP over the 4 sets that lack one sensor
    lost_worst: float  # the least of those
    ece_before: float  # mean over those of the 12 that claim anything
    ece_after: float

    @property
    def relative(self) -> float:
        """Mean mAP over the 12 sets against that with all sensors."""
        return self.seeing / self.all_sensors if self.all_sensors else float("nan")


def judge_cell(
    name: str,
    level: int,
    *,
    truth: Sequence[FrameBoxes],
    found: Sequence[FrameBoxes],
    labels: Sequence[str],
    fitting: tuple[Sequence[FrameBoxes], Sequence[FrameBoxes]] | None = None,
) -> Cell:
    """Metrics of `found`; `fitting` is truth and detections of the frames that calibration is fitted on."""
    matches = match_frames(truth, found, class_count=len(labels))
    metrics = metrics_of(matches, labels=labels)
    claims = matches.scores >= LOW_SCORE
    if fitting is None or not claims.any():
        return Cell(name, level, matches, metrics)
    scores, right = matches.scores[claims], matches.right[claims]
    before = reliability(scores, right)
    other = match_frames(*fitting, class_count=len(labels))
    fit_on = other.scores >= LOW_SCORE
    if not fit_on.any():
        return Cell(name, level, matches, metrics, before=before)
    calibrator = fit_calibrator(other.scores[fit_on], other.right[fit_on])
    return Cell(name, level, matches, metrics, calibrator, before, reliability(calibrator(scores), right))


def summarise(cells: Mapping[tuple[str, int], Cell], level: int) -> Summary:
    """The figures of one level."""

    def maps(masks: Sequence[ModalitySet]) -> list[float]:
        own = [cells.get((str(mask), level)) for mask in masks]
        return [float("nan") if cell is None else cell.metrics.map for cell in own]

    seeing = [cells[key] for mask in SEEING if (key := (str(mask), level)) in cells]

    def error(parts: Sequence[Reliability | None]) -> float:
        known = [part.error for part in parts if part is not None]
        return float(np.mean(known)) if known and len(parts) == len(SEEING) else float("nan")

    return Summary(
        level=level,
        all_sensors=maps([ModalitySet.all()])[0],
        seeing=float(np.mean(maps(SEEING))),
        lost_one=float(np.mean(maps(_LOST_ONE))),
        lost_worst=float(np.min(maps(_LOST_ONE))),
        ece_before=error([cell.before for cell in seeing]),
        ece_after=error([cell.after for cell in seeing]),
    )
