"""The sizes that detectors are trained with: parts with widths of their own, and trust by quality."""

from __future__ import annotations

from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.quality import MEASURES

__all__ = ["TRAINED_SHAPE"]

_WIDTHS = (1.0, 0.5, 0.24)  # a little below a quarter: 48 channels become 16, which is faster, and not 32

TRAINED_SHAPE = ModelShape(
    canvas_pool=4,
    widths=_WIDTHS,
    camera_halved=_WIDTHS,
    audio_widths=_WIDTHS,
    trunk_widths=(*_WIDTHS, 0.08),  # one group and one block of channels in a layer: worth the rest
    channel_step=16,
    qualities=tuple(measure.key for measure in MEASURES),
)
