"""The wheels' account of where the vehicle went: small errors that add up, as on a robot."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.lab.world.drive import STEPS_HZ
from sentryfuse_core.lab.world.scene import Scene

__all__ = ["ODOMETRY", "Odometry", "OdometryModel", "wheels"]


@dataclass(frozen=True, kw_only=True)
class OdometryModel:
    """Standard deviations. Not part of WorldConfig: no network sees it, so it makes no other world."""

    rate_hz: int = 50
    latency_ns: int = 4_000_000
    scale: float = 0.004  # of the speed, drawn once a drive: the wheels' radius
    speed_noise_m_s: float = 0.02
    yaw_rate_bias_rad_s: float = 0.0005  # drawn once a drive
    yaw_rate_noise_rad_s: float = 0.003


ODOMETRY = OdometryModel()


@dataclass(frozen=True, eq=False)
class Odometry:
    """N readings: the way that they add up to, and how the vehicle moved at each."""

    pose: Tensor  # [N, 3] x, y (m), yaw (rad) in the frame where the drive began
    twist: Tensor  # [N, 2] speed (m/s), yaw rate (rad/s)


def wheels(scenes: Scene, model: OdometryModel, *, count: int, generator: torch.Generator) -> Odometry:
    """`count` readings from the drive's start on; wheels that stand still say so."""
    at = torch.arange(count) * (STEPS_HZ / model.rate_hz)
    before = at.long().clamp(max=len(scenes) - 1)
    after = (before + 1).clamp(max=len(scenes) - 1)
    motion = torch.lerp(scenes.ego_motion[before], scenes.ego_motion[after], (at - before)[:, None])
    speed, yaw_rate = motion[:, 0].double(), motion[:, 2].double()
    once = torch.randn(2, generator=generator, dtype=torch.float64)
    noise = torch.randn((2, count), generator=generator, dtype=torch.float64)
    moves = speed > 0
    speed = speed * (1 + model.scale * once[0]) + moves * model.speed_noise_m_s * noise[0]
    error = model.yaw_rate_bias_rad_s * once[1] + model.yaw_rate_noise_rad_s * noise[1]
    yaw_rate = yaw_rate + moves * error
    twist = torch.stack((speed, yaw_rate), dim=-1)
    middle = (twist[1:] + twist[:-1]) / 2 / model.rate_hz  # between two readings: metres, rad
    yaw = torch.cat((torch.zeros(1, dtype=torch.float64), middle[:, 1].cumsum(0)))
    between = yaw[:-1] + middle[:, 1] / 2
    steps = middle[:, :1] * torch.stack((between.cos(), between.sin()), dim=-1)
    place = torch.cat((torch.zeros((1, 2), dtype=torch.float64), steps.cumsum(0)))
    yaw = torch.remainder(yaw + math.pi, 2 * math.pi) - math.pi
    return Odometry(torch.cat((place, yaw[:, None]), dim=-1), twist)
