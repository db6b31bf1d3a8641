"""Where each sensor sits: as transforms say where they know its frame, else as the parameters do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sentryfuse_core.config.sensors import is_unplaced
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import Modality, Pose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentryfuse_core.config import Config, SensorConfig
    from sentryfuse_core.types import Sample

__all__ = [
    "PARAMETERS",
    "Found",
    "Placement",
    "Placer",
    "Transforms",
    "difference",
    "given_pose",
    "looks_up",
    "parameter_pose",
    "slash_mistake",
    "stand_in",
]

PARAMETERS = "parameters"
_IDENTITY = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
_REMEDY = "publish the transform, or set output.extrinsics: parameters"
_AGED_S = 1.0  # a transform is told to be old, however still the mount stands
_OFF_RAD, _OFF_M = 0.01, 0.05  # up to this a moving mount's error is not told: 0.01 rad are 0.1 m at 10 m
_UP = 0.9
_LONGEST = 600  # characters: a frame's name can be of any length
_STILL = 1e-3  # rad and m together
_STEPS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Found(NamedTuple):
    """What transforms say of a frame; `pose` None: they do not know it, and `problem` says why."""

    pose: Pose | None
    chain: str = ""  # the frames from the base to the sensor, and where they are from
    problem: str = ""  # with a pose: in what it may be off


class Transforms(Protocol):
    """Poses by frame and time: tf2 on the robot, a recording's /tf_static and /tf in a replay."""

    def find(self, frame_id: str, *, stamp_ns: int) -> Found:
        """The pose of `frame_id` in the base frame at `stamp_ns`."""
        ...


@dataclass(frozen=True)
class Placement:
    """Where a sensor was put last, by what, and what is wrong with that; the text stays while it holds."""

    pose: Pose | None = None
    source: str = ""  # empty until its first set
    problem: str = ""

    @property
    def told(self) -> bool:
        """Whether the problem is one of a pose that is used; one without a pose is the sensor's error."""
        return bool(self.problem) and self.pose is not None


class Placer:
    """Places samples; one thread at a time, while others may read `placements`."""

    def __init__(self, config: Config) -> None:
        self.transforms: Transforms | None = None  # None: the parameters alone
        self.placements: dict[str, Placement] = {name: Placement() for name in config.sensors}
        self._config = config
        self._given: dict[str, Pose | None] = {name: given_pose(config, name) for name in config.sensors}
        self._frames: dict[str, str] = {}

    def give(self, name: str, pose: Pose | None) -> None:
        """Use this pose of a sensor instead of the parameters' where no transform is known; None: none is."""
        self._given[name] = pose

    def pose(self, sample: Sample) -> Pose:
        """Where the sensor was at the sample's stamp; InvalidMessageError `no_pose` where nothing says."""
        placed = self.placements[sample.sensor] = self._place(sample)
        if placed.pose is None:
            raise InvalidMessageError("no_pose", placed.problem)
        return placed.pose

    def mount(self, frame_id: str, stamp_ns: int) -> Pose | None:
        """Where a frame is in the base frame; None where nothing says."""
        if frame_id == self._config.output.base_frame:
            return _IDENTITY
        found = self.transforms.find(frame_id, stamp_ns=stamp_ns) if self.transforms and frame_id else None
        return None if found is None else found.pose

    def notes(self, sensors: Iterable[str]) -> tuple[str, ...]:
        """What a reader of detections made from these sensors must know of their poses."""
        placed = ((name, self.placements[name]) for name in sensors)
        return tuple(f"{name} {item.problem}" for name, item in placed if item.told)

    def _place(self, sample: Sample) -> Placement:
        name, base = sample.sensor, self._config.output.base_frame
        frame_id, given = sample.frame_id, self._given[name]
        unnamed = f"its messages name no frame, set {name}.frame_id"
        if self.transforms is None:
            where = "" if given is not None else f"no transform from frame {frame_id!r} to {base!r}"
            where += "" if given is not None else f": set {name}.translation_m and {name}.quaternion_xyzw"
            return Placement(given, PARAMETERS, where if frame_id or given else f"{where}: {unnamed}")
        before, self._frames[name] = self._frames.get(name, frame_id), frame_id
        told = [] if before == frame_id else [f"changed its frame from {before!r} to {frame_id!r}"]
        told += [] if not frame_id.startswith("/") else [slash_mistake(frame_id, name)]
        found = self.transforms.find(frame_id.lstrip("/"), stamp_ns=sample.stamp_ns) if frame_id else None
        if found is not None and found.pose is not None:
            told += [found.problem] if found.problem else []
            if sample.modality is Modality.CAMERA and looks_up(found.pose):
                told.append(
                    f"looks straight up: {frame_id!r} may be the frame of its body, not the optical one "
                    f"(z forward); name that in {name}.frame_id"
                )
            return Placement(found.pose, found.chain, _joined(told))
        why = unnamed if found is None else f"{found.problem}; {_REMEDY}"
        if given is None:
            return Placement(None, "", f"no transform from frame {frame_id!r} to {base!r}: {why}")
        return Placement(given, PARAMETERS, _joined([f"is placed by {self._parameters(name)}: {why}", *told]))

    def _parameters(self, name: str) -> str:
        """The parameters that place a sensor, and whether anybody set them."""
        section = self._config.sensor(name)
        default = parameter_pose(type(section)())
        unset = "" if parameter_pose(section) != default else ", which are at their defaults"
        return f"the parameters {name}.translation_m and {name}.quaternion_xyzw{unset}"


def _joined(told: list[str]) -> str:
    return "; ".join(told)[:_LONGEST]


def looks_up(pose: Pose) -> bool:
    """Whether the z axis, which is where an optical frame looks, points to the sky."""
    x, y, _, _ = pose.quaternion
    return 1.0 - 2.0 * (x * x + y * y) > _UP


def given_pose(config: Config, name: str) -> Pose | None:
    """The pose that the parameters give a sensor; None where they leave a named one without."""
    section = config.sensor(name)
    kind = config.kind_of(name)
    needs = kind in (Modality.CAMERA, Modality.LIDAR) and name != kind.value
    return (
        None
        if needs and is_unplaced(section) and config.output.extrinsics == "auto"
        else parameter_pose(section)
    )


def parameter_pose(section: SensorConfig) -> Pose:
    """The pose that the parameters of a sensor give."""
    return Pose(section.translation_m, section.quaternion_xyzw)


def slash_mistake(frame_id: str, name: str) -> str:
    """What is wrong with a frame such as '/lidar', and the remedy."""
    right = frame_id.lstrip("/")
    return (
        f"names the frame {frame_id!r} with a leading slash, a habit of ROS 1 that tf2 refuses: "
        f"taken as {right!r}; let the driver write that, or set {name}.frame_id"
    )


def stand_in(apart_s: float, pose: Pose, beside: Pose | None, *, beside_s: float) -> str:
    """What to tell of a pose that was valid `apart_s` away from the sample's stamp; empty where it may do.

    `beside` is the pose `beside_s` earlier or later: a mount that stands still may be told about seldom,
    one that moves may not. Steps instead of the time itself, so that the same words stay while it holds.
    """
    turned_rad, moved_m = (0.0, 0.0) if beside is None else difference(pose, beside)
    off_rad, off_m = (step / beside_s * apart_s for step in (turned_rad, moved_m))
    if apart_s <= _AGED_S and off_rad <= _OFF_RAD and off_m <= _OFF_M:
        return ""
    bound_s = max((step for step in _STEPS_S if step < apart_s), default=0.0)
    mount = "a mount that moves" if turned_rad + moved_m > _STILL else "its mount"
    return (
        f"is placed by a transform more than {bound_s:g} s away from its stamp: {mount} may be elsewhere; "
        "check what publishes its /tf"
    )


def difference(pose: Pose, other: Pose) -> tuple[float, float]:
    """Angle in rad and distance in m between two poses."""
    cosine = abs(sum(a * b for a, b in zip(pose.quaternion, other.quaternion, strict=True)))
    return 2.0 * math.acos(min(cosine, 1.0)), math.dist(pose.translation, other.translation)
