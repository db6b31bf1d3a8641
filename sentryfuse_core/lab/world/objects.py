"""Objects without a place: road users and clutter of random size, colour, reflectivity, voice and shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from sentryfuse_core.lab.world.config import CLASSES, WorldConfig
from sentryfuse_core.lab.world.shapes import plain_solids, varied_solids
from sentryfuse_core.lab.world.variety import Variety

__all__ = [
    "CAR",
    "COLOURS",
    "CYCLIST",
    "PEDESTRIAN",
    "TRAITS",
    "Objects",
    "draw_clutter",
    "draw_objects",
    "joined",
    "uniform",
]

CAR, PEDESTRIAN, CYCLIST = range(3)  # the numbers from 3 on are WorldConfig.things
COLOURS = 4  # colours an object has: lowest part, middle part, glass or head, trim
TRAITS = 8  # numbers in 0..1 that make a member of a class sound like itself


def uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform random numbers of a shape, on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


@dataclass(frozen=True, eq=False)
class Objects:
    """Drawn objects without a place: what Scene holds of them, shapes [*S] and [*S, ...]."""

    classes: Tensor
    size: Tensor  # [*S, 3] length, width, height in m
    speed: Tensor
    colours: Tensor
    reflectivity: Tensor
    traits: Tensor
    solids: Tensor


def draw_objects(
    config: WorldConfig, shape: tuple[int, ...], generator: torch.Generator, *, only: int | None = None
) -> Objects:
    """Objects of random class (or of class `only`), size, colours, speed and voice."""
    device = generator.device
    share = torch.tensor([c.share for c in CLASSES], device=device)
    count = math.prod(shape)
    classes = torch.multinomial(share, count, replacement=True, generator=generator).reshape(shape)
    mean = torch.tensor([c.size for c in CLASSES], device=device)[classes]
    spread = torch.tensor([c.size_spread for c in CLASSES], device=device)[classes]
    normal = torch.randn((*shape, 3), generator=generator, device=device).clamp(-2.0, 2.0)
    size = mean + spread * normal
    if only is not None:
        classes = torch.full_like(classes, only)
    if config.variety is not None:
        size = _varied_size(config.variety, classes, normal)
    van = (classes == CAR) & (uniform(0, 1, shape, generator) < 0.2)
    size = torch.where(van[..., None], size * torch.tensor((1.2, 1.08, 1.35), device=device), size)
    speeds = torch.tensor([(*c.speed, c.standing) for c in CLASSES], device=device)[classes]
    speed = speeds[..., 0] + (speeds[..., 1] - speeds[..., 0]) * uniform(0, 1, shape, generator)
    speed = torch.where(uniform(0, 1, shape, generator) < speeds[..., 2], torch.zeros_like(speed), speed)
    shine = torch.tensor([c.reflectivity for c in CLASSES], device=device)[classes]
    reflectivity = shine[..., 0] + (shine[..., 1] - shine[..., 0]) * uniform(0, 1, shape, generator)
    colours = _draw_colours(classes, generator)
    traits = uniform(0, 1, (*shape, TRAITS), generator)
    if config.variety is not None:
        low, high = config.variety.reflectivity
        reflectivity = uniform(low, high, shape, generator)
    solids = _draw_solids(config, classes, size, generator)
    return Objects(classes, size, speed, colours, reflectivity, traits, solids)


def _varied_size(variety: Variety, classes: Tensor, normal: Tensor) -> Tensor:
    """Sizes [*S, 3] in m of `classes` [*S], by normal numbers [*S, 3]."""
    mean = torch.tensor([size for size, _ in variety.sizes], device=classes.device)[classes]
    spread = torch.tensor([spread for _, spread in variety.sizes], device=classes.device)[classes]
    size = mean + spread * normal
    # Of the second normal number the lowest tail sits: whom it makes slim is nobody else.
    sits = (classes == PEDESTRIAN) & (torch.special.ndtr(normal[..., 1]) < variety.sitting)
    return torch.where(sits[..., None], size.new_tensor((0.85, 0.6, variety.sitting_height)), size)


def _draw_solids(config: WorldConfig, classes: Tensor, size: Tensor, generator: torch.Generator) -> Tensor:
    """What they are made of, [*S, L, SOLID]; the plain world draws nothing."""
    if config.variety is None:
        return plain_solids(classes)
    return varied_solids(classes, size, config.things, uniform(0, 1, (*classes.shape, 12), generator))


def draw_clutter(config: WorldConfig, shape: tuple[int, ...], generator: torch.Generator) -> Objects:
    """Poles, walls, bushes, bins and more: they stand still and are silent."""
    device = generator.device
    things = config.things
    share = torch.tensor([thing.share for thing in things], device=device)
    count = math.prod(shape)
    kind = (
        torch.multinomial(share, count, replacement=True, generator=generator)
        if count
        else torch.zeros(0, dtype=torch.long, device=device)
    ).reshape(shape)
    low = torch.tensor([thing.smallest for thing in things], device=device)[kind]
    high = torch.tensor([thing.largest for thing in things], device=device)[kind]
    shine = torch.tensor([thing.reflectivity for thing in things], device=device)[kind]
    green = torch.tensor([thing.green for thing in things], device=device)[kind][..., None, None]
    foliage = torch.tensor((0.5, 1.0, 0.35), device=device)
    bright = uniform(0.05, 0.6, (*shape, COLOURS, 1), generator)
    tint = 1 + 0.2 * (uniform(0, 1, (*shape, COLOURS, 3), generator) - 0.5)
    classes = kind + len(CLASSES)
    size = low + (high - low) * uniform(0, 1, (*shape, 3), generator)
    return Objects(
        classes=classes,
        size=size,
        speed=torch.zeros(shape, device=device),
        colours=bright * tint * (1 - green + green * 0.6 * foliage),
        reflectivity=shine[..., 0] + (shine[..., 1] - shine[..., 0]) * uniform(0, 1, shape, generator),
        traits=uniform(0, 1, (*shape, TRAITS), generator),
        solids=_draw_solids(config, classes, size, generator),
    )


def joined(first: Objects, second: Objects) -> Objects:
    """The slots of both, along the second axis."""
    pairs = {item.name: (getattr(first, item.name), getattr(second, item.name)) for item in fields(Objects)}
    return Objects(**{name: torch.cat(pair, dim=1) for name, pair in pairs.items()})


def _draw_colours(classes: Tensor, generator: torch.Generator) -> Tensor:
    """Linear albedos [*S, COLOURS, 3]: car paint is grey or saturated, clothes are any, bicycles dark."""
    shape = tuple(classes.shape)
    hue = uniform(0, 1, (*shape, 2, 1), generator)
    offsets = torch.tensor((0.0, 1 / 3, 2 / 3), device=classes.device)
    vivid = 0.5 + 0.5 * torch.cos(2 * math.pi * (hue - offsets))
    saturation = uniform(0, 1, (*shape, 2, 1), generator) ** 1.5
    bright = uniform(0.05, 0.8, (*shape, 2, 1), generator)
    colour = bright * (1 - saturation + saturation * vivid)
    lower, upper = colour[..., 0, :], colour[..., 1, :]
    car, cyclist = (classes == CAR)[..., None], (classes == CYCLIST)[..., None]
    glass = torch.tensor((0.05, 0.07, 0.09), device=classes.device).expand_as(lower)
    skin = torch.tensor((0.45, 0.3, 0.22), device=classes.device) * uniform(0.3, 1.2, (*shape, 1), generator)
    lower = torch.where(cyclist, lower * 0.4 + 0.03, torch.where(car, lower, lower * 0.45))
    upper = torch.where(cyclist, upper * 0.8 + 0.15, torch.where(car, lower, upper))
    third = torch.where(car, glass, skin)
    trim = torch.where(car, lower * 0 + 0.03, lower * 0.3)
    return torch.stack((lower, upper, third, trim), dim=-2)
