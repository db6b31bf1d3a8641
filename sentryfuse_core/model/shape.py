"""ModelShape: the sizes that define one network, and the widths it can run at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.model.slim import CHANNEL_BLOCK
from sentryfuse_core.preprocess.quality import measures_of
from sentryfuse_core.types import PartLevels

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
    canvas_pool: int = 1  # the same of the canvas's cells, in Z-order: 4 is a block of 2 x 2
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
    camera_halved: tuple[float, ...] = ()  # the same at further levels of the camera, whose image is halved
    audio_widths: tuple[float, ...] = (1.0,)  # the same of the audio encoder, which may have fewer levels
    trunk_widths: tuple[float, ...] = ()  # the same of the trunk, which may have more levels; empty: `widths`
    channel_step: int = CHANNEL_BLOCK  # of convolutions, at narrower levels: CPUs like multiples of 16
    qualities: tuple[str, ...] = ()  # measures of the sensors that trust is made from, see preprocess.quality

    def __post_init__(self) -> None:
        self._check_sizes()
        try:
            measures_of(self.qualities)
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"impossible network shape: no measure {error} in this release; use weights made for it"
            ) from error
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
                (
                    f"canvas_pool {self.canvas_pool} must be 1, 4, 16, 64 or 256: square blocks of cells",
                    self.canvas_pool not in (1, 4, 16, 64, 256),
                ),
                (f"widths {self.widths} must start with 1.0 and fall", not _fall(self.widths)),
                (
                    f"audio_widths {self.audio_widths} must start with 1.0 and fall",
                    not _fall(self.audio_widths),
                ),
                (
                    f"trunk_widths {self.trunk_widths} must be none or begin with {self.widths} and fall",
                    bool(self.trunk_widths)
                    and (
                        self.trunk_widths[: len(self.widths)] != self.widths or not _fall(self.trunk_widths)
                    ),
                ),
                (
                    f"camera_halved {self.camera_halved} must be above 0 and at most 1",
                    not all(0.0 < share <= 1.0 for share in self.camera_halved),
                ),
                (
                    f"channel_step {self.channel_step} must be a multiple of {CHANNEL_BLOCK}",
                    self.channel_step % CHANNEL_BLOCK,
                ),
            )
            if bad
        ]
        if wrong:
            raise CheckpointError(f"impossible network shape: {'; '.join(wrong)}")

    def _check_sizes(self) -> None:
        """A manifest is a stranger's file: nothing is built from sizes that would not fit any memory."""
        for item in fields(self):
            if item.name == "qualities":
                continue
            value: Any = getattr(self, item.name)
            sizes = value if isinstance(item.default, tuple) else (value,)
            whole = not item.name.endswith(("widths", "halved", "_m"))
            largest = _MOST_LAYERS if item.name == "layers" else _LARGEST
            least = 0 if item.default == () else 1
            fits = isinstance(sizes, tuple) and least <= len(sizes) <= _MOST_ITEMS
            if whole and isinstance(item.default, tuple):
                fits = fits and len(sizes) == len(item.default)
            if not fits or not all(_is_size(size, whole=whole, largest=largest) for size in sizes):
                raise CheckpointError(
                    f"impossible network shape: {item.name} = {str(value)[:100]}; use weights of this version"
                )

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

    @property
    def narrowest(self) -> PartLevels:
        """Every part as narrow as it goes."""
        last = self.levels - 1
        camera = last + len(self.camera_halved)
        trunk = max(last, len(self.trunk_widths) - 1)
        return PartLevels(camera=camera, lidar=last, audio=len(self.audio_widths) - 1, trunk=trunk, head=last)

    def uniform(self, level: int) -> PartLevels:
        """Every part at `level`, or as narrow as it goes; raises CheckpointError for no such level."""
        if not 0 <= level < self.levels:
            raise CheckpointError(f"no level {level}: this network has the levels 0 to {self.levels - 1}")
        return PartLevels(level, level, min(level, len(self.audio_widths) - 1), level, level)

    def camera_level(self, level: int) -> tuple[float, int]:
        """Share of the camera's units at its `level`, and how many times smaller its image is each way."""
        beyond = level - self.levels
        return (self.widths[level], 1) if beyond < 0 else (self.camera_halved[beyond], 2)

    def channels(self, count: int, share: float) -> int:
        """Of `count` channels of a convolution those that run where `share` of the units is kept.

        The square root of the share, so that the multiply-accumulates between two such layers keep it; in
        whole steps and at least one of them.
        """
        steps = math.sqrt(share) * count / self.channel_step
        return min(count, max(1, round(steps)) * self.channel_step)

    def width(self, level: int) -> Width:
        """Groups and channels of a trunk layer that run at its `level`, at least one unit of each."""
        share = (self.trunk_widths or self.widths)[level]
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


def _fall(shares: tuple[float, ...]) -> bool:
    return shares[:1] == (1.0,) and all(wide > narrow > 0.0 for wide, narrow in pairwise(shares))
