"""Intervals of mAP by drawing frames anew: matches stay, only how often each frame counts changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats, Ints
from sentryfuse_core.evaluation.matching import DISTANCES_M, Matches
from sentryfuse_core.evaluation.metrics import average_precision

__all__ = ["Interval", "drawn_maps", "interval_of", "map_of", "only_frames"]

_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 per cent percentile interval."""

    value: float
    low: float
    high: float


def map_of(
    matches: Matches, weights: Floats | None = None, *, classes: Collection[int] | None = None
) -> float:
    """The mAP over `classes` (all unless given) with each frame counted `weights` [F] times (once)."""
    counted = np.ones(matches.frames) if weights is None else np.asarray(weights, np.float64)
    by_row = counted[matches.frame]
    boxes = counted @ matches.truth_count
    found = []
    for index in range(len(boxes)) if classes is None else classes:
        own = matches.classes == index
        hits, times = matches.hit[own], by_row[own]
        found += [
            average_precision(hits[:, column], boxes[index], times) for column in range(len(DISTANCES_M))
        ]
    return float(np.mean(found))


def only_frames(matches: Matches, keep: NDArray[np.bool_]) -> Matches:
    """The matches of the frames to `keep` [F]; they are numbered anew."""
    rows = keep[matches.frame]
    by_row = ("classes", "scores", "hit", "translation", "scale", "heading")
    return replace(
        matches,
        frame=(np.cumsum(keep) - 1)[matches.frame[rows]],
        truth_count=matches.truth_count[keep],
        **{name: getattr(matches, name)[rows] for name in by_row},
    )


def drawn_maps(
    parts: Sequence[Matches], *, draws: int, seed: int, on_draws: Callable[[int], None] = lambda _: None
) -> Floats:
    """The mAP of every part under the same draws of frames, [draws, parts]: differences are paired.

    A class that is there, but in no frame of a draw, does not count in that: it is not to be found there. A
    part that is there twice is counted once; `on_draws` hears of every draw that is done.
    """
    truth = parts[0].truth_count
    there = truth.sum(axis=0) > 0
    distinct = {id(part): part for part in parts}
    maps = []
    for weights in _drawn(truth, draws, np.random.default_rng(seed)):
        classes = np.flatnonzero((weights @ truth > 0) | ~there).tolist()
        found = {key: map_of(part, weights, classes=classes) for key, part in distinct.items()}
        maps.append([found[id(part)] for part in parts])
        on_draws(1)
    return np.array(maps)


def _drawn(truth: Ints, draws: int, rng: np.random.Generator) -> Ints:
    """How often each frame counts [draws, F], by the boxes [F, C] in them; draws without a box are redone."""
    frames, boxes = len(truth), truth.sum(axis=1)
    even = np.full(frames, 1.0 / frames)
    weights = rng.multinomial(frames, even, draws)
    while boxes.any() and (empty := weights @ boxes == 0).any():
        weights[empty] = rng.multinomial(frames, even, int(empty.sum()))
    return weights


def interval_of(value: float, drawn: Floats) -> Interval:
    """`value` with the interval that its draws [draws] give, of those that are numbers."""
    known = drawn[~np.isnan(drawn)]
    low, high = np.quantile(known, _ENDS) if len(known) else (np.nan, np.nan)
    return Interval(value, float(low), float(high))
