"""Whether an object is there: a probability that detections raise, misses lower and time wears away.

The recursion is that of integrated probabilistic data association (Musicki, Evans and Stankovic, 1994) with
one hypothesis: the pair that was chosen is taken to be right. All arrays are `[N]`, an entry for each object.
"""

from __future__ import annotations

import numpy as np

from sentryfuse_core.boxes import Floats

__all__ = ["aged", "logit", "seen", "unseen"]

_SURE = 1e-6  # no score says more than a million to one


def aged(exists: Floats, dt_s: float, *, lifetime_s: float) -> Floats:
    """Probabilities `dt_s` later: an object leaves after `lifetime_s` on average."""
    left: Floats = exists * np.exp(-dt_s / lifetime_s)
    return left


def seen(exists: Floats, scores: Floats, *, evidence: Floats | float) -> Floats:
    """Probabilities once each object was found by a detection of a calibrated score.

    `evidence`: how many times likelier than a false one a detection is to lie where an object was expected.
    """
    odds = np.exp(np.clip(logit(exists) + logit(scores) + np.log(evidence), -30.0, 30.0))
    return np.asarray(odds / (1.0 + odds))


def unseen(exists: Floats, findable: Floats) -> Floats:
    """Probabilities once none was found though each would have been with the probability `findable`."""
    return np.asarray(exists * (1.0 - findable) / (1.0 - exists * findable))


def logit(probability: Floats) -> Floats:
    """Logarithm of the odds, finite for 0 and 1."""
    bounded = np.clip(probability, _SURE, 1.0 - _SURE)
    return np.asarray(np.log(bounded / (1.0 - bounded)))
