"""Audio of another rate at the network's, by the filter that scipy.signal.resample_poly takes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["resample_audio"]

_REACH = 10  # zero crossings of the low-pass filter on each side of its middle
_KAISER_BETA = 5.0


def resample_audio(pcm: Tensor, *, up: int, down: int) -> Tensor:
    """`pcm` [C, S] float32 at `up / down` times its rate: [C, ceil(S * up / down)]; around it is silence."""
    samples = pcm.shape[1]
    kernels = _kernels(up, down)
    before = (kernels.shape[2] - down) // 2
    padded = functional.pad(pcm[:, None], (before, before + down))
    turns = functional.conv1d(padded, kernels, stride=down)  # [C, up, turns]
    return turns.transpose(1, 2).flatten(1)[:, : -(-samples * up // down)]


@lru_cache(maxsize=4)
def _kernels(up: int, down: int) -> Tensor:
    """Of one turn of `up` samples out for `down` samples in, the filter of each: [up, 1, taps]."""
    half = _REACH * max(up, down)  # in steps of the rate that both are divided from
    steps = np.arange(-half, half + 1)
    low_pass = np.sinc(steps / max(up, down)) * np.kaiser(len(steps), _KAISER_BETA)
    low_pass *= up / low_pass.sum()
    reach = half // up
    given_at = np.arange(-reach, down + reach) * up
    apart = np.arange(up)[:, None] * down - given_at
    taps = np.where(np.abs(apart) <= half, low_pass[np.clip(apart + half, 0, 2 * half)], 0.0)
    return torch.from_numpy(taps[:, None].astype(np.float32))
