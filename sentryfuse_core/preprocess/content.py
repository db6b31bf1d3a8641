"""The numbers that content checks of the health monitor work on, from decoded data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sentryfuse_core.health.stats import SECTORS, AudioStats, CloudStats, ImageStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sentryfuse_core.types import AudioBlock, UInt8Array

__all__ = ["audio_stats", "cloud_stats", "image_stats"]

_SIDE = 128  # an image is looked at on a grid of at least this many rows and columns
_BLOCK = 4  # samples along a block's side: averaging 16 of them takes pixel noise down to a quarter
_CELLS = 8  # cells of blocks along each side
_SECTOR_DEG = 360.0 / SECTORS
_LOOKED_AT = 16_384  # about this many points show which of the sectors are empty
_PRIMES = (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)  # steps that do not beat with the columns of a turn


def image_stats(image: UInt8Array) -> ImageStats:
    """Level and structure of an image [H, W, 3], of its green channel on a subsampled grid.

    The means of blocks of samples differ by structure and by what averaging leaves of pixel noise. The
    noise is known from the scatter inside the blocks, so it can be taken off.
    """
    height, width, _ = image.shape
    grid = image[:: max(height // _SIDE, 1), :: max(width // _SIDE, 1)]
    side = _BLOCK * _CELLS
    if min(grid.shape[:2]) < side:
        grid = np.asarray(
            cv2.resize(np.ascontiguousarray(grid), (side, side), interpolation=cv2.INTER_NEAREST), np.uint8
        )
    rows, columns = (size // side * _CELLS for size in grid.shape[:2])
    plane = grid[: rows * _BLOCK, : columns * _BLOCK, 1].astype(np.float32)
    means = cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA)
    squares = cv2.resize(plane * plane, (columns, rows), interpolation=cv2.INTER_AREA)
    noise = (squares - means * means) / (_BLOCK * _BLOCK - 1)  # variance that it leaves in a mean
    cells = means.reshape(_CELLS, rows // _CELLS, _CELLS, columns // _CELLS)
    cell_noise = noise.reshape(cells.shape).mean(axis=(1, 3))
    variance = np.maximum(cells.var(axis=(1, 3)) - cell_noise, 0.0)
    whole = max(float(means.var()) - float(noise.mean()), 0.0)
    cells = np.sqrt(variance).ravel().astype(np.float64)
    return ImageStats(mean=float(means.mean()), structure=whole**0.5, cells=cells)


def cloud_stats(points: NDArray[np.float32]) -> CloudStats:
    """How many returns [4, N] there are, and which directions of the sensor's frame are without any."""
    count = points.shape[1]
    step = next((prime for prime in _PRIMES if count <= prime * _LOOKED_AT), _PRIMES[-1])
    azimuth_deg = np.degrees(np.arctan2(points[1, ::step], points[0, ::step]))
    sector = np.minimum(((azimuth_deg + 180.0) / _SECTOR_DEG).astype(np.int64), SECTORS - 1)
    seen = np.bincount(sector, minlength=SECTORS) > 0
    return CloudStats(
        finite_points=count,
        occupancy=sum(1 << int(index) for index in np.flatnonzero(seen)),
    )


def audio_stats(blocks: Sequence[AudioBlock]) -> AudioStats:
    """Share of samples at full scale, and which channels stand still to the bit."""
    first = blocks[0].pcm[0]
    live = np.zeros(first.shape, bool)
    for block in blocks:
        if live.all():
            break
        if block.pcm.shape[1] == live.size:
            live |= (block.pcm != first).any(axis=0)
        else:
            live[:] = True  # the format changed: nothing to compare
    return AudioStats(
        clipped_share=sum(_clipped(block.pcm) for block in blocks) / sum(block.pcm.size for block in blocks),
        silent=not live.any(),
        live_channels=sum(1 << channel for channel in np.flatnonzero(live).tolist()),
        channel_count=live.size,
    )


def _clipped(pcm: NDArray[Any]) -> int:
    """Samples at full scale; a driver may change the type of its samples between two blocks."""
    low, high = -1.0, 1.0
    if pcm.dtype.kind != "f":
        limits = np.iinfo(pcm.dtype)
        low, high = float(limits.min + 1), float(limits.max)  # symmetric converters never reach the lowest
    return int(np.count_nonzero((pcm <= low) | (pcm >= high)))
