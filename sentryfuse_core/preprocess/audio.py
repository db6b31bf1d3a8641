"""Audio: blocks of PCM to one window at the network's rate, and that to what comes from each bearing."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.resample import resample_audio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sentryfuse_core.types import AudioBlock, Sample

__all__ = ["bearing_features", "blocks_of", "heard", "window"]

SPEED_OF_SOUND_M_S = 343.0
LOWEST_HZ = 100.0  # below lie wind and handling noise
ENERGY_DECADES = 10.0  # full scale to the quantisation noise of 16 bits
LONGEST_CYCLE = 1000  # exact for every rate in use; an odd one would need a filter of millions of taps
SILENCE = 1e-12  # cross power below this has no phase


def blocks_of(samples: Sequence[Sample]) -> list[tuple[int, AudioBlock]]:
    """Stamp in ns and block of each sample that has the newest one's rate and channels."""
    blocks = [(sample.stamp_ns, cast("AudioBlock", sample.payload)) for sample in samples]
    forms = [(block.sample_rate_hz, block.pcm.shape[1]) for _, block in blocks]
    return [block for block, form in zip(blocks, forms, strict=True) if form == forms[-1]]


def window(blocks: Sequence[tuple[int, AudioBlock]], *, end_ns: int) -> Tensor:
    """The 200 ms before `end_ns`, [1, C, 3200] float32 at 16 kHz, C at most 2; gaps are 0.

    Blocks are stamped at their first sample and share one rate. A block that begins within half its
    length of where the one before it ended is put there: stamps jitter, sound does not. Raises
    InvalidMessageError `no_data` if no block reaches into the window.
    """
    rate_hz, channels = blocks[0][1].sample_rate_hz, min(blocks[0][1].pcm.shape[1], 2)
    length = round(GEOMETRY.audio_window_s * rate_hz)
    pcm = np.zeros((length, channels), np.float32)
    filled = 0
    expected: int | None = None
    for stamp_ns, block in blocks:
        count = len(block.pcm)
        begin = length - round((end_ns - stamp_ns) * rate_hz / NS_PER_S)
        if expected is not None and abs(begin - expected) <= count // 2:
            begin = expected
        expected = begin + count
        first, last = max(begin, 0), min(expected, length)
        if first < last:
            pcm[first:last] = _unit(block.pcm[first - begin : last - begin, :channels])
            filled += last - first
    if not filled:
        raise InvalidMessageError("no_data", "no block of audio lies in the window of the set")
    if rate_hz != GEOMETRY.audio_rate_hz:
        ratio = Fraction(GEOMETRY.audio_rate_hz, rate_hz).limit_denominator(LONGEST_CYCLE)
        made = resample_audio(torch.from_numpy(pcm.T), up=ratio.numerator, down=ratio.denominator)
        pcm = made.numpy().T
    fitted = np.zeros((GEOMETRY.audio_samples, channels), np.float32)
    kept = min(len(pcm), len(fitted))
    fitted[len(fitted) - kept :] = pcm[len(pcm) - kept :]
    return torch.from_numpy(np.ascontiguousarray(fitted.T))[None]


def heard(blocks: Sequence[tuple[int, AudioBlock]], *, end_ns: int) -> slice:
    """The samples of that window from the first that a block of the set brought to the last.

    Sound comes block by block: what is before and after is in blocks that the set does not have.
    """
    first_ns = min(stamp_ns for stamp_ns, _ in blocks) - end_ns
    last_ns = (
        max(stamp_ns + len(one.pcm) * NS_PER_S // one.sample_rate_hz for stamp_ns, one in blocks) - end_ns
    )
    ends = (
        GEOMETRY.audio_samples + round(at_ns * GEOMETRY.audio_rate_hz / NS_PER_S)
        for at_ns in (first_ns, last_ns)
    )
    first, last = (min(max(at, 0), GEOMETRY.audio_samples) for at in ends)
    return slice(first, last)


def _unit(pcm: NDArray[Any]) -> NDArray[np.float32]:
    """Samples of any type in -1..1; floats beyond full scale are clipped, as a converter would."""
    if pcm.dtype.kind == "f":
        clipped: NDArray[np.float32] = np.clip(pcm, -1.0, 1.0).astype(np.float32)
        return clipped
    unit: NDArray[np.float32] = pcm.astype(np.float32) / np.float32(2.0 ** (8 * pcm.dtype.itemsize - 1))
    return unit - np.float32(1.0) if pcm.dtype.kind == "u" else unit


def bearing_features(pcm: Tensor, spacing_m: float) -> Tensor:
    """Features of each bearing, [B, 16, 16]: correlation of 8 bands, then log-energy of 8 bands.

    `pcm` is [B, 2, S] float, full scale 1.0, left microphone first, at 16 kHz; [B, 1, S] is mono, whose
    correlations are 0. Bearings go from +90 degrees (left) to -90 degrees. A correlation is the GCC-PHAT
    of a band at the bearing's delay, -1..1; an energy is 1 at full scale and 0 at 100 dB below it, and
    the same for all bearings.
    """
    batch, channels, samples = pcm.shape
    size = 1 << (samples - 1).bit_length()  # the window fades both ends out, so wrap-around does not matter
    fade = _fade(samples).to(pcm.device)
    spectrum = torch.fft.rfft(pcm.to(torch.float32) * fade, n=size)  # [B, C, F]
    bands = _band_matrix(size).to(pcm.device)  # [F, 8], 0 or 1

    power = spectrum.abs().square().mean(dim=1) @ bands  # [B, 8]
    mean_square = 2.0 * power / (size * fade.square().sum())
    energy = (1.0 + torch.log10(mean_square + 10.0**-ENERGY_DECADES) / ENERGY_DECADES).clamp(0.0, 1.0)
    energy = energy[:, None, :].expand(batch, GEOMETRY.audio_bearings, GEOMETRY.audio_bands)

    if channels == 1:
        return torch.cat([torch.zeros_like(energy), energy], dim=-1)
    cross = spectrum[:, 0] * spectrum[:, 1].conj()
    phase = cross / (cross.abs() + SILENCE)  # [B, F]
    steering = _steering_matrix(size, spacing_m).to(pcm.device)  # [2 F, 16 * 8]
    correlation = torch.cat([phase.real, phase.imag], dim=-1) @ steering
    return torch.cat([correlation.view(batch, GEOMETRY.audio_bearings, GEOMETRY.audio_bands), energy], dim=-1)


@lru_cache(maxsize=8)
def _fade(samples: int) -> Tensor:
    """The window that fades both ends out, [S]."""
    return torch.hann_window(samples)


@lru_cache(maxsize=8)
def _band_matrix(size: int) -> Tensor:
    """Which of the [F] frequencies belong to which of the 8 bands, logarithmically spaced: [F, 8]."""
    frequency_hz = torch.fft.rfftfreq(size, 1.0 / GEOMETRY.audio_rate_hz)
    edges = torch.logspace(
        math.log10(LOWEST_HZ), math.log10(GEOMETRY.audio_rate_hz / 2), GEOMETRY.audio_bands + 1
    )
    members: Tensor = (frequency_hz[:, None] >= edges[:-1]) & (frequency_hz[:, None] < edges[1:])
    return members.float()


@lru_cache(maxsize=8)
def _steering_matrix(size: int, spacing_m: float) -> Tensor:
    """Turns phases, [2 F] real then imaginary, into band correlations of each bearing: [2 F, 16 * 8].

    Evaluating the correlation at a delay straight from the phases needs no interpolation: one sample
    at 16 kHz is already 3 degrees. Sound from the left reaches the left microphone first, so the right
    channel lags by spacing * sin(bearing) / c and the phase of left * conj(right) is + 2 pi f lag.
    """
    frequency_hz = torch.fft.rfftfreq(size, 1.0 / GEOMETRY.audio_rate_hz, dtype=torch.float64)
    lag_s = (
        spacing_m * torch.sin(torch.tensor(GEOMETRY.bearings_rad, dtype=torch.float64)) / SPEED_OF_SOUND_M_S
    )
    angle = 2.0 * math.pi * frequency_hz[:, None] * lag_s  # [F, 16]
    bands = _band_matrix(size).double()
    weights = bands / bands.sum(dim=0).clamp(min=1.0)  # [F, 8]: mean over the band
    parts = [
        (turned[:, :, None] * weights[:, None, :]).flatten(1)
        for turned in (torch.cos(angle), torch.sin(angle))
    ]
    return torch.cat(parts).float()
