"""The space the network sees: canvas region, pillar grid, virtual camera, audio bearings, IMU window."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["GEOMETRY", "Geometry"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes that encoders, world and preprocessing share; a checkpoint holds for one geometry.

    Base frame: x forward, y left, z up, origin on the ground under the vehicle.
    """

    # Bird's-eye-view region, metres; rows of a grid run along x, columns along y.
    x_min_m: float = 0.0
    x_max_m: float = 32.0
    y_min_m: float = -16.0
    y_max_m: float = 16.0
    z_min_m: float = -3.0  # lidar points below or above are no part of the region
    z_max_m: float = 6.0
    canvas_cells: int = 16  # a side: 2 m cells, one canvas token each
    heatmap_cells: int = 32  # a side: the head predicts 2 x 2 sub-cells for each token

    pillar_cells: int = 64  # a side: 0.5 m cells
    pillar_channels: int = 6  # log count, max z, mean z, min z, mean intensity, occupied

    # Virtual pinhole camera, pixels; looks straight along base x, without roll or pitch. 90 degrees wide,
    # 13 up and 24 down: a pedestrian at 20 m is 16 pixels high, and little of the image is sky.
    image_width: int = 384
    image_height: int = 128
    image_fx: float = 192.0
    image_fy: float = 192.0
    image_cx: float = 192.0
    image_cy: float = 44.0

    audio_rate_hz: int = 16_000
    audio_window_s: float = 0.2
    audio_bearings: int = 16  # evenly spaced from +90 degrees (left) to -90 degrees
    audio_bands: int = 8
    audio_spacing_m: float = 0.4

    imu_window_s: float = 0.1
    imu_steps: int = 32

    @property
    def audio_samples(self) -> int:
        """Samples a channel in one audio window."""
        return round(self.audio_rate_hz * self.audio_window_s)

    @property
    def audio_features(self) -> int:
        """Features of one bearing: correlation and log-energy of every band."""
        return 2 * self.audio_bands

    @property
    def pillar_cell_m(self) -> float:
        """Side of a pillar cell in metres."""
        return (self.x_max_m - self.x_min_m) / self.pillar_cells

    @property
    def bearings_rad(self) -> tuple[float, ...]:
        """The bearings, positive to the left, in radians."""
        last = self.audio_bearings - 1
        return tuple(math.pi / 2 - math.pi * index / last for index in range(self.audio_bearings))


GEOMETRY = Geometry()
