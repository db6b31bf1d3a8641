"""IMU: readings in the sensor's axes to evenly spaced ones in the base frame's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.rotation import IDENTITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sentryfuse_core.preprocess.motion import Rotation
    from sentryfuse_core.types import ImuReading, Sample

__all__ = ["in_base_axes", "measured", "readings_of", "resample", "turned", "turned_tilt"]


def readings_of(samples: Sequence[Sample]) -> tuple[list[int], NDArray[np.float64]]:
    """As `measured`; raises InvalidMessageError `field_absent` where no reading has both fields."""
    stamps_ns, readings = measured(samples)
    if not stamps_ns:
        raise InvalidMessageError("field_absent", "the network needs angular velocity and acceleration")
    return stamps_ns, readings


def measured(samples: Sequence[Sample]) -> tuple[list[int], NDArray[np.float64]]:
    """Stamps in ns of the readings that have both fields, and gyro and acceleration [N, 2, 3] of each."""
    found = [(sample.stamp_ns, cast("ImuReading", sample.payload)) for sample in samples]
    both = [
        (stamp_ns, reading.angular_velocity, reading.linear_acceleration)
        for stamp_ns, reading in found
        if reading.angular_velocity is not None and reading.linear_acceleration is not None
    ]
    vectors = np.array([vectors for _, *vectors in both], np.float64)
    return [stamp_ns for stamp_ns, *_ in both], vectors.reshape(-1, 2, 3)


def in_base_axes(
    stamps_ns: Sequence[int], readings: NDArray[np.float64], *, to_base: Rotation, end_ns: int
) -> tuple[Tensor, Tensor]:
    """Times [1, N] in s relative to `end_ns`, and gyro and acceleration [1, N, 6] in base axes."""
    turned = readings.astype(np.float32) @ to_base.T.astype(np.float32)
    times_s = [(stamp_ns - end_ns) / NS_PER_S for stamp_ns in stamps_ns]
    return torch.tensor([times_s]), torch.from_numpy(turned.reshape(1, -1, 6))


def resample(times_s: Tensor, values: Tensor) -> Tensor:
    """Values at 32 even times over the window that ends at 0 s, [B, 32, C], by linear interpolation.

    `times_s` is [B, N], rising, relative to the end of the window (so mostly negative), N >= 1;
    `values` is [B, N, C]. Before the first and after the last reading the nearest one holds.
    """
    batch, readings, channels = values.shape
    grid = torch.linspace(
        -GEOMETRY.imu_window_s, 0.0, GEOMETRY.imu_steps, dtype=times_s.dtype, device=times_s.device
    )
    grid = grid.expand(batch, GEOMETRY.imu_steps).contiguous()
    after = torch.searchsorted(times_s.contiguous(), grid).clamp(1, max(readings - 1, 1))
    before = after - 1
    after = after.clamp(max=readings - 1)
    time_before = times_s.gather(1, before)
    step = (times_s.gather(1, after) - time_before).clamp(min=1e-9)
    share = ((grid - time_before) / step).clamp(0.0, 1.0).to(values.dtype)[..., None]

    def pick(index: Tensor) -> Tensor:
        return values.gather(1, index[..., None].expand(batch, GEOMETRY.imu_steps, channels))

    return torch.lerp(pick(before), pick(after), share).float()


def turned(window: Tensor, rotation: Rotation) -> Tensor:
    """Gyro and acceleration [B, N, 6] in axes that `rotation` turns base axes into."""
    if np.array_equal(rotation, IDENTITY):
        return window
    vectors = torch.unflatten(window, -1, (2, 3)) @ torch.from_numpy(rotation.T.astype(np.float32))
    return vectors.flatten(-2)


def turned_tilt(tilt: tuple[float, float], rotation: Rotation) -> tuple[float, float]:
    """Roll and pitch in rad, small angles about x and y, in axes that `rotation` turns base axes into."""
    roll, pitch = (rotation[:2, :2] @ tilt).tolist()
    return roll, pitch
