"""Whether a score is the chance of being right: calibration error, and a monotone map that mends it.

scipy is of the extra `lab` and imported on use, so that `sentryfuse train --help` does without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats
from sentryfuse_core.errors import EvaluationError

__all__ = ["BINS", "LOW_SCORE", "Calibrator", "Reliability", "fit_calibrator", "reliability"]

LOW_SCORE = 0.05  # detections below are no claims: a head fills its list with them, and all of them are wrong
BINS = 15  # as Guo et al., 'On Calibration of Modern Neural Networks', 2017
_EDGE = 1e-6  # scores are kept this far from 0 and 1, where the logit has no end
_LEAST_SLOPE = 1e-3  # a calibrator never turns the order around
_LARGEST = 50.0  # slope and offset; a score that separates perfectly would send both to infinity


@dataclass(frozen=True, eq=False)
class Reliability:
    """Detections in bins of rising score; `error` is the expected calibration error (ECE), 0..1."""

    score: Floats  # [bins] mean score
    right: Floats  # [bins] share that is right
    count: NDArray[np.int64]  # [bins]

    @property
    def error(self) -> float:
        """Mean distance of score and share over detections (Guo et al. 2017, equation 3)."""
        return float(np.average(np.abs(self.score - self.right), weights=self.count))

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "ece": self.error,
            "score": self.score.tolist(),
            "right": self.right.tolist(),
            "count": self.count.tolist(),
        }


@dataclass(frozen=True)
class Calibrator:
    """Platt scaling on the logit: sigmoid(slope * logit(score) + offset), `slope` above 0."""

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (self.slope > 0.0 and np.isfinite([self.slope, self.offset]).all()):
            raise EvaluationError(f"{self} would not keep the order of scores; slope must be above 0")

    def __call__(self, scores: Floats) -> Floats:
        """Calibrated scores [N] in the same order."""
        from scipy.special import expit

        calibrated: Floats = expit(self.slope * _logit(scores) + self.offset)
        return calibrated

    def to_mapping(self) -> dict[str, float]:
        """Plain values for a manifest."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Calibrator:
        """The calibrator a manifest describes; raises EvaluationError for any other keys or values."""
        try:
            return cls(**{name: float(value) for name, value in values.items()})
        except (TypeError, ValueError) as error:
            raise EvaluationError(f"{dict(values)} is no calibrator: {error}; fit it anew") from error


def reliability(scores: Floats, right: NDArray[np.bool_]) -> Reliability:
    """Bins of equal count over the scores [N] given; leave out those below LOW_SCORE first.

    Of equal count, not of equal width: a detector's scores crowd at the low end, and bins of equal width
    would hang the figure on a handful of detections near 1.
    """
    if not len(scores):
        raise EvaluationError(f"no detection scores {LOW_SCORE} or more; there is nothing to calibrate")
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return Reliability(
        np.array([scores[part].mean() for part in parts]),
        np.array([right[part].mean() for part in parts]),
        np.array([len(part) for part in parts]),
    )


def fit_calibrator(scores: Floats, right: NDArray[np.bool_]) -> Calibrator:
    """The calibrator of least cross-entropy on detections [N] that are `right` [N] or not.

    Targets are Platt's ('Probabilistic Outputs for Support Vector Machines', 1999): (n+ + 1) / (n+ + 2) and
    1 / (n- + 2) in place of 1 and 0, so that few detections give no certainty.
    """
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit

    if not len(scores):
        raise EvaluationError(f"no detection scores {LOW_SCORE} or more; there is nothing to calibrate")
    hits = int(right.sum())
    goal = np.where(right, (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2))
    raw = _logit(scores)

    def loss(values: Floats) -> tuple[float, Floats]:
        made = values[0] * raw + values[1]
        cross = -(goal * log_expit(made) + (1 - goal) * log_expit(-made)).mean()
        wrong = expit(made) - goal
        return float(cross), np.array([(wrong * raw).mean(), wrong.mean()])

    bounds = [(_LEAST_SLOPE, _LARGEST), (-_LARGEST, _LARGEST)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return Calibrator(*(float(value) for value in found.x))


def _logit(scores: Floats) -> Floats:
    from scipy.special import logit

    values: Floats = logit(np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE))
    return values
