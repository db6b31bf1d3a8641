"""Spoils images, raw of every supported encoding or compressed: black, white, covered, noisy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.convert.image import BYTES_PER_PIXEL, PACKED_422
from sentryfuse_core.faults.corruption.payload import believed_step, changed, noisy
from sentryfuse_core.faults.hit import Hit

__all__ = ["black", "covered", "full_scale", "noise", "on_pixels", "on_view", "white"]

_JPEG_QUALITY = 90
_LUMA_SECOND = ("yuv422", "uyvy")
_NEUTRAL = 128  # chroma of grey
# Changes writable values [H, W, channels] in place; for chroma it is told which value is neutral.
Change: TypeAlias = Callable[[NDArray[Any], int | None, Hit], None]
_Bound: TypeAlias = Callable[[NDArray[Any], int | None], None]


def black(values: NDArray[Any], neutral: int | None, _: Hit) -> None:
    """Make the image black."""
    values.fill(neutral or 0)


def white(values: NDArray[Any], neutral: int | None, _: Hit) -> None:
    """Make the image white."""
    values.fill(neutral or full_scale(values))


def covered(values: NDArray[Any], neutral: int | None, hit: Hit) -> None:
    """Cover shares of the image from its edges, or all of it, by something dark; sensor noise stays."""
    height, width = values.shape[:2]
    hidden = np.zeros((height, width), bool)
    hidden[: round(hit.options["top"] * height)] = True
    hidden[height - round(hit.options["bottom"] * height) :] = True
    hidden[:, : round(hit.options["left"] * width)] = True
    hidden[:, width - round(hit.options["right"] * width) :] = True
    if not any(hit.options[side] for side in ("top", "bottom", "left", "right")):
        hidden[:] = True
    dark = np.full(values.shape, hit.options["level"] * full_scale(values), np.float32)
    dark += hit.options["sigma"] * full_scale(values) * hit.random.standard_normal(values.shape, np.float32)
    if neutral is not None:
        dark.fill(neutral)
    values[hidden] = np.clip(np.rint(dark[hidden]), 0, full_scale(values)).astype(values.dtype)


def noise(values: NDArray[Any], neutral: int | None, hit: Hit) -> None:
    """Add white noise of `sigma` of full scale."""
    if neutral is None:
        values[...] = noisy(values, hit.options["sigma"], hit.random)


def full_scale(values: NDArray[Any]) -> int:
    """The largest value that the pixels can hold."""
    return int(np.iinfo(values.dtype).max)


def on_view(change: Change) -> Callable[[Any, Hit], Any]:
    """As `on_pixels`, for a `change` that looks at neighbours: of one colour, or blue, green and red."""
    return on_pixels(change, by_colour=True)


def on_pixels(change: Change, *, by_colour: bool = False) -> Callable[[Any, Hit], Any]:
    """The fault of a message that `change` makes of its pixels; a file is decoded and encoded again."""

    def spoil(message: Any, hit: Hit) -> Any:
        def bound(values: NDArray[Any], neutral: int | None) -> None:
            parts = _by_colour(values, message, neutral) if by_colour else (values,)
            for part in parts:
                if part.size:
                    change(part, neutral, hit)

        if hasattr(message, "step") and getattr(message, "encoding", None) in BYTES_PER_PIXEL:
            return changed(message, ("data",), lambda data: _raw(message, data, bound))
        if hasattr(message, "format"):
            return changed(message, ("data",), lambda data: _recoded(data, bound))
        return message

    return spoil


def _by_colour(values: NDArray[Any], message: Any, neutral: int | None) -> Sequence[NDArray[Any]]:
    """Views whose neighbours are of one colour, or hold blue, green and red in this order."""
    encoding = getattr(message, "encoding", "")
    if neutral is not None:  # both kinds of chroma take turns
        return values[:, ::2], values[:, 1::2]
    if encoding.startswith("bayer"):
        return values[::2, ::2], values[::2, 1::2], values[1::2, ::2], values[1::2, 1::2]
    return (values[..., 2::-1] if encoding.startswith("rgb") else values[..., :3],)


def _raw(message: Any, data: NDArray[Any], change: _Bound) -> NDArray[np.uint8]:
    spoilt = np.array(data, np.uint8)
    size = BYTES_PER_PIXEL[message.encoding]
    wide = message.encoding.endswith("16") or message.encoding == "16UC1"
    kind = np.dtype((">" if message.is_bigendian else "<") + "u2") if wide else np.dtype(np.uint8)
    height, width = message.height, message.width
    step = believed_step(message.step, rows=height, row_bytes=width * size, size=len(spoilt))
    if step is None:
        return spoilt
    shape, strides = (height, width, size // kind.itemsize), (step, size, kind.itemsize)
    pixels: NDArray[Any] = np.ndarray(shape, kind, spoilt.data, 0, strides)
    if message.encoding in PACKED_422:
        luma = 1 if message.encoding in _LUMA_SECOND else 0
        _change_luma(pixels[..., luma : luma + 1], change)
        change(pixels[..., 1 - luma : 2 - luma], _NEUTRAL)
    else:
        change(pixels, None)
    return spoilt


def _change_luma(luma: NDArray[np.uint8], change: _Bound) -> None:
    """Luma runs from 16 to 235; it is changed as 0 to 255, and only where the change is."""
    before = np.clip(np.rint((luma.astype(np.float32) - 16) * 255 / 219), 0, 255).astype(np.uint8)
    after = before.copy()
    change(after, None)
    spoilt = np.rint(after.astype(np.float32) * 219 / 255 + 16).astype(np.uint8)
    luma[...] = np.where(after == before, luma, spoilt)


def _recoded(data: NDArray[Any], change: _Bound) -> NDArray[np.uint8]:
    data = np.asarray(data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None or pixels.dtype.kind != "u":
        return data
    change(pixels.reshape(*pixels.shape[:2], -1), None)
    png = data[:4].tobytes() == b"\x89PNG"
    parameters = [] if png else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, encoded = cv2.imencode(".png" if png else ".jpg", pixels, parameters)
    return np.asarray(encoded, np.uint8).reshape(-1)
