"""Light from noon to night: sun, sky, the vehicle's own lamps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.lab.world.scene import Scene

__all__ = ["Lighting", "light_of"]

_NIGHT = 0.004  # illumination of the darkest night, of noon's


@dataclass(frozen=True, eq=False)
class Lighting:
    """Linear light of B scenes; 1.0 is a white surface in noon sun."""

    sun: Tensor  # [B, 3] unit vector towards the sun, base frame
    sunlight: Tensor  # [B, 3] colour and strength of direct light
    ambient: Tensor  # [B, 3] of light from the sky
    ground: Tensor  # [B, 3] both on level ground
    horizon: Tensor  # [B, 3] radiance of the sky at the horizon, and of haze
    zenith: Tensor  # [B, 3] radiance of the sky above
    headlight: Tensor  # [B] strength of the vehicle's own lamps


def light_of(scene: Scene) -> Lighting:
    """The lighting of each scene, from its `light` and the sun's azimuth."""
    light = scene.light[:, None]
    device = light.device
    illumination = _NIGHT ** (1 - light)
    day = ((light - 0.45) / 0.35).clamp(0.0, 1.0)
    dusk = 1 - ((light - 0.5) / 0.3).abs().clamp(max=1.0)
    elevation = math.radians(6) + math.radians(50) * ((scene.light - 0.4) / 0.6).clamp_min(0.0)
    azimuth = scene.sun_azimuth - scene.ego[:, 2]
    sun = torch.stack(
        (
            torch.cos(elevation) * torch.cos(azimuth),
            torch.cos(elevation) * torch.sin(azimuth),
            torch.sin(elevation),
        ),
        -1,
    )

    def tint(noon: tuple[float, ...], evening: tuple[float, ...], night: tuple[float, ...]) -> Tensor:
        noon_t, evening_t, night_t = (torch.tensor(c, device=device) for c in (noon, evening, night))
        mixed = noon_t * day + night_t * (1 - day)
        return mixed * (1 - dusk) + evening_t * dusk

    share = 0.65 * ((light - 0.3) / 0.4).clamp(0.0, 1.0)  # of the light that is direct
    sunlight = tint((1.0, 0.96, 0.88), (1.0, 0.68, 0.42), (0.6, 0.7, 1.0)) * illumination * share / 0.7
    ambient = tint((0.85, 0.93, 1.0), (0.8, 0.75, 0.9), (0.6, 0.7, 1.0)) * illumination * (1 - share)
    return Lighting(
        sun=sun,
        sunlight=sunlight,
        ambient=ambient,
        ground=sunlight * sun[:, 2:] + ambient,
        horizon=tint((0.75, 0.82, 0.9), (0.9, 0.6, 0.4), (0.35, 0.33, 0.4)) * illumination * 0.9,
        zenith=tint((0.25, 0.45, 0.85), (0.35, 0.4, 0.65), (0.08, 0.1, 0.2)) * illumination * 0.8,
        headlight=0.05 * (1 - ((scene.light - 0.3) / 0.2).clamp(0.0, 1.0)),
    )
