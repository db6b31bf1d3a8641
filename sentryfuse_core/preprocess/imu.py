"""IMU: readings at their own times to evenly spaced ones, batched."""

from __future__ import annotations

import torch
from torch import Tensor

from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry

__all__ = ["resample"]


def resample(times_s: Tensor, values: Tensor, *, geometry: Geometry = GEOMETRY) -> Tensor:
    """Values at 32 even times over the window that ends at 0 s, [B, 32, C], by linear interpolation.

    `times_s` is [B, N], rising, relative to the end of the window (so mostly negative), N >= 1;
    `values` is [B, N, C]. Before the first and after the last reading the nearest one holds.
    """
    batch, readings, channels = values.shape
    grid = torch.linspace(
        -geometry.imu_window_s, 0.0, geometry.imu_steps, dtype=times_s.dtype, device=times_s.device
    )
    grid = grid.expand(batch, geometry.imu_steps).contiguous()
    after = torch.searchsorted(times_s.contiguous(), grid).clamp(1, max(readings - 1, 1))
    before = after - 1
    after = after.clamp(max=readings - 1)
    time_before = times_s.gather(1, before)
    step = (times_s.gather(1, after) - time_before).clamp(min=1e-9)
    share = ((grid - time_before) / step).clamp(0.0, 1.0).to(values.dtype)[..., None]

    def pick(index: Tensor) -> Tensor:
        return values.gather(1, index[..., None].expand(batch, geometry.imu_steps, channels))

    return torch.lerp(pick(before), pick(after), share).float()
