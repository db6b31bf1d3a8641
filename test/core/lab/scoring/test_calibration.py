"""Calibration: a monotone map that undoes a known distortion and brings the calibration error down."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.scoring.calibration import BINS, Calibrator, fit_calibrator, reliability

SLOPES = st.floats(0.3, 3.0)
OFFSETS = st.floats(-2.0, 2.0)
SEEDS = st.integers(0, 1000)


def distorted(slope: float, offset: float, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose calibrator is (slope, offset), and whether each detection is right."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(1.5, 1.5, count)
    return expit((logit(chance) - offset) / slope), rng.random(count) < chance


@given(SLOPES, OFFSETS, SEEDS)
def test_fit_recovers_the_distortion_when_scores_were_distorted(
    slope: float, offset: float, seed: int
) -> None:
    found = fit_calibrator(*distorted(slope, offset, seed, 3_000))
    assert found.slope == pytest.approx(slope, rel=0.25)
    assert found.offset == pytest.approx(offset, abs=0.3)


@given(SLOPES, OFFSETS, SEEDS)
def test_calibrated_scores_keep_their_order_when_fitted(slope: float, offset: float, seed: int) -> None:
    scores, right = distorted(slope, offset, seed, 300)
    calibrated = fit_calibrator(scores, right)(np.sort(scores))
    assert (np.diff(calibrated) >= 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


@given(SLOPES, OFFSETS, SEEDS)
def test_error_falls_on_other_data_when_scores_were_distorted(slope: float, offset: float, seed: int) -> None:
    calibrator = fit_calibrator(*distorted(slope, offset, seed, 3_000))
    scores, right = distorted(slope, offset, seed + 5_000, 3_000)
    before, after = reliability(scores, right).error, reliability(calibrator(scores), right).error
    assert after < max(before, 0.05)


@given(SEEDS, st.integers(1, 400))
def test_reliability_counts_every_detection_when_binned(seed: int, count: int) -> None:
    scores, right = distorted(1.0, 0.0, seed, count)
    found = reliability(scores, right)
    assert found.count.sum() == count
    assert len(found.count) == min(BINS, count)
    assert found.count.max() - found.count.min() <= 1
    assert (np.diff(found.score) >= 0).all()
    assert 0.0 <= found.error <= 1.0


def test_error_is_the_gap_when_every_score_is_too_high() -> None:
    right = np.arange(1000) % 2 == 0
    assert reliability(np.full(1000, 0.9), right).error == pytest.approx(0.4, abs=0.01)


def test_fit_never_reverses_when_high_scores_are_wrong() -> None:
    scores = np.linspace(0.1, 0.9, 100)
    assert fit_calibrator(scores, scores < 0.5).slope > 0.0


def test_fit_stays_finite_when_all_detections_are_right() -> None:
    found = fit_calibrator(np.full(20, 0.6), np.ones(20, bool))
    assert 0.9 < found(np.array([0.6]))[0] < 1.0


def test_calibrator_survives_when_written_to_a_manifest() -> None:
    made = Calibrator(1.3, -0.4)
    assert Calibrator.from_mapping(json.loads(json.dumps(made.to_mapping()))) == made
    assert Calibrator()(np.array([0.2, 0.7])) == pytest.approx([0.2, 0.7])


def test_calibration_refuses_when_there_is_nothing_to_work_on() -> None:
    with pytest.raises(EvaluationError, match="nothing to calibrate"):
        fit_calibrator(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(EvaluationError, match="nothing to calibrate"):
        reliability(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(EvaluationError, match="slope must be above 0"):
        Calibrator(-1.0, 0.0)
    with pytest.raises(EvaluationError, match="is no calibrator"):
        Calibrator.from_mapping({"gain": 1.0})
