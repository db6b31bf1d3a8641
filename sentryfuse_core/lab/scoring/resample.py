"""Intervals of mAP by drawing frames anew: matches stay, only how often each frame counts changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats
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


def map_of(matches: Matches, weights: Floats | None = None) -> float:
    """The mAP with each frame counted `weights` [F] times; once unless given."""
    counted = np.ones(matches.frames) if weights is None else np.asarray(weights, np.float64)
    by_row = counted[matches.frame]
    boxes = counted @ matches.truth_count
    found = []
    for index, count in enumerate(boxes):
        own = matches.classes == index
        hits, times = matches.hit[own], by_row[own]
        found += [average_precision(hits[:, column], count, times) for column in range(len(DISTANCES_M))]
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

    A part that is there twice is counted once; `on_draws` hears of every draw that is done.
    """
    rng = np.random.default_rng(seed)
    frames = parts[0].frames
    even = np.full(frames, 1.0 / frames)
    distinct = {id(part): part for part in parts}
    maps = []
    for weights in rng.multinomial(frames, even, draws):
        found = {key: map_of(part, weights) for key, part in distinct.items()}
        maps.append([found[id(part)] for part in parts])
        on_draws(1)
    return np.array(maps)


def interval_of(value: float, drawn: Floats) -> Interval:
    """`value` with the interval that its draws [draws] give."""
    low, high = np.quantile(drawn, _ENDS)
    return Interval(value, float(low), float(high))
