"""Which lidar takes a sweep, where it really sits, and what its driver makes of what came back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sentryfuse_core.lab.world.config import LidarModel, WeatherModel, WorldConfig
from sentryfuse_core.lab.world.variety import SCANNERS, Variety

__all__ = ["Scan", "draw_scan", "plain_scan"]

_FALLS_FROM_M = 10.0  # intensity that falls off with the range is right here


@dataclass(frozen=True, eq=False)
class Scan:
    """The lidars of B moments: one kind, each at a place and with a driver of its own."""

    model: LidarModel
    elevation: Tensor  # [beams] rad, rising
    position: Tensor  # [B, 3] m, base frame
    faint: Tensor  # [B, 1] reflectivity that is just seen at 60 m in clear air
    jitter: float = 0.0  # how far rays lie off the grid, in its steps
    rays: int = 0  # rows of points to fill up to; 0: as many as there are rays
    error: Tensor | None = None  # [B, 4] of roll, pitch, yaw (rad) and height (m); None: told right
    driver: Tensor | None = None  # [B, 4] constant intensity (NaN: none), gain, power, falloff
    kept: Tensor | None = None  # [B, R] bool, rays that are not left out
    bonnet: Tensor | None = None  # [B, 3] height, length, half width (m) of its own vehicle; 0: unseen

    def as_told(self, points: Tensor, reach: Tensor) -> Tensor:
        """Points [B, R, 4] of ranges `reach` [B, R] as the driver and a calibration give them."""
        if self.driver is None or self.error is None or self.kept is None:
            return points
        constant, gain, power, falloff = self.driver[:, None].unbind(-1)
        far = (reach.clamp_min(1.0) / _FALLS_FROM_M) ** -falloff
        told = (points[..., 3].clamp_min(1e-4) ** power * gain * far).clamp(0.0, 1.0)
        told = torch.where(constant.isnan() | points[..., 3].isnan(), told, constant)
        roll, pitch, yaw, up = self.error[:, None].unbind(-1)
        x, y, z = (points[..., :3] - self.position[:, None]).unbind(-1)
        x, y, z = x - yaw * y + pitch * z, y + yaw * x - roll * z, z - pitch * x + roll * y + up
        moved = torch.stack((x, y, z), dim=-1) + self.position[:, None]
        moved = torch.where(self.kept[..., None], moved, torch.nan)
        whole = points.new_full((len(points), self.rays, 4), torch.nan)
        whole[:, : moved.shape[1]] = torch.cat((moved, told[..., None]), dim=-1)
        return whole


def plain_scan(
    model: LidarModel,
    weather: WeatherModel,
    position: tuple[float, float, float],
    *,
    batch: int,
    device: torch.device | str = "cpu",
) -> Scan:
    """A lidar as its model says, where `position` says; for scenes on `device`."""
    low, high = math.radians(model.lowest_deg), math.radians(model.highest_deg)
    elevation = torch.linspace(low, high, model.beams, device=device)
    least = weather.least_return * (60.0 / model.max_range_m) ** 2
    faint = torch.full((batch, 1), least, device=device)
    return Scan(model, elevation, torch.tensor(position, device=device).expand(batch, 3), faint)


def draw_scan(config: WorldConfig, variety: Variety, *, batch: int, generator: torch.Generator) -> Scan:
    """Any lidar of SCANNERS, the same for the batch, and for each moment its place, errors and driver."""
    device = generator.device
    shares = torch.tensor([scanner.share for scanner in SCANNERS], device=device)
    chosen = SCANNERS[int(torch.multinomial(shares, 1, generator=generator))]
    u = torch.rand((16, batch), generator=generator, device=device)
    normal = torch.randn((4, batch), generator=generator, device=device)

    def between(span: tuple[float, float], draw: Tensor) -> Tensor:
        return span[0] + (span[1] - span[0]) * draw

    model = replace(
        config.lidar,
        beams=chosen.beams,
        columns=chosen.columns,
        max_range_m=float(between(variety.max_range, u[0, 0])),
        dropout=float(between(variety.dropout, u[1, 0])),
        dropout_far=float(between(variety.dropout_far, u[2, 0])),
        noise_m=float(between(variety.noise, u[3, 0])),
    )
    blocks = [torch.linspace(low, high, count) for count, low, high in chosen.blocks]
    position = torch.stack(
        (between(variety.lidar_ahead, u[4]), 0.3 * (2 * u[5] - 1), between(variety.lidar_height, u[6])),
        dim=-1,
    )
    constant = torch.where(u[7] < 0.5, torch.zeros_like(u[8]), u[8])
    constant = torch.where(u[9] < variety.no_intensity, constant, torch.nan)
    driver = (constant, between(variety.gain, u[10]), between(variety.power, u[11]))
    falloff = between(variety.falloff, u[12]) * (u[13] < 0.3)
    rays = chosen.columns // 2 * chosen.beams
    kept = torch.rand((batch, rays), generator=generator, device=device)
    low, high = variety.faint
    turned = math.radians(variety.lidar_turn_error_deg) * normal[:3]
    v = torch.rand((4, batch), generator=generator, device=device)
    bonnet = torch.stack((0.7 + 0.5 * v[0], 0.8 + 1.4 * v[1], 0.4 + 0.5 * v[2]), dim=-1)
    return Scan(
        model,
        torch.deg2rad(torch.cat(blocks)).sort().values,  # those of two lidars take turns
        position,
        (low * (high / low) ** u[14])[:, None],
        chosen.jitter,
        variety.rays,
        torch.stack((*turned, variety.lidar_height_error * normal[3]), dim=-1),
        torch.stack((*driver, falloff), dim=-1),
        kept < between(variety.kept, u[15])[:, None],
        bonnet * (v[3] < variety.ego)[:, None],
    )
