"""ModelShape: the sizes that define one network, and the widths it can run at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.model.slim import CHANNEL_BLOCK

__all__ = ["BOX_CHANNELS", "ModelShape", "Width"]

BOX_CHANNELS = 10  # dx, dy, z, log length, log width, log height, sine and cosine of yaw and of twice yaw


_MOST_ITEMS = 16
_LARGEST = 1024
_MOST_LAYERS = 64


def _is_size(value: object, *, whole: bool, largest: int) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and 0 < value <= largest


@dataclass(frozen=True)
class Width:
    """How much of a trunk layer runs: its first `groups` key/value groups and first `blocks` of channels."""

    groups: int
    blocks: int


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of one SentryFuseNet.

    Raises:
        CheckpointError: sizes that do not divide evenly.
    """

    dim: int = 96
    layers: int = 2
    heads: int = 8  # query heads
    kv_heads: int = 4  # key/value groups; the prunable unit of attention
    ffn: int = 384
    ffn_block: int = 32  # the prunable unit of the feed-forward part, channels
    pool: int = 4  # neighbouring tokens of one sensor that share a key and a value
    frequencies: int = 4  # octaves of every Fourier position encoding
    camera_channels: tuple[int, int, int, int, int] = (16, 32, 48, 96, 96)  # at strides 2, 4, 4, 8 and 16
    lift_channels: int = 64  # of the map at stride 4 that is lifted into the canvas
    fine_channels: int = 48  # of the heat map's grid, where sensors speak to the head directly
    camera_tokens: tuple[int, int] = (4, 12)  # rows, columns
    depth_bins: int = 40  # distances that a pixel's object may be at, evenly spaced in their logarithm
    lift_heights_m: tuple[float, ...] = (0.2, 1.0)  # above the ground, where a cell looks into the image
    lidar_channels: tuple[int, int] = (24, 48)  # at strides 1 and 2; stride 4 has `dim`
    imu_tokens: int = 2
    classes: int = 3
    widths: tuple[float, ...] = (1.0, 0.5, 0.25)  # share of units kept at each pruning level, any number

    def __post_init__(self) -> None:
        self._check_sizes()
        wrong = [
            text
            for text, bad in (
                (
                    f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}",
                    self.heads % self.kv_heads,
                ),
                (f"dim {self.dim} must be a multiple of heads {self.heads}", self.dim % self.heads),
                (
                    f"ffn {self.ffn} must be a multiple of ffn_block {self.ffn_block}",
                    self.ffn % self.ffn_block,
                ),
                (f"widths {self.widths} must start with 1.0 and fall", not self._widths_fall()),
            )
            if bad
        ]
        if wrong:
            raise CheckpointError(f"impossible network shape: {'; '.join(wrong)}")

    def _check_sizes(self) -> None:
        """A manifest is a stranger's file: nothing is built from sizes that would not fit any memory."""
        for item in fields(self):
            value: Any = getattr(self, item.name)
            sizes = value if isinstance(item.default, tuple) else (value,)
            whole = not item.name.endswith(("widths", "_m"))
            largest = _MOST_LAYERS if item.name == "layers" else _LARGEST
            fits = isinstance(sizes, tuple) and 1 <= len(sizes) <= _MOST_ITEMS
            if whole and isinstance(item.default, tuple):
                fits = fits and len(sizes) == len(item.default)
            if not fits or not all(_is_size(size, whole=whole, largest=largest) for size in sizes):
                raise CheckpointError(
                    f"impossible network shape: {item.name} = {str(value)[:100]}; use weights of this version"
                )

    def _widths_fall(self) -> bool:
        pairs = zip(self.widths, self.widths[1:], strict=False)
        return self.widths[:1] == (1.0,) and all(wide > narrow > 0.0 for wide, narrow in pairs)

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return self.dim // self.heads

    @property
    def group(self) -> int:
        """Query heads that share a key/value head."""
        return self.heads // self.kv_heads

    @property
    def levels(self) -> int:
        """Number of pruning levels; level 0 is full width."""
        return len(self.widths)

    def channels(self, count: int, level: int) -> int:
        """Of `count` channels of a convolution those that run at `level`, whole blocks and at least one.

        The square root of the level's share: the multiply-accumulates between two such layers keep the share.
        """
        blocks = math.sqrt(self.widths[level]) * count / CHANNEL_BLOCK
        return max(1, round(blocks)) * CHANNEL_BLOCK

    def width(self, level: int) -> Width:
        """Groups and channels that run at `level`, at least one unit of each."""
        share = self.widths[level]
        blocks = max(1, round(share * self.ffn / self.ffn_block))
        return Width(max(1, round(share * self.kv_heads)), blocks)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> ModelShape:
        """The shape a manifest describes; raises CheckpointError for unknown or impossible sizes."""
        sizes: dict[str, Any] = {
            name: tuple(item) if isinstance(item, list) else item for name, item in values.items()
        }
        try:
            return cls(**sizes)
        except TypeError as error:
            raise CheckpointError(
                f"unknown network shape {dict(values)}: {error}; use weights of this version"
            ) from error
