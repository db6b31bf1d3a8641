"""95 per cent intervals: of paired differences over runs, of ratios of sums, and over test items."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from sentryfuse_core.lab.bench.records import Run

__all__ = ["Interval", "Part", "item_interval", "mean_interval", "ratio_interval", "ratio_of_medians"]

_LEVEL = 0.95
_DRAWS, _FEWEST_DRAWS, _MOST_COUNTS = 4000, 500, 20_000_000  # fewer draws where items are many
_MEDIAN_DRAWS = 2000
_SEED = 20_240  # of the bootstrap's draws, so that a report is the same when made twice


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 per cent interval; the ends are NaN where `runs` are too few to tell."""

    mean: float
    low: float = math.nan
    high: float = math.nan
    runs: int = 0

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is positive."""
        return self.low > 0.0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval is negative."""
        return self.high < 0.0


@dataclass(frozen=True)
class Part:
    """One cell's share in a ratio of sums.

    `stratum` names what is independent of other strata (the data set): within one, cells of the same run
    share test samples and are therefore treated as one draw.
    """

    stratum: str
    above: Mapping[Run, float]
    below: Mapping[Run, float]


def mean_interval(values: Iterable[float]) -> Interval:
    """Mean of paired differences with Student's t interval; one value alone has no interval."""
    found = np.array(list(values), np.float64)
    if not len(found):
        return Interval(math.nan)
    mean = float(found.mean())
    if len(found) == 1:
        return Interval(mean, runs=1)
    half = _t(len(found) - 1) * float(found.std(ddof=1)) / math.sqrt(len(found))
    return Interval(mean, mean - half, mean + half, len(found))


def ratio_interval(parts: Sequence[Part]) -> Interval:
    """Sum over cells of mean `above`, over that of mean `below`, with an interval over runs.

    Linearised (Cochran, Sampling Techniques, 3rd ed., chapter 6): the variance of a ratio is that of
    above - ratio * below. Runs are the draws, cells of one run and stratum fall together, strata are
    independent; degrees of freedom by Welch and Satterthwaite. Which cells count and who is the rival
    is taken as given. With `below` 1 everywhere this is the mean over cells.
    """
    kept = [part for part in parts if part.above.keys() & part.below.keys()]
    below = sum(_mean(part.below, part) for part in kept)
    if not kept or below == 0.0:
        return Interval(math.nan)
    ratio = sum(_mean(part.above, part) for part in kept) / below
    drawn: defaultdict[str, defaultdict[Run, float]] = defaultdict(lambda: defaultdict(float))
    for part in kept:
        runs = sorted(part.above.keys() & part.below.keys())
        rest = {run: part.above[run] - ratio * part.below[run] for run in runs}
        centre = sum(rest.values()) / len(rest)
        for run, value in rest.items():
            drawn[part.stratum][run] += (value - centre) / len(rest)
    counts = [len(values) for values in drawn.values()]
    if min(counts) < 2:
        return Interval(ratio, runs=min(counts))
    variances = [
        count / (count - 1) * sum(value**2 for value in values.values())
        for count, values in zip(counts, drawn.values(), strict=True)
    ]
    total = sum(variances)
    if total <= 0.0:
        return Interval(ratio, ratio, ratio, min(counts))
    freedom = total**2 / sum(one**2 / (count - 1) for one, count in zip(variances, counts, strict=True))
    half = _t(freedom) * math.sqrt(total) / abs(below)
    return Interval(ratio, ratio - half, ratio + half, min(counts))


def _t(freedom: float) -> float:
    return float(stdtrit(freedom, (1 + _LEVEL) / 2))


def _mean(values: Mapping[Run, float], part: Part) -> float:
    """Over the runs in which the cell has both."""
    runs = part.above.keys() & part.below.keys()
    return sum(values[run] for run in runs) / len(runs)


def item_interval(above: NDArray[np.float64], below: NDArray[np.float64]) -> Interval:
    """sum(above) / sum(below) with a percentile bootstrap over items [n]: items are drawn anew, runs are not.

    `above` is what an item's samples add up to and `below` how many samples those are.
    """
    if not len(above) or not below.sum():
        return Interval(math.nan)
    mean = float(above.sum() / below.sum())
    if len(above) == 1:
        return Interval(mean, runs=1)
    draws = _draws(len(above))
    sums = draws @ np.stack([above, below], axis=1).astype(np.float32)
    return _bootstrapped(mean, sums[:, 0] / np.maximum(sums[:, 1], 1e-6), len(above))


def ratio_of_medians(above: NDArray[np.float64], below: NDArray[np.float64]) -> Interval:
    """median(above) / median(below) of the same rounds [n], with a percentile bootstrap over the rounds."""
    ratio, count = float(np.median(above) / np.median(below)), len(above)
    if count < 2:
        return Interval(ratio, runs=count)
    drawn = np.random.default_rng(_SEED).integers(0, count, (_MEDIAN_DRAWS, count))
    ratios = np.median(above[drawn], axis=1) / np.median(below[drawn], axis=1)
    return _bootstrapped(ratio, ratios, count)


def _bootstrapped(mean: float, drawn: NDArray[Any], count: int) -> Interval:
    low, high = np.quantile(drawn, ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
    return Interval(mean, float(low), float(high), count)


@lru_cache(maxsize=4)
def _draws(items: int) -> NDArray[np.float32]:
    """How often each item is drawn, [draws, items]; the same for every comparison."""
    count = max(_FEWEST_DRAWS, min(_DRAWS, _MOST_COUNTS // items))
    rng = np.random.default_rng(_SEED)
    even = np.full(items, 1.0 / items)
    return np.stack([rng.multinomial(items, even).astype(np.float32) for _ in range(count)])
