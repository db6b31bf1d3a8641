"""A continuous drive: the vehicle and the traffic around it, as one batch of scenes over time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.world.config import WorldConfig
from sentryfuse_core.lab.world.objects import PEDESTRIAN, Objects, draw_objects
from sentryfuse_core.lab.world.scene import ABSENT, Scene, draw_scenes

__all__ = ["STEPS_HZ", "drive"]

STEPS_HZ = 30  # a common multiple of camera and lidar rate
_DT = 1.0 / STEPS_HZ
_POOL = 128  # objects that take turns when one leaves and the next comes
_TURN_RATE = (0.5, 2.0, 1.0)  # rad/s, of each class
_INERTIA = (6.0, 1.0, 1.5)  # who gives way when two are too close
_CORRIDOR_M = 1.4  # half width of what the vehicle drives over

Array = NDArray[np.float64]


@dataclass
class _Ego:
    """The vehicle in the world frame; the last three are its motion over the step that ends now."""

    x: float
    y: float
    yaw: float
    speed: float = 0.0
    acceleration: float = 0.0
    yaw_rate: float = 0.0
    way: float = 0.0  # metres driven


class _Clutter:
    """Things that stand about; one that is left behind stands again somewhere ahead."""

    def __init__(self, first: Scene, slots: int, ego: _Ego, rng: np.random.Generator) -> None:
        self._rng = rng
        self.classes = first.classes[0, slots:].numpy()
        boxes = first.boxes[0, slots:].numpy().astype(np.float64)
        self.size = boxes[:, 3:6]
        self.radius = np.hypot(self.size[:, 0], self.size[:, 1]) / 2
        self.position = _to_world(boxes[:, :2], ego)
        self.yaw = boxes[:, 6] + ego.yaw

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which slots hold something, [C]."""
        present: NDArray[np.bool_] = self.classes != ABSENT
        return present

    def step(self, ego: _Ego) -> None:
        """Put what is far behind, or what the vehicle would run into, somewhere ahead."""
        x, y = _to_base(self.position, ego).T
        gone = (x < -8) | (np.abs(y) > 28) | (np.hypot(x, y) < _CORRIDOR_M + 1.2 + self.radius)
        for slot in np.flatnonzero(gone):
            y_ahead = self._rng.uniform(4, 18) * self._rng.choice((-1, 1))
            place = np.array([[self._rng.uniform(36, 46), y_ahead]])
            self.position[slot] = _to_world(place, ego)[0]

    def push(self, position: Array, radius: Array) -> Array:
        """How far each of `position` [M, 2] has to move, [M, 2], not to stand in these things."""
        between = position[:, None] - self.position[None, self.present]
        distance = np.linalg.norm(between, axis=-1) + 1e-6
        overlap = np.clip(0.3 - (distance - radius[:, None] - self.radius[self.present]), 0.0, 1.0)
        pushes: Array = (overlap[..., None] * between / distance[..., None]).sum(axis=1)
        return pushes


class _Traffic:
    """Objects that head for waypoints in front of the vehicle, keep apart, and come back when left behind."""

    def __init__(
        self, config: WorldConfig, first: Scene, pool: Objects, ego: _Ego, rng: np.random.Generator
    ) -> None:
        self._config = config
        self._rng = rng
        self._size = np.concatenate([first.boxes[0, :, 3:6].numpy(), pool.size.numpy()]).astype(np.float64)
        self._classes = np.concatenate([first.classes[0].numpy(), pool.classes.numpy()])
        self._cruise = np.concatenate([first.speed[0].numpy(), pool.speed.numpy()]).astype(np.float64)
        slots = first.classes.shape[1]
        self.identity = np.arange(slots)  # [M] who is in the slot: the first scene's objects, then the pool's
        self.present = self._classes[:slots] != ABSENT
        self.name = np.arange(slots)  # [M] of who is in the slot; other than the pool's numbers, used once
        self._next = slots
        base = first.boxes[0].numpy().astype(np.float64)
        self.position = _to_world(base[:, :2], ego)
        self.yaw = base[:, 6] + ego.yaw
        self.speed = self.cruise.copy()
        self.velocity = self.speed[:, None] * np.stack((np.cos(self.yaw), np.sin(self.yaw)), axis=-1)
        self._goal = np.zeros((slots, 2))
        self._goal_age = np.full(slots, np.inf)

    @property
    def classes(self) -> NDArray[np.int64]:
        """Class of each slot, [M]."""
        return np.where(self.present, self._classes[self.identity], ABSENT)

    @property
    def size(self) -> Array:
        """Length, width, height of each slot's object, [M, 3]."""
        return self._size[self.identity]

    @property
    def cruise(self) -> Array:
        """Speed each would like to have, [M]."""
        return self._cruise[self.identity]

    @property
    def radius(self) -> Array:
        """Radius of a circle around each footprint, [M]."""
        return np.hypot(self.size[:, 0], self.size[:, 1]) / 2

    def step(self, ego: _Ego, clutter: _Clutter) -> None:
        """Move everything on by one step."""
        relative = _to_base(self.position, ego)
        self._choose_goals(relative, ego)
        kind = np.maximum(self.classes, 0)
        wanted = np.arctan2(*(self._goal - self.position).T[::-1])
        target = self.cruise.copy()

        # Who drives into the vehicle's way leaves it sideways, also when it was standing.
        in_way = (
            (relative[:, 0] > 0) & (relative[:, 0] < 9) & (np.abs(relative[:, 1]) < _CORRIDOR_M + self.radius)
        )
        aside = ego.yaw + np.where(relative[:, 1] >= 0, 1, -1) * math.pi / 2.5
        wanted = np.where(in_way, aside, wanted)
        target = np.where(in_way, np.maximum(target, 1.0), target)

        between = self.position[None] - self.position[:, None]  # [M, M, 2] from the first to the second
        distance = np.linalg.norm(between, axis=-1) + 1e-6
        gap = distance - self.radius[:, None] - self.radius[None]
        gap[~(self.present[:, None] & self.present[None]) | np.eye(len(gap), dtype=bool)] = np.inf
        heading = np.stack((np.cos(self.yaw), np.sin(self.yaw)), axis=-1)
        ahead = np.einsum("mnd,md->mn", between, heading) / distance
        side = heading[:, None, 0] * between[..., 1] - heading[:, None, 1] * between[..., 0]
        near = np.clip(1 - gap / 3.0, 0.0, 1.0) * (ahead > 0.3)
        target = target * (1 - 0.9 * near.max(axis=1))
        turn = np.clip(2.0 * _wrap(wanted - self.yaw), -1, 1) - (near * np.sign(side)).sum(axis=1)
        self.yaw = self.yaw + np.clip(turn, -1, 1) * np.array(_TURN_RATE)[kind] * _DT * np.where(
            target > 0, 1, 0
        )
        self.speed += np.clip(target - self.speed, -4 * _DT, 1.5 * _DT)

        # Closer than it should be: the lighter of the two is pushed away, slowly.
        weight = 1 / np.array(_INERTIA)[kind]
        share = weight[:, None] / (weight[:, None] + weight[None])
        push = np.clip(0.3 - gap, 0.0, 1.5)[..., None] * between / distance[..., None] * share[..., None]
        move = self.speed[:, None] * heading - 4.0 * push.sum(axis=1)
        to_ego = np.hypot(relative[:, 0], relative[:, 1])
        too_near = np.clip(self._config.keep_out + self.radius - to_ego, 0.0, 1.0)
        move += 4.0 * too_near[:, None] * (self.position - (ego.x, ego.y)) / (to_ego[:, None] + 1e-6)
        move += 3.0 * clutter.push(self.position, self.radius)
        self.velocity = move
        self.position = self.position + move * _DT

    def _choose_goals(self, relative: Array, ego: _Ego) -> None:
        """New waypoints for those who arrived or fell behind, new places for those out of sight."""
        gone = (relative[:, 0] < -8) | (relative[:, 0] > 50) | (np.abs(relative[:, 1]) > 26)
        for slot in np.flatnonzero(gone & self.present):
            self._bring_back(int(slot), ego)
        self._goal_age += _DT
        goal = _to_base(self._goal, ego)
        arrived = np.hypot(*(self._goal - self.position).T) < 3.0
        for slot in np.flatnonzero(gone | arrived | (goal[:, 0] < 3) | (self._goal_age > 12)):
            x = self._rng.uniform(8, 30) + 3.0 * ego.speed
            self._goal[slot] = _to_world(np.array([[x, self._rng.uniform(-13, 13)]]), ego)[0]
            self._goal_age[slot] = 0.0

    def _bring_back(self, slot: int, ego: _Ego) -> None:
        """Put the next object of the pool far ahead, or beside the vehicle outside the camera's view."""
        self.identity[slot] = self._next
        self.name[slot] = self.name.max() + 1
        self._next += 1
        if self._next == len(self._classes):
            self._next = len(self.identity)
        others = self.present.copy()
        others[slot] = False
        kind = self._classes[self.identity[slot]]
        for _ in range(20):
            if self._rng.random() < (0.25 if kind == PEDESTRIAN else 0.6):
                place = np.array([[self._rng.uniform(41, 46), self._rng.uniform(-14, 14)]])
            else:
                x = self._rng.uniform(2, 16)
                place = np.array([[x, self._rng.choice((-1, 1)) * (x + self._rng.uniform(4, 6))]])
            self.position[slot] = _to_world(place, ego)[0]
            clear = np.linalg.norm(self.position[others] - self.position[slot], axis=-1) - self.radius[others]
            if not len(clear) or clear.min() > self.radius[slot] + 1:
                break
        self._cruise[self.identity[slot]] = max(self._cruise[self.identity[slot]], 0.7)  # it has to arrive
        self.yaw[slot] = ego.yaw + math.atan2(-place[0, 1], 15 - place[0, 0])
        self.speed[slot] = self.cruise[slot]


def _to_base(points: Array, ego: _Ego) -> Array:
    """Points [N, 2] of the world frame in the base frame."""
    return _turned(points - (ego.x, ego.y), ego)


def _turned(vectors: Array, ego: _Ego) -> Array:
    """Vectors [N, 2] along the axes of the world frame, along those of the base frame."""
    x, y = vectors.T
    cos, sin = math.cos(ego.yaw), math.sin(ego.yaw)
    return np.stack((x * cos + y * sin, y * cos - x * sin), axis=-1)


def _to_world(points: Array, ego: _Ego) -> Array:
    """Points [N, 2] of the base frame in the world frame."""
    cos, sin = math.cos(ego.yaw), math.sin(ego.yaw)
    return np.stack(
        (ego.x + points[:, 0] * cos - points[:, 1] * sin, ego.y + points[:, 0] * sin + points[:, 1] * cos),
        axis=-1,
    )


def _wrap(angle: Array) -> Array:
    """Angles in -pi .. pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _advance(ego: _Ego, traffic: _Traffic, config: WorldConfig, time_s: float, waves: Array) -> None:
    """One step of the vehicle: slowly changing speed and yaw rate, and brakes for what stands in its way."""
    slow, fast = np.sin(waves[:, 0] * time_s + waves[:, 1]), np.sin(waves[:, 2] * time_s + waves[:, 3])
    low, high = config.ego_speed
    wish = low + (high - low) * float(np.clip(0.42 + 0.38 * slow[0] + 0.2 * fast[0], 0.0, 1.0))
    relative = _to_base(traffic.position, ego)
    in_way = (relative[:, 0] > 0) & (np.abs(relative[:, 1]) < _CORRIDOR_M + traffic.radius) & traffic.present
    free = np.where(in_way, relative[:, 0] - traffic.radius - config.keep_out - 1.0, np.inf).min(
        initial=np.inf
    )
    wish = min(wish, max(0.0, 0.7 * float(free)))
    acceleration = float(np.clip(1.5 * (wish - ego.speed), -3.5, 1.2))
    ego.acceleration += float(np.clip(acceleration - ego.acceleration, -10 * _DT, 10 * _DT))
    before = ego.speed
    ego.speed = max(0.0, before + ego.acceleration * _DT)
    ego.acceleration = (ego.speed - before) / _DT
    turn = config.ego_yaw_rate * (0.6 * float(slow[1]) + 0.4 * float(fast[1])) * min(ego.speed / 2.0, 1.0)
    rate_before, ego.yaw_rate = ego.yaw_rate, turn
    middle_speed, middle_rate = (before + ego.speed) / 2, (rate_before + turn) / 2
    middle_yaw = ego.yaw + middle_rate * _DT / 2
    ego.x += middle_speed * math.cos(middle_yaw) * _DT
    ego.y += middle_speed * math.sin(middle_yaw) * _DT
    ego.yaw += middle_rate * _DT
    ego.way += middle_speed * _DT


def drive(config: WorldConfig, *, seed: int, seconds: float, light: float | None = None) -> Scene:
    """Scenes at STEPS_HZ from 0 s to `seconds` inclusive; `light` 0 = night, 1 = noon, None: by seed.

    Raises ConfigError for a world of streets: its moments stand alone.
    """
    if config.variety is not None:
        raise ConfigError(f"world version {config.version} has no drives, only moments; drive in world_v2()")
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    everything = draw_scenes(config, batch=1, generator=generator)
    first = everything.slots(config.objects[1])
    pool = draw_objects(config, (_POOL,), generator)
    ego = _Ego(x=0.0, y=0.0, yaw=float(first.ego[0, 2]), speed=float(first.ego_motion[0, 0]))
    ego.way = float(first.way[0])
    # Angular frequencies (rad/s) and phases of the two waves that speed (first row) and yaw rate follow.
    waves = rng.uniform((0.2, 0, 0.5, 0), (0.4, 6.28, 0.9, 6.28), (2, 4))
    traffic = _Traffic(config, first, pool, ego, rng)
    clutter = _Clutter(everything, config.objects[1], ego, rng)

    steps = round(seconds * STEPS_HZ) + 1
    boxes, classes, speeds, identities, egos, motions, ways = [], [], [], [], [], [], []
    names, velocities = [], []
    for index in range(steps):
        if index:
            _advance(ego, traffic, config, index * _DT, waves)
            traffic.step(ego, clutter)
            clutter.step(ego)
        xy = _to_base(np.concatenate((traffic.position, clutter.position)), ego)
        yaw = _wrap(np.concatenate((traffic.yaw, clutter.yaw)) - ego.yaw)
        size = np.concatenate((traffic.size, clutter.size))
        boxes.append(np.concatenate((xy, size[:, 2:] / 2, size, yaw[:, None]), axis=-1))
        classes.append(np.concatenate((traffic.classes, clutter.classes)))
        speeds.append(np.concatenate((traffic.speed, np.zeros(len(clutter.size)))))
        ways.append(ego.way)
        identities.append(traffic.identity.copy())
        names.append(np.concatenate((traffic.name, np.full(len(clutter.size), ABSENT))))
        velocities.append(np.concatenate((_turned(traffic.velocity, ego), np.zeros((len(clutter.size), 2)))))
        egos.append((ego.x, ego.y, ego.yaw))
        motions.append((ego.speed, ego.acceleration, ego.yaw_rate))

    who = torch.from_numpy(np.stack(identities))

    def of(name: str) -> torch.Tensor:
        """What traffic and clutter have of this, slots of traffic first, [steps, M, ...]."""
        moving = torch.cat((getattr(first, name)[0], getattr(pool, name)))[who]
        standing = getattr(everything, name)[:, config.objects[1] :]
        return torch.cat((moving, standing.expand(steps, *standing.shape[1:])), dim=1)

    always = {
        name: getattr(first, name).expand(steps, *getattr(first, name).shape[1:])
        for name in (
            "light",
            "sun_azimuth",
            "look",
            "rain_mm_h",
            "fog",
            "rough",
            "bumps",
            "texture",
            "sky",
            "course",
        )
    }
    if light is not None:
        always["light"] = torch.full((steps,), light)
    return replace(
        first,
        boxes=torch.from_numpy(np.stack(boxes)).float(),
        classes=torch.from_numpy(np.stack(classes)),
        speed=torch.from_numpy(np.stack(speeds)).float(),
        velocity=torch.from_numpy(np.stack(velocities)).float(),
        identity=torch.from_numpy(np.stack(names)),
        colours=of("colours"),
        reflectivity=of("reflectivity"),
        traits=of("traits"),
        solids=of("solids"),
        ground=first.ground.expand(steps),
        way=torch.tensor(ways),
        ego=torch.tensor(egos),
        ego_motion=torch.tensor(motions),
        **always,
    )
