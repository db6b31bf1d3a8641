"""What is where at one moment: a batch of scenes, drawn independently, with the parts objects are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from sentryfuse_core.lab.world.config import LidarModel, WorldConfig
from sentryfuse_core.lab.world.ground import Ground, draw_ground, flat_ground
from sentryfuse_core.lab.world.objects import (
    CAR,
    Objects,
    draw_clutter,
    draw_objects,
    joined,
    uniform,
)
from sentryfuse_core.lab.world.shapes import SOLID
from sentryfuse_core.lab.world.street import place
from sentryfuse_core.lab.world.variety import Variety

__all__ = ["ABSENT", "WAVES", "Parts", "Scene", "attitude", "draw_scenes", "outlines_of", "parts_of"]

ABSENT = -1  # class of an empty slot
WAVES = 3  # numbers of a wave of the ground: amplitude (rad), wave number (rad/m), phase (rad)


@dataclass(frozen=True, eq=False)
class Scene:
    """B moments with M object slots; all coordinates in the vehicle's base frame."""

    boxes: Tensor  # [B, M, 7] centre x, y, z, length, width, height (m), yaw (rad)
    classes: Tensor  # [B, M] int64, ABSENT in empty slots
    speed: Tensor  # [B, M] m/s over ground
    velocity: Tensor  # [B, M, 2] m/s over ground along x and y
    identity: Tensor  # [B, M] int64, the same for one object throughout a drive; ABSENT for its clutter
    colours: Tensor  # [B, M, objects.COLOURS, 3] linear albedo 0..1
    reflectivity: Tensor  # [B, M] 0..1
    traits: Tensor  # [B, M, objects.TRAITS] 0..1
    solids: Tensor  # [B, M, L, SOLID] the boxes each is made of
    light: Tensor  # [B] 0 = night, 1 = noon
    sun_azimuth: Tensor  # [B] rad in the world frame
    look: Tensor  # [B, 4] 0..1: ground brightness, ground tint, skyline, roughness
    ego: Tensor  # [B, 3] vehicle in the world frame: x, y (m), yaw (rad)
    ego_motion: Tensor  # [B, 3] speed (m/s), acceleration (m/s^2), yaw rate (rad/s)
    rain_mm_h: Tensor  # [B] 0 = dry
    fog: Tensor  # [B] extinction per metre, 0 = clear
    rough: Tensor  # [B] 0 = smooth ground, 1 = the roughest
    bumps: Tensor  # [B, 2, waves, WAVES] of roll and pitch
    way: Tensor  # [B] metres driven, where on the bumps the vehicle is
    texture: Tensor  # [B] int64, seed of the ground's pattern
    sky: Tensor  # [B] how bright the sky is, of that of its light
    course: Tensor  # [B] rad, which way the vehicle moves, in its base frame
    ground: Ground  # its shape and how it reflects

    def __len__(self) -> int:
        return int(self.boxes.shape[0])

    @property
    def tilt(self) -> Tensor:
        """Roll and pitch of the vehicle in rad, [B, 2]; see `attitude`."""
        return attitude(self.bumps, self.way)[0]

    @property
    def extinction(self) -> Tensor:
        """Of light in the air, per metre, by rain and fog, [B]."""
        return 0.01 * self.rain_mm_h**0.6 + self.fog

    def slots(self, stop: int) -> Scene:
        """The same with the first `stop` slots only."""
        slotted = (
            *("boxes", "classes", "speed", "velocity", "identity"),
            *("colours", "reflectivity", "traits", "solids"),
        )
        return replace(self, **{name: getattr(self, name)[:, :stop] for name in slotted})

    def at(self, index: slice | Tensor) -> Scene:
        """The scenes of the batch that `index` selects."""
        names = [item.name for item in fields(self) if item.name != "ground"]
        return Scene(ground=self.ground.at(index), **{name: getattr(self, name)[index] for name in names})


def attitude(bumps: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    """Roll and pitch (rad) on bumps [B, 2, W, WAVES] after `way` [B] m, and their slopes (rad/m): [B, 2].

    Rotations about the forward and the left axis: positive roll lowers the right side, positive pitch the
    nose.
    """
    amplitude, number, phase = bumps.unbind(-1)
    angle = number * way[:, None, None] + phase
    return (amplitude * angle.sin()).sum(-1), (amplitude * number * angle.cos()).sum(-1)


@dataclass(frozen=True, eq=False)
class Parts:
    """K solid boxes in a flat list, some for each object."""

    scene: Tensor  # [K] index into the batch
    slot: Tensor  # [K] index of the object
    level: Tensor  # [K] 0 body, legs or bicycle; 1 cabin or torso; 2 glass or head; 3 trim
    centre: Tensor  # [K, 3]
    half: Tensor  # [K, 3] half length, width, height
    cos: Tensor  # [K] of the yaw
    sin: Tensor  # [K]
    clear: Tensor  # [K] share of the lidar's rays that pass
    shine: Tensor  # [K] factor on the object's reflectivity


_TRIES = 12  # places that an object is tried at


def parts_of(scene: Scene) -> Parts:
    """The solids of all objects; empty slots give none."""
    index, slot = torch.nonzero(scene.classes != ABSENT, as_tuple=True)
    solids = scene.solids[index, slot]  # [O, L, SOLID]
    owner, number = torch.nonzero(solids[..., 5] > solids[..., 4], as_tuple=True)
    index, slot = index[owner], slot[owner]
    forward, left, length, width, bottom, top, clear, level, shine = solids[owner, number].unbind(-1)
    x, y, z, whole_length, whole_width, height, yaw = scene.boxes[index, slot].unbind(-1)
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    forward, left = forward * whole_length, left * whole_width
    middle = z + ((bottom + top) / 2 - 0.5) * height
    return Parts(
        scene=index,
        slot=slot,
        level=level.long(),
        centre=torch.stack((x + forward * cos - left * sin, y + forward * sin + left * cos, middle), dim=-1),
        half=torch.stack((length * whole_length, width * whole_width, (top - bottom) * height), dim=-1) / 2,
        cos=cos,
        sin=sin,
        clear=clear,
        shine=shine,
    )


def outlines_of(scene: Scene) -> Parts:
    """One box around each object: what its shadow is drawn from where it has many solids."""
    whole = torch.tensor((0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0), device=scene.boxes.device)
    return parts_of(replace(scene, solids=whole.expand(*scene.classes.shape, 1, SOLID)))


def draw_scenes(config: WorldConfig, *, batch: int, generator: torch.Generator) -> Scene:
    """`batch` independent moments; objects do not overlap each other or the vehicle."""
    movers, things = config.objects[1], config.clutter[1]
    objects = joined(
        draw_objects(config, (batch, movers), generator), draw_clutter(config, (batch, things), generator)
    )
    if config.variety is None:
        xy, placed = _place(config, objects.size, generator)
    present = torch.cat(
        [
            torch.arange(most, device=generator.device)
            < torch.randint(least, most + 1, (batch, 1), generator=generator, device=generator.device)
            for least, most in (config.objects, config.clutter)
        ],
        dim=1,
    )
    yaw = uniform(-math.pi, math.pi, (batch, movers + things), generator)
    if config.variety is None:
        shine = LidarModel().ground_reflectivity
        ground = flat_ground(torch.full((batch,), shine, device=generator.device))
        course = torch.zeros(batch, device=generator.device)
    else:
        objects, present = _with_parked(config, config.variety, objects, present, generator)
        course = _draw_course(config.variety, batch, generator)
        ground = draw_ground(config.variety, course=course, generator=generator)
        draw = uniform(0, 1, (*present.shape, 10), generator)
        xy, yaw, placed = place(
            config, objects.classes, objects.size, present, ground, course=course, draw=draw
        )
    shape = tuple(present.shape)
    present &= placed
    boxes = torch.cat((xy, objects.size[..., 2:] / 2, objects.size, yaw[..., None]), dim=-1)
    boxes[..., 2] += ground.lift(xy[..., 0], xy[..., 1])
    pose = uniform(-1, 1, (batch, 3), generator) * torch.tensor(
        (500.0, 500.0, math.pi), device=generator.device
    )
    motion = uniform(0, 1, (batch, 3), generator)
    speed = config.ego_speed[0] + (config.ego_speed[1] - config.ego_speed[0]) * motion[:, 0]
    speed = torch.where(motion[:, 1] < 0.15, torch.zeros_like(speed), speed)
    moves = (speed > 0).float()
    acceleration = moves * (motion[:, 1] * 2 - 1)
    yaw_rate = moves * config.ego_yaw_rate * (motion[:, 2] * 2 - 1)
    scene = Scene(
        boxes=boxes,
        classes=torch.where(present, objects.classes, torch.full_like(objects.classes, ABSENT)),
        speed=objects.speed,
        velocity=objects.speed[..., None] * torch.stack((yaw.cos(), yaw.sin()), dim=-1),
        identity=torch.arange(shape[1], device=generator.device).expand(shape),
        colours=objects.colours,
        reflectivity=objects.reflectivity,
        traits=objects.traits,
        solids=objects.solids,
        ground=ground,
        course=course,
        sky=torch.ones(batch, device=generator.device),
        light=uniform(0, 1, (batch,), generator),
        sun_azimuth=uniform(-math.pi, math.pi, (batch,), generator),
        look=uniform(0, 1, (batch, 4), generator),
        ego=pose,
        ego_motion=torch.stack((speed, acceleration, yaw_rate), dim=-1),
        way=uniform(0, 1000, (batch,), generator),
        texture=torch.tensor(config.textures, device=generator.device)[
            torch.randint(len(config.textures), (batch,), generator=generator, device=generator.device)
        ],
        **_draw_weather(config, batch, generator),
        **_draw_ground(config, batch, generator),
    )
    return scene if config.variety is None else _with_varied_light(config.variety, scene, generator)


def _draw_course(variety: Variety, batch: int, generator: torch.Generator) -> Tensor:
    """Which way the vehicle moves [B]: ahead, or any way where the region is that of its side or rear."""
    kind, turn = uniform(0, 1, (2, batch), generator)
    return torch.where(kind < variety.turned, (2 * turn - 1) * math.pi, torch.zeros_like(turn))


def _with_varied_light(variety: Variety, scene: Scene, generator: torch.Generator) -> Scene:
    """More days than nights, and skies from dull to blinding."""
    day, light, sky = uniform(0, 1, (3, len(scene)), generator)
    low, high = variety.sky
    light = torch.where(day < variety.days, 0.6 + 0.4 * light, scene.light)
    return replace(scene, light=light, sky=low * (high / low) ** sky)


def _with_parked(
    config: WorldConfig, variety: Variety, objects: Objects, present: Tensor, generator: torch.Generator
) -> tuple[Objects, Tensor]:
    """The same with slots of parked cars between those of who moves and of clutter, and who is there."""
    batch, movers = len(present), config.objects[1]
    cars = draw_objects(config, (batch, variety.parked), generator, only=CAR)
    cars = replace(cars, speed=torch.zeros_like(cars.speed))
    u = uniform(0, 1, (batch, 3), generator)
    half = (torch.arange(variety.parked, device=present.device) < (variety.parked + 1) // 2)[None]
    # Rows on both sides, on one, or none, with more or fewer holes.
    row = torch.where(half, u[:, :1], u[:, 1:2]) < variety.row
    full = uniform(0, 1, (batch, variety.parked), generator) < 0.4 + 0.6 * u[:, 2:]
    parts = [
        Objects(**{item.name: getattr(objects, item.name)[:, own] for item in fields(Objects)})
        for own in (slice(movers), slice(movers, None))
    ]
    there = torch.cat((present[:, :movers], row & full, present[:, movers:]), dim=1)
    return joined(joined(parts[0], cars), parts[1]), there


def _draw_weather(config: WorldConfig, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Rain in mm/h and fog's extinction per metre of each scene, [B]; never both."""
    model = config.weather
    chance, rain, fog = uniform(0, 1, (3, batch), generator)
    low, high = model.rain_mm_h
    near, far = model.fog_range_m
    rainy = chance < model.rain_share
    foggy = ~rainy & (chance < model.rain_share + model.fog_share)
    nothing = torch.zeros_like(rain)
    return {
        "rain_mm_h": torch.where(rainy, low * (high / low) ** rain, nothing),
        "fog": torch.where(foggy, 3 / (near * (far / near) ** fog), nothing),
    }


def _draw_ground(config: WorldConfig, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Roughness [B] and the bumps that go with it, [B, 2, waves, WAVES]."""
    model, device = config.terrain, generator.device
    rough = uniform(0, 1, (batch,), generator)
    rough = ((rough - model.smooth_share) / (1 - model.smooth_share)).clamp_min(0.0)
    draw = uniform(0, 1, (batch, 2, model.waves, WAVES), generator)
    deviation = torch.deg2rad(torch.tensor((model.roll_deg, model.pitch_deg), device=device))
    near, far = model.wavelength_m
    amplitude = deviation[:, None] * (2 / model.waves) ** 0.5 * rough[:, None, None] * (0.5 + draw[..., 0])
    number = 2 * math.pi / (near * (far / near) ** draw[..., 1])
    return {
        "rough": rough,
        "bumps": torch.stack((amplitude, number, 2 * math.pi * draw[..., 2]), dim=-1),
    }


def _place(config: WorldConfig, size: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Centres [B, M, 2] of separate circles around footprints of `size` [B, M, 3]; and who found a place."""
    batch, slots = size.shape[:2]
    device = size.device
    radius = torch.hypot(size[..., 0], size[..., 1]) / 2
    u = uniform(0, 1, (batch, slots, _TRIES, 3), generator)
    wide = u[..., 2] > 0.85
    x0, x1 = config.region_x
    y0, y1 = config.region_y
    x = torch.where(wide, -8 + u[..., 0] * 50, x0 + u[..., 0] * (x1 - x0))
    y = torch.where(wide, (u[..., 1] * 2 - 1) * 24, y0 + u[..., 1] * (y1 - y0))
    candidates = torch.stack((x, y), dim=-1)  # [B, M, T, 2]
    centres = torch.zeros((batch, slots, 2), device=device)
    placed = torch.zeros((batch, slots), dtype=torch.bool, device=device)
    for slot in range(slots):
        option = candidates[:, slot]  # [B, T, 2]
        ok = option.norm(dim=-1) > config.keep_out + radius[:, slot, None]
        if slot:
            gap = (option[:, :, None] - centres[:, None, :slot]).norm(dim=-1)
            gap = gap - radius[:, None, :slot] - radius[:, slot, None, None] - 0.3
            ok &= ((gap > 0) | ~placed[:, None, :slot]).all(dim=-1)
        first = ok.int().argmax(dim=-1)
        centres[:, slot] = option[torch.arange(batch, device=device), first]
        placed[:, slot] = ok.any(dim=-1)
    return centres, placed
