"""The IMU: angular velocity and specific force of the vehicle, with bias, vibration and noise."""

from __future__ import annotations

import torch
from torch import Tensor

from sentryfuse_core.lab.world.config import ImuModel

__all__ = ["draw_bias", "measure"]


def draw_bias(model: ImuModel, *, batch: int, generator: torch.Generator) -> Tensor:
    """Constant errors [B, 6] of an instrument: gyro (rad/s), accelerometer (m/s^2)."""
    scale = torch.tensor((model.gyro_bias,) * 3 + (model.accel_bias,) * 3, device=generator.device)
    return torch.randn((batch, 6), generator=generator, device=generator.device) * scale


def measure(
    motion: Tensor,
    bias: Tensor,
    model: ImuModel,
    *,
    tilt: Tensor,
    tilt_rate: Tensor,
    course: Tensor | float = 0.0,
    generator: torch.Generator,
) -> Tensor:
    """Readings [B, T, 6] (gyro in rad/s, specific force in m/s^2, base axes) for motion [B, T, 3].

    `motion` is speed (m/s), acceleration (m/s^2) and yaw rate (rad/s); `bias` is [B, 6]; `tilt` is roll
    and pitch (rad) and `tilt_rate` their change (rad/s), both [B, T, 2]. Gravity is felt upwards. `course`
    [B, 1] is which way the vehicle moves, in rad from the x axis.
    """
    speed, acceleration, yaw_rate = motion.unbind(-1)
    roll, pitch = tilt.unbind(-1)
    roll_rate, pitch_rate = tilt_rate.unbind(-1)
    level = model.gravity * pitch.cos()
    cos, sin = torch.as_tensor(course).cos(), torch.as_tensor(course).sin()
    inward = speed * yaw_rate
    truth = torch.stack(
        (
            roll_rate,
            pitch_rate,
            yaw_rate,
            acceleration * cos - inward * sin - model.gravity * pitch.sin(),
            inward * cos + acceleration * sin + level * roll.sin(),
            level * roll.cos(),
        ),
        dim=-1,
    )
    noise = torch.randn(truth.shape, generator=generator, device=motion.device)
    shake = speed[..., None] * model.vibration
    gyro = noise[..., :3] * (model.gyro_noise + 0.1 * shake * model.gyro_noise)
    accel = noise[..., 3:] * (model.accel_noise + shake)
    return truth + bias[:, None] + torch.cat((gyro, accel), dim=-1)
