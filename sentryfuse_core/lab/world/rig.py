"""The sensors that record a drive: where they sit, what they are called, and how cameras see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from sentryfuse_core.config import CameraConfig, Config
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.world.camera import View
from sentryfuse_core.lab.world.config import WorldConfig
from sentryfuse_core.rotation import Rotation, pose_rotation
from sentryfuse_core.types import Modality, Pose

__all__ = ["Camera", "Mounted", "absolute", "cameras_of", "frame_of", "imus_of", "lidars_of"]

_LEVEL = 1e-3  # of the axes of a camera: the world draws level pictures
_CENTRE = 0.5  # of the first pixel in a View; messages and parameters put it at 0, as OpenCV does
_USUAL = {Modality.AUDIO: "microphones"}  # frames that are not called like their sensor


@dataclass(frozen=True)
class Mounted:
    """A sensor of the rig; topics are absolute."""

    name: str
    topic: str
    frame: str
    position_m: tuple[float, float, float]
    rotation: Rotation  # of its frame to the base frame


@dataclass(frozen=True)
class Camera(Mounted):
    """A camera that looks level along `yaw_rad`."""

    info_topic: str
    yaw_rad: float
    view: View

    @property
    def principal_point(self) -> tuple[float, float]:
        """Column and row that look along the axis, as CameraInfo counts them."""
        return self.view.cx - _CENTRE, self.view.cy - _CENTRE


def cameras_of(rig: Config, world: WorldConfig) -> tuple[Camera, ...]:
    """The cameras of a rig; ConfigError for one that does not look level or has no square pixels.

    One that is called like its kind, and has the default intrinsics, is the world's own.
    """
    found = []
    for name in rig.of_kind(Modality.CAMERA):
        section = cast("CameraConfig", rig.sensor(name))
        at = _mounted(rig, name)
        right, down, forward = at.rotation.T
        if abs(forward[2]) > _LEVEL or abs(right[2]) > _LEVEL or down[2] > 0.0:
            raise ConfigError(
                f"{name}.quaternion_xyzw: the world's cameras look level; turn it about z alone"
            )
        view = _view(name, section, world)
        yaw = math.atan2(forward[1], forward[0])
        found.append(Camera(**vars(at), info_topic=absolute(section.info_topic), yaw_rad=yaw, view=view))
    return tuple(found)


def lidars_of(rig: Config) -> tuple[Mounted, ...]:
    """The lidars of a rig."""
    return tuple(_mounted(rig, name) for name in rig.of_kind(Modality.LIDAR))


def imus_of(rig: Config) -> tuple[Mounted, ...]:
    """The IMUs of a rig."""
    return tuple(_mounted(rig, name) for name in rig.of_kind(Modality.IMU))


def absolute(topic: str) -> str:
    """The name that a parameter's topic has in a recording, which knows no namespace."""
    return "/" + topic.strip("/")


def frame_of(name: str) -> str:
    """What the frame of a sensor is called."""
    return _USUAL.get(cast("Modality", name), name)


def _mounted(rig: Config, name: str) -> Mounted:
    section = rig.sensor(name)
    rotation = pose_rotation(Pose(section.translation_m, section.quaternion_xyzw))
    return Mounted(name, absolute(section.topic), frame_of(name), section.translation_m, rotation)


def _view(name: str, section: CameraConfig, world: WorldConfig) -> View:
    usual, model = CameraConfig(), world.camera
    names = ("image_width", "image_height", "fx", "fy", "cx", "cy")
    if all(getattr(section, one) == getattr(usual, one) for one in names):
        middle = (model.width / 2 + _CENTRE, model.height / 2 + _CENTRE)
        return View(model.width, model.height, model.focal, *middle)
    if not np.isclose(section.fx, section.fy):
        raise ConfigError(f"{name}.fy = {section.fy}: the world has square pixels; give {section.fx}, as fx")
    middle = (section.cx + _CENTRE, section.cy + _CENTRE)
    return View(section.image_width, section.image_height, section.fx, *middle)
