"""Patterns on what the camera sees: windows of houses, leaves, cloth, kerbs, lawns and lines on the road."""

from __future__ import annotations

import torch
from torch import Tensor

from sentryfuse_core.lab.world.ground import Ground
from sentryfuse_core.lab.world.things import THINGS

__all__ = ["on_ground", "on_objects"]

_TARGETS = 3
_WINDOWED = ("house", "facade", "bus")
_LINE_M = 0.07  # half the width of a line on the road: 12 to 15 cm by most road authorities
_DASH_M = 9.0  # a dash and its gap


def _hash(*parts: Tensor) -> Tensor:
    """Numbers 0..1 that look random, the same for the same parts."""
    total = torch.zeros_like(parts[0])
    for part, factor in zip(parts, (12.9898, 78.233, 37.719, 94.673), strict=False):
        total = total + part * factor
    return torch.frac(total.sin().abs() * 43758.5453)


def on_objects(albedo: Tensor, kind: Tensor, owner: Tensor, local: Tensor, axis: Tensor) -> Tensor:
    """`albedo` [N, 3] of points `local` [N, 3] m in their solids, on faces of normal `axis`, with a pattern.

    `kind` [N] is the class, from 3 on THINGS; `owner` [N] tells objects apart.
    """
    rough = torch.tensor(
        [0.06, 0.35, 0.3, *(0.3 + 0.5 * thing.green for thing in THINGS)], device=kind.device
    )[kind]
    grain = torch.where(rough > 0.5, 0.18, 0.3)[:, None]
    own = owner.to(local.dtype)
    cell = torch.floor(local / grain + 0.31)
    noise = _hash(*cell.unbind(-1), own) - 0.5
    wide = _hash(*torch.floor(local / 1.7).unbind(-1), own) - 0.5
    albedo = albedo * (1 + rough * (noise + wide))[:, None]
    windowed = torch.tensor(
        [False] * _TARGETS + [thing.name in _WINDOWED for thing in THINGS], device=kind.device
    )[kind]
    if not bool(windowed.any()):
        return albedo
    pitch = 2.0 + 1.6 * _hash(own, own * 0 + 3.0)
    storey = 2.6 + 0.8 * _hash(own, own * 0 + 5.0)
    along = torch.where(axis == 0, local[:, 1], local[:, 0]) / pitch
    up = local[:, 2] / storey
    window = (torch.frac(along.abs()) - 0.5).abs() < 0.14 + 0.14 * _hash(own, own * 0 + 7.0)
    window &= ((torch.frac(up.abs()) - 0.5).abs() < 0.27) & (axis != 2) & windowed
    pane = 0.03 + 0.45 * _hash(torch.floor(along), torch.floor(up), own) ** 4
    return torch.where(window[:, None], pane[:, None].expand_as(albedo), albedo)


def on_ground(ground: Ground, look: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Factor [B, 3, G, W] on the albedo of ground points, x and y [B, G, W] in the vehicle's frame."""
    cos, sin, middle = (item[:, None, None] for item in (ground.cos, ground.sin, ground.middle))
    left, right = ground.left[:, None, None], ground.right[:, None, None]
    across = middle + y * cos - x * sin
    along = x * cos + y * sin
    over = torch.maximum(across - left, -across - right)
    dashed = torch.frac(along / _DASH_M + 100.0) < 0.4
    edge = (over + 0.35).abs() < _LINE_M
    line = (((across.abs() < _LINE_M) & dashed) | edge) & (ground.paved[:, None, None] > 0)
    kerb = (over > 0.0) & (over < 0.18)
    shares = torch.frac(look * 7.77)  # what the lines, kerbs and lawns of a place are like
    bright = 1 + 2.5 * shares[:, 0, None, None] * line + (1.2 * shares[:, 1, None, None] - 0.3) * kerb
    beside = 0.5 + 1.4 * shares[:, 2]
    green = (shares[:, 3] > 0.5).to(x.dtype)[:, None] * torch.tensor((-0.25, 0.1, -0.45), device=x.device)
    tint = beside[:, None] * (1 + green)  # [B, 3]
    on_road = (over < 0.18)[:, None]
    return torch.where(on_road, bright[:, None], tint[..., None, None])
