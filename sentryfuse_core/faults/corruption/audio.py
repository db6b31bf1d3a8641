"""Spoils audio of every family: silent, clipped, with holes, noisy.

Bare bytes without an `encoding` are taken for S16LE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sentryfuse_core.faults.corruption.image import noisy_values
from sentryfuse_core.faults.corruption.payload import Options, changed, is_cloud, is_image, payload_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["clipped", "gapped", "noisy_audio", "silent"]

_UNKNOWN_FRAME = 8  # samples: whole frames of 1, 2, 4 or 8 channels


def silent(message: Any, _: Options, __: np.random.Generator) -> Any:
    """Make every sample zero."""
    return _audio(message, lambda samples: np.full_like(samples, _middle(samples)))


def clipped(message: Any, options: Options, _: np.random.Generator) -> Any:
    """Amplify by `gain` and clip at full scale."""

    def spoil(samples: NDArray[Any]) -> NDArray[Any]:
        integer = samples.dtype.kind in "iu"
        low, high = (np.iinfo(samples.dtype).min, np.iinfo(samples.dtype).max) if integer else (-1.0, 1.0)
        middle = _middle(samples)
        loud = (samples.astype(np.float64) - middle) * options["gain"] + middle
        return np.clip(np.rint(loud) if integer else loud, low, high).astype(samples.dtype)

    return _audio(message, spoil)


def gapped(message: Any, options: Options, random: np.random.Generator) -> Any:
    """Cut one run of `share` of the samples out of the block, at a random place; the block is shorter."""
    frame = _channels(message)

    def spoil(samples: NDArray[Any]) -> NDArray[Any]:
        frames = samples.size // frame
        gap = round(options["share"] * frames)
        begin = int(random.integers(0, frames - gap + 1))
        return np.concatenate([samples[: begin * frame], samples[(begin + gap) * frame :]])

    return _audio(message, spoil)


def noisy_audio(message: Any, sigma: float, random: np.random.Generator) -> Any:
    """Add white noise of `sigma` of full scale."""
    return _audio(message, lambda samples: noisy_values(samples, sigma, random))


def _middle(samples: NDArray[Any]) -> int:
    return 128 if samples.dtype == np.uint8 else 0


def _channels(message: Any) -> int:
    """Samples of one moment, where the message says so."""
    audio = getattr(message, "audio", message)
    told = getattr(message, "channels", getattr(getattr(audio, "info", None), "channels", 0))
    dimensions = getattr(getattr(message, "layout", None), "dim", ())
    told = told or next((item.size for item in dimensions if item.label.lower().startswith("channel")), 0)
    return int(told) if 0 < told <= 64 else _UNKNOWN_FRAME


def _audio(message: Any, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
    """Change the flat samples; bytes are read as the message's encoding."""
    path = None if is_image(message) or is_cloud(message) else payload_path(message)
    if path is None:
        return message
    kind = np.dtype("<f4" if getattr(message, "encoding", "") == "F32LE" else "<i2")

    def spoil(data: NDArray[Any]) -> NDArray[Any]:
        if path[-1] != "data":
            return change(data)
        if hasattr(message, "layout"):
            return change(data.astype(np.int16))
        raw = data.astype(np.uint8)
        whole = raw[: len(raw) // kind.itemsize * kind.itemsize]
        return change(whole.view(kind)).view(np.uint8)

    return changed(message, path, spoil)
