"""Audio of other rates."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from sentryfuse_core.preprocess.resample import resample_audio


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 32_000, 44_100, 48_000, 384_000])
def test_resample_audio_is_scipys_when_the_rate_is_another(rate_hz: int) -> None:
    ratio = Fraction(16_000, rate_hz)
    pcm = np.random.default_rng(rate_hz).uniform(-1, 1, (2, rate_hz // 5)).astype(np.float32)
    made = resample_audio(torch.from_numpy(pcm), up=ratio.numerator, down=ratio.denominator)
    theirs = resample_poly(pcm, ratio.numerator, ratio.denominator, axis=1)
    assert made.shape == (2, 3200)
    np.testing.assert_allclose(made.numpy(), theirs, atol=1e-6)
