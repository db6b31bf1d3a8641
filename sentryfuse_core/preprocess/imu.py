"""IMU: readings in the sensor's axes to evenly spaced ones in the base frame's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.types import ImuReading, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sentryfuse_core.preprocess.motion import Rotation

__all__ = ["readings_of", "resample"]


def readings_of(samples: Sequence[Sample], *, to_base: Rotation, end_ns: int) -> tuple[Tensor, Tensor]:
    """Times [1, N] in s relative to `end_ns`, and gyro and acceleration [1, N, 6] in base axes.

    Raises InvalidMessageError `field_absent` if no reading has both.
    """
    times_s, values = [], []
    for sample in samples:
        reading = sample.payload
        if not isinstance(reading, ImuReading):
            continue
        if reading.angular_velocity is None or reading.linear_acceleration is None:
            continue
        times_s.append((sample.stamp_ns - end_ns) / NS_PER_S)
        values.append((reading.angular_velocity, reading.linear_acceleration))
    if not values:
        raise InvalidMessageError("field_absent", "the network needs angular velocity and acceleration")
    turned = np.asarray(values, np.float32) @ to_base.T.astype(np.float32)  # [N, 2, 3]
    return torch.tensor([times_s]), torch.from_numpy(turned.reshape(1, -1, 6))


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
