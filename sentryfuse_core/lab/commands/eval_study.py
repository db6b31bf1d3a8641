"""From detections to everything `sentryfuse eval` says: cells, late fusion, summaries, conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.lab.scoring.conditions import (
    DAY_ABOVE,
    NIGHT_BELOW,
    ROUGH_ABOVE,
    Contrast,
    day_and_night,
    imu_gains,
    not_compared,
)
from sentryfuse_core.lab.scoring.late_fusion import late_fusion
from sentryfuse_core.lab.scoring.matrix import SEEING, Cell, Summary, judge_cell, summarise
from sentryfuse_core.lab.training.detections import Found, Key
from sentryfuse_core.lab.training.support import NamedSensor, Supporters
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["OWN", "Study", "judge"]

OWN = "own "  # prefix of detectors that were trained for one sensor
_IMU = ModalitySet.of(Modality.IMU)


@dataclass(frozen=True, eq=False)
class Study:
    """Everything that was computed."""

    cells: Mapping[Key, Cell]  # the matrix, then references
    summaries: tuple[Summary, ...]  # one a level
    light: tuple[Contrast, ...]  # day, then night
    imu: tuple[Contrast, ...]  # without, then with, on rough ground; level by level
    frames: tuple[int, int]  # scored, and fitted on
    left_out: str  # conditions that too few frames show; empty: none
    named: tuple[NamedSensor, ...] = ()  # what the sensors had that detections name
    supporters: tuple[Supporters, ...] = ()  # what it is worth that several are named


def judge(
    scored: Found,
    fitting: Found,
    *,
    labels: Sequence[str],
    draws: int,
    seed: int,
    late: bool = True,
    on_cell: Callable[[], None] = lambda: None,
) -> Study:
    """Judge the detections of `scored`; calibrators are fitted on `fitting`, worlds of their own.

    With `late`, single-sensor detections are also judged put together. `on_cell` hears of each of `scored`.
    """
    cells: dict[Key, Cell] = {}
    for key, found in scored.boxes.items():
        cells[key] = judge_cell(
            *key,
            truth=scored.truth,
            found=found,
            labels=labels,
            fitting=(fitting.truth, fitting.boxes[key]) if key in fitting.boxes else None,
        )
        on_cell()
    levels = sorted({level for _, level in cells})
    if late:
        for prefix in ("", OWN):
            for name, boxes in _late(scored, cells, prefix).items():
                cells[name, 0] = judge_cell(name, 0, truth=scored.truth, found=boxes, labels=labels)
    day, night = scored.where("light", above=DAY_ABOVE), scored.where("light", below=NIGHT_BELOW)
    rough = scored.where("rough", above=ROUGH_ABOVE)
    counts = {"by day": int(day.sum()), "by night": int(night.sum()), "on rough ground": int(rough.sum())}
    return Study(
        cells,
        tuple(summarise(cells, level) for level in levels),
        tuple(day_and_night(cells, day=day, night=night, draws=draws, seed=seed)),
        tuple(
            gain
            for level in levels
            for gain in imu_gains(cells, level=level, rough=rough, draws=draws, seed=seed)
        ),
        (len(scored.truth), len(fitting.truth)),
        not_compared(counts),
    )


def _late(scored: Found, cells: Mapping[Key, Cell], prefix: str) -> dict[str, list[FrameBoxes]]:
    """Late fusion at full width under every set of two sensors or more that find boxes, scores calibrated.

    An IMU finds none by itself: where it is present, it levels the others.
    """
    fused = {}
    for mask in SEEING:
        sensors = [ModalitySet.of(modality) for modality in mask - _IMU]
        keys = [(prefix + str(sensor | (mask & _IMU)), 0) for sensor in sensors]
        if len(keys) > 1 and all(key in scored.boxes for key in keys):
            parts = [[_calibrated(frame, cells[key]) for frame in scored.boxes[key]] for key in keys]
            fused[f"late {prefix}{mask}"] = late_fusion(parts)
    return fused


def _calibrated(frame: FrameBoxes, cell: Cell) -> FrameBoxes:
    if cell.calibrator is None:
        return frame
    return FrameBoxes(frame.boxes, frame.classes, cell.calibrator(frame.scores))
