"""From detections to everything `sentryfuse eval` says: cells, summaries, conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sentryfuse_core.evaluation.conditions import (
    DAY_ABOVE,
    NIGHT_BELOW,
    ROUGH_ABOVE,
    Contrast,
    day_and_night,
    imu_gains,
)
from sentryfuse_core.evaluation.matrix import Cell, Summary, judge_cell, summarise
from sentryfuse_core.training.detections import Found, Key

__all__ = ["Study", "judge"]


@dataclass(frozen=True, eq=False)
class Study:
    """Everything that was computed."""

    cells: Mapping[Key, Cell]
    summaries: tuple[Summary, ...]  # one a level
    light: tuple[Contrast, ...]  # day, then night
    imu: tuple[Contrast, ...]  # without, then with, on rough ground; level by level


def judge(scored: Found, fitting: Found, *, labels: Sequence[str], draws: int, seed: int) -> Study:
    """Judge the detections of `scored`; calibrators are fitted on `fitting`, worlds of their own."""
    cells = {
        key: judge_cell(
            *key,
            truth=scored.truth,
            found=found,
            labels=labels,
            fitting=(fitting.truth, fitting.boxes[key]) if key in fitting.boxes else None,
        )
        for key, found in scored.boxes.items()
    }
    levels = sorted({level for _, level in cells})
    rough = scored.where("rough", above=ROUGH_ABOVE)
    return Study(
        cells,
        tuple(summarise(cells, level) for level in levels),
        tuple(
            day_and_night(
                cells,
                day=scored.where("light", above=DAY_ABOVE),
                night=scored.where("light", below=NIGHT_BELOW),
            )
        ),
        tuple(
            gain
            for level in levels
            for gain in imu_gains(cells, level=level, rough=rough, draws=draws, seed=seed)
        ),
    )
