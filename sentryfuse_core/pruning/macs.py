"""Multiply-accumulates of the network by formula, for any set of sensors and any level.

Counted: convolutions, linear maps and both products of attention. Not counted: norms, activations,
softmax, pooling, bilinear sampling and additions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sentryfuse_core.model.encoders import DISTANCE_FEATURES
from sentryfuse_core.model.ground import GROUND_FEATURES
from sentryfuse_core.model.lift import VIEW_FEATURES
from sentryfuse_core.model.shape import BOX_CHANNELS, ModelShape, Width
from sentryfuse_core.preprocess.geometry import Geometry
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

__all__ = ["Macs", "count_macs"]

_KERNEL = 9  # 3x3
_PLACING = 3  # maps of the camera: an object's foot, how sure that is, and the horizon


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one inference of one sample."""

    prunable: int  # attention groups, feed-forward blocks and channels of convolutions
    fixed: int  # linear maps between fixed sizes, and the canvas

    @property
    def total(self) -> int:
        """The whole network."""
        return self.prunable + self.fixed

    def __add__(self, other: Macs) -> Macs:
        return Macs(self.prunable + other.prunable, self.fixed + other.fixed)


@lru_cache(maxsize=4096)  # a gate and the plans made of it ask for the same few hundred again and again
def count_macs(shape: ModelShape, geometry: Geometry, mask: ModalitySet, parts: PartLevels) -> Macs:
    """MACs with the sensors of `mask` present and each part as narrow as `parts` says."""
    cells = geometry.canvas_cells**2
    tokens, keys = cells, cells // shape.canvas_pool
    total = Macs(0, _canvas(shape, cells)) + _head(shape, geometry, cells, parts.head)
    for modality in mask:
        length, stride, encoder = _sensor(shape, geometry, modality, parts)
        tokens += length
        keys += length // stride
        total += encoder
    return total + Macs(shape.layers * _layer(shape, shape.width(parts.trunk), tokens, keys), 0)


def _layer(shape: ModelShape, width: Width, tokens: int, keys: int) -> int:
    rows = width.groups * shape.group * shape.head_dim
    projections = 2 * tokens * shape.dim * rows + keys * shape.dim * 2 * width.groups * shape.head_dim
    return projections + 2 * tokens * keys * rows + 2 * tokens * shape.dim * width.blocks * shape.ffn_block


def _canvas(shape: ModelShape, cells: int) -> int:
    return cells * (3 + 1) * 2 * shape.frequencies * shape.dim


def _bearings(shape: ModelShape, count: int) -> int:
    return count * 2 * shape.frequencies * shape.dim


def _evidence(shape: ModelShape, geometry: Geometry) -> int:
    return geometry.heatmap_cells**2 * shape.dim


def _head(shape: ModelShape, geometry: Geometry, cells: int, level: int) -> Macs:
    fine, channels = shape.fine_channels, shape.channels(shape.fine_channels, shape.widths[level])
    places = geometry.heatmap_cells**2
    outputs = shape.classes + BOX_CHANNELS
    spread = cells * shape.dim * places // cells * fine
    convolutions = _KERNEL * places * (fine * channels + channels * channels)
    return Macs(convolutions + places * channels * outputs, spread + places * fine * outputs)


def _sensor(
    shape: ModelShape, geometry: Geometry, modality: Modality, parts: PartLevels
) -> tuple[int, int, Macs]:
    """Tokens, tokens to a key, and the encoder's MACs."""
    dim, cells = shape.dim, geometry.canvas_cells**2
    if modality is Modality.CAMERA:
        return _camera(shape, geometry, parts.camera)
    if modality is Modality.LIDAR:
        share = shape.widths[parts.lidar]
        first, second = (shape.channels(count, share) for count in shape.lidar_channels)
        deep = shape.channels(dim, share)
        pillars = geometry.pillar_cells**2
        stem = _KERNEL * (
            pillars * geometry.pillar_channels * first
            + pillars // 4 * second * (first + second)
            + pillars // 16 * deep * (second + deep)
        )
        blocks = cells // 4
        linear = (blocks + cells) * deep * dim + pillars // 4 * second * shape.fine_channels
        fixed = _canvas(shape, cells) + _evidence(shape, geometry)
        return blocks, shape.pool, Macs(stem + linear, fixed)
    if modality is Modality.IMU:
        linear = geometry.imu_steps * 6 * dim + dim * dim * shape.imu_tokens
        return shape.imu_tokens, 1, Macs(0, linear)
    bearings = geometry.audio_bearings
    inner = shape.channels(dim, shape.audio_widths[parts.audio])
    mixing = bearings * inner * (3 * geometry.audio_features + 2 * dim + inner)
    heard = geometry.heatmap_cells**2 * inner * (bearings + DISTANCE_FEATURES + shape.fine_channels)
    spread = cells * bearings * dim + _bearings(shape, bearings) + _canvas(shape, cells)
    return bearings, shape.pool, Macs(mixing + heard, spread + _evidence(shape, geometry))


def _camera(shape: ModelShape, geometry: Geometry, level: int) -> tuple[int, int, Macs]:
    share, shrink = shape.camera_level(level)
    first, second, fine, coarse, deep = (shape.channels(count, share) for count in shape.camera_channels)
    lifted = shape.channels(shape.lift_channels, share)
    pixels = geometry.image_width * geometry.image_height // shrink**2
    stem = _KERNEL * (
        pixels // 4 * 3 * first
        + pixels // 16 * (first * second + second * fine)
        + pixels // 64 * (fine * coarse + coarse * coarse)
        + pixels // 256 * (coarse * deep + deep * deep)
    )
    merge = lifted * (pixels // 16 * (fine + GROUND_FEATURES) + pixels // 64 * coarse + pixels // 256 * deep)
    rows, columns = shape.camera_tokens
    heights, places = len(shape.lift_heights_m), geometry.heatmap_cells**2
    sampled = 2 * places * heights * lifted * shape.fine_channels
    look = pixels // 16 * lifted * (_KERNEL * lifted + shape.depth_bins + shape.classes + _PLACING)
    tokens = rows * columns * deep * shape.dim
    cells = geometry.canvas_cells**2
    fixed = 3 * shape.dim + _bearings(shape, columns) + _evidence(shape, geometry)
    fixed += places * shape.fine_channels * shape.dim + cells * VIEW_FEATURES * shape.dim
    return rows * columns, shape.pool, Macs(stem + merge + look + sampled + tokens, fixed)
