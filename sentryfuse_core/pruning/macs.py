"""Multiply-accumulates of the network by formula, for any set of sensors and any width.

Counted: convolutions, linear maps and both products of attention. Not counted: norms, activations,
softmax, pooling, bilinear sampling and additions.
"""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.model.lift import VIEW_FEATURES
from sentryfuse_core.model.shape import BOX_CHANNELS, ModelShape, Width
from sentryfuse_core.preprocess.geometry import Geometry
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["Macs", "count_macs"]

_KERNEL = 9  # 3x3


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one inference of one sample."""

    prunable: int  # attention groups, feed-forward blocks and the convolutions' channels
    fixed: int  # linear maps to and from tokens, and the canvas

    @property
    def total(self) -> int:
        """The whole network."""
        return self.prunable + self.fixed


def count_macs(shape: ModelShape, geometry: Geometry, mask: ModalitySet, width: Width) -> Macs:
    """MACs with the sensors of `mask` present at `width`."""
    cells = geometry.canvas_cells**2
    tokens, keys = cells, cells
    fixed = _canvas(shape, cells) + cells * shape.dim * _head_channels(shape, geometry)
    for modality in mask:
        length, stride, encoder = _sensor(shape, geometry, modality, cells)
        tokens += length
        keys += length // stride
        fixed += encoder
    return Macs(shape.layers * _layer(shape, width, tokens, keys), fixed)


def _layer(shape: ModelShape, width: Width, tokens: int, keys: int) -> int:
    rows = width.groups * shape.group * shape.head_dim
    projections = 2 * tokens * shape.dim * rows + keys * shape.dim * 2 * width.groups * shape.head_dim
    return projections + 2 * tokens * keys * rows + 2 * tokens * shape.dim * width.blocks * shape.ffn_block


def _canvas(shape: ModelShape, cells: int) -> int:
    return cells * (3 + 1) * 2 * shape.frequencies * shape.dim


def _head_channels(shape: ModelShape, geometry: Geometry) -> int:
    return (geometry.heatmap_cells // geometry.canvas_cells) ** 2 * (shape.classes + BOX_CHANNELS)


def _bearings(shape: ModelShape, count: int) -> int:
    return count * 2 * shape.frequencies * shape.dim


def _sensor(shape: ModelShape, geometry: Geometry, modality: Modality, cells: int) -> tuple[int, int, int]:
    """Tokens, tokens to a key, and the encoder's MACs."""
    dim = shape.dim
    if modality is Modality.CAMERA:
        return _camera(shape, geometry, cells)
    if modality is Modality.LIDAR:
        first, second = shape.lidar_channels
        pillars = geometry.pillar_cells**2
        stem = _KERNEL * (
            pillars * geometry.pillar_channels * first
            + pillars // 4 * first * second
            + pillars // 16 * second * dim
            + pillars // 16 * dim * dim
        )
        blocks = cells // 4
        return blocks, shape.pool, stem + (blocks + cells) * dim * dim + _canvas(shape, cells)
    if modality is Modality.IMU:
        return shape.imu_tokens, 1, geometry.imu_steps * 6 * dim + dim * dim * shape.imu_tokens
    bearings = geometry.audio_bearings
    mixing = 3 * bearings * geometry.audio_features * dim + 2 * bearings * dim * dim
    return bearings, shape.pool, mixing + cells * bearings * dim + _bearings(shape, bearings)


def _camera(shape: ModelShape, geometry: Geometry, cells: int) -> tuple[int, int, int]:
    first, second, fine, coarse = shape.camera_channels
    pixels = geometry.image_width * geometry.image_height
    stem = _KERNEL * (
        pixels // 4 * 3 * first
        + pixels // 16 * (first * second + second * fine)
        + pixels // 64 * (fine * coarse + coarse * coarse)
    )
    merge = shape.lift_channels * (pixels // 16 * fine + pixels // 64 * coarse)
    rows, columns = shape.camera_tokens
    samples = 4 * len(shape.lift_heights_m)
    tokens = rows * columns * coarse * shape.dim + 3 * shape.dim + _bearings(shape, columns)
    lift = cells * (shape.lift_channels * samples + VIEW_FEATURES) * shape.dim
    return rows * columns, shape.pool, stem + merge + tokens + lift
