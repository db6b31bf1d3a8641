"""From the light that reaches a camera to an image: exposure and noise, and what drivers make of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.lab.world.config import CameraModel
from sentryfuse_core.lab.world.variety import Variety

__all__ = ["developed", "expose"]


def expose(
    radiance: Tensor, model: CameraModel, *, light: Tensor, averaged: float, generator: torch.Generator
) -> Tensor:
    """Image 0..1 (gamma 2) of linear radiance [B, 3, P], by day and night; `averaged` raw pixels make one.

    The exposure keeps the scene's illumination at a third of full scale until the gain is exhausted.
    """
    illumination = model.night_illumination ** (1 - light)
    gain = (0.8 / illumination).clamp(max=model.max_gain)[:, None, None]
    electrons = radiance.clamp_min(0.0).mul_(model.full_well)
    noise = torch.randn(radiance.shape, generator=generator, device=radiance.device)
    noise.mul_(electrons.add(model.read_noise**2).div_(averaged).sqrt_())
    return electrons.add_(noise).mul_(gain / model.full_well).clamp_(0.0, 1.0).sqrt_()


def developed(image: Tensor, variety: Variety, generator: torch.Generator) -> Tensor:
    """Images [B, 3, H, W] 0..1 as other cameras and drivers give them: curve, white balance, colour, blur."""
    batch, device = len(image), image.device
    u = torch.rand((4, batch, 1, 1, 1), generator=generator, device=device)
    v = torch.rand(batch, generator=generator, device=device)
    balance = torch.rand((batch, 3, 1, 1), generator=generator, device=device) * 2 - 1
    low, high = variety.gamma
    image = image ** (low + (high - low) * u[0]) * (1 + variety.cast * balance)
    middle = image.mean(dim=(1, 2, 3), keepdim=True)
    low, high = variety.contrast
    image = middle + (image - middle) * (low + (high - low) * v[:, None, None, None])
    image = torch.lerp(image, image.mean(dim=1, keepdim=True), variety.grey * u[1])
    soft = functional.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)
    return torch.lerp(image, soft, u[3] * (u[2] < variety.blurred)).clamp(0.0, 1.0)
