"""Spoils audio of every family: silent, clipped, with holes, noisy.

Bare bytes without an `encoding` are taken for S16LE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.faults.corruption.payload import changed, is_cloud, is_image, noisy, payload_path
from sentryfuse_core.faults.hit import Hit

__all__ = ["clipped", "gapped", "noise", "on_samples", "silent"]

_UNKNOWN_FRAME = 8  # samples: whole frames of 1, 2, 4 or 8 channels
# Takes flat samples and how many of them are of one moment; returns new ones.
Change: TypeAlias = Callable[[NDArray[Any], int, Hit], NDArray[Any]]


def on_samples(change: Change) -> Callable[[Any, Hit], Any]:
    """The fault of a message that `change` makes of its samples; bytes are read as its encoding."""

    def spoil(message: Any, hit: Hit) -> Any:
        path = None if is_image(message) or is_cloud(message) else payload_path(message)
        if path is None:
            return message
        kind = np.dtype("<f4" if getattr(message, "encoding", "") == "F32LE" else "<i2")

        def spoil_data(data: NDArray[Any]) -> NDArray[Any]:
            raw = path[-1] == "data" and not hasattr(message, "layout")
            if raw:
                data = data.astype(np.uint8)
                data = data[: len(data) // kind.itemsize * kind.itemsize].view(kind)
            elif hasattr(message, "layout"):
                data = data.astype(np.int16)
            spoilt = change(data, _channels(message), hit)
            return spoilt.view(np.uint8) if raw else spoilt

        return changed(message, path, spoil_data)

    return spoil


def _channels(message: Any) -> int:
    """Samples of one moment, where the message says so."""
    audio = getattr(message, "audio", message)
    told = getattr(message, "channels", getattr(getattr(audio, "info", None), "channels", 0))
    dimensions = getattr(getattr(message, "layout", None), "dim", ())
    told = told or next((item.size for item in dimensions if item.label.lower().startswith("channel")), 0)
    return int(told) if 0 < told <= 64 else _UNKNOWN_FRAME


def _middle(samples: NDArray[Any]) -> int:
    return 128 if samples.dtype == np.uint8 else 0


def silent(samples: NDArray[Any], _frame: int, _: Hit) -> NDArray[Any]:
    """Make every sample zero."""
    return np.full_like(samples, _middle(samples))


def clipped(samples: NDArray[Any], _frame: int, hit: Hit) -> NDArray[Any]:
    """Amplify by `gain` and clip at full scale."""
    integer = samples.dtype.kind in "iu"
    low, high = (np.iinfo(samples.dtype).min, np.iinfo(samples.dtype).max) if integer else (-1.0, 1.0)
    loud = (samples.astype(np.float64) - _middle(samples)) * hit.options["gain"] + _middle(samples)
    return np.clip(np.rint(loud) if integer else loud, low, high).astype(samples.dtype)


def gapped(samples: NDArray[Any], frame: int, hit: Hit) -> NDArray[Any]:
    """Cut one run of `share` of the samples out of the block, at a random place; the block is shorter."""
    frames = samples.size // frame
    gap = round(hit.options["share"] * frames)
    begin = int(hit.random.integers(0, frames - gap + 1))
    return np.concatenate([samples[: begin * frame], samples[(begin + gap) * frame :]])


def noise(samples: NDArray[Any], _: int, hit: Hit) -> NDArray[Any]:
    """Add white noise of `sigma` of full scale."""
    return noisy(samples, hit.options["sigma"], hit.random)
