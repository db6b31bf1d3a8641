"""Held-out drives of the synthetic world as a tracker has them: detections, odometry and the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.config import Config
from sentryfuse_core.evaluation.motion import Crowd
from sentryfuse_core.lab.scoring.calibration import LOW_SCORE, Calibrator
from sentryfuse_core.lab.training.data import as_inputs
from sentryfuse_core.lab.training.detections import SubsetDetector, truth_of
from sentryfuse_core.lab.training.targets import in_region
from sentryfuse_core.lab.world.batch import render_batch
from sentryfuse_core.lab.world.config import held_out_world, world_v2
from sentryfuse_core.lab.world.drive import STEPS_HZ, drive
from sentryfuse_core.lab.world.odometry import ODOMETRY, wheels
from sentryfuse_core.lab.world.scan import plain_scan
from sentryfuse_core.lab.world.scene import Scene
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.tracking.tracker import EgoStep
from sentryfuse_core.types import ModalitySet

__all__ = ["FIRST_SCORED", "RATE_HZ", "TrackDrive", "make_drive"]

RATE_HZ = 10  # sets a second, the lidar's rate
FIRST_SCORED = 2**41  # seeds of drives that are scored; training's stay below 2**40
_EVERY = STEPS_HZ // RATE_HZ
_AT_ONCE = 16  # moments that are rendered together


@dataclass(frozen=True, eq=False)
class TrackDrive:
    """F moments of one drive."""

    truth: list[Crowd]  # [F] road users in the region, hidden or not
    boxes: list[FrameBoxes]  # [F] the same
    found: Mapping[ModalitySet, list[FrameBoxes]]  # [F] by sensors in use, with calibrated scores
    steps: list[EgoStep]  # [F] of the base since the moment before, by the wheels

    def __len__(self) -> int:
        return len(self.truth)


def make_drive(
    bank: Bank,
    masks: Sequence[ModalitySet],
    *,
    seed: int,
    seconds: float,
    device: str = "cpu",
    on_moments: Callable[[int], None] = lambda _: None,
) -> TrackDrive:
    """Render one drive and detect in it with every set of `masks` at full width.

    The inputs are made as those of training frames are, moment by moment: the error of the tilt and the
    noise of the sound are drawn anew for each.
    """
    world, sensors = held_out_world(world_v2()), Config()
    generator = torch.Generator().manual_seed(seed)
    scenes = drive(world, seed=seed, seconds=seconds)
    count = math.ceil(seconds * RATE_HZ - 1e-9)
    moments = scenes.at(torch.arange(count) * _EVERY)
    detect = SubsetDetector(bank.network.to(device), masks, [0])
    calibrators = {mask: Calibrator(*bank.calibration(mask, 0)) for mask in masks}
    position = torch.tensor([sensors.camera.translation_m])
    found: dict[ModalitySet, list[FrameBoxes]] = {mask: [] for mask in masks}
    for part in torch.split(torch.arange(count), _AT_ONCE):
        with torch.inference_mode():
            scene = moments.at(part)
            at = position.expand(len(part), -1)
            scan = plain_scan(world.lidar, world.weather, sensors.lidar.translation_m, batch=len(part))
            made = render_batch(scene, world, sensors, scan=scan, position=at, generator=generator)
            seen = detect(as_inputs(made))
        for mask in masks:
            found[mask] += [_claims(frame, calibrators[mask]) for frame in seen[str(mask), 0]]
        on_moments(len(part))
    return TrackDrive(
        truth=[_truth(moments, index) for index in range(count)],
        boxes=truth_of(moments.boxes, _labelled(moments)),
        found=found,
        steps=_steps(scenes, count, seed),
    )


def _claims(frame: FrameBoxes, calibrate: Calibrator) -> FrameBoxes:
    """The boxes with the chance of being right for a score, without those that claim nothing."""
    made = FrameBoxes(frame.boxes, frame.classes, calibrate(frame.scores))
    return made.take(made.scores >= LOW_SCORE)


def _labelled(scenes: Scene) -> torch.Tensor:
    """Classes [B, M], -1 for clutter and for empty slots."""
    return torch.where(scenes.identity >= 0, scenes.classes, -1)


def _truth(scenes: Scene, index: int) -> Crowd:
    boxes, classes = scenes.boxes[index].double(), _labelled(scenes)[index]
    inside = in_region(boxes, classes)
    return Crowd(
        identities=scenes.identity[index][inside].numpy(),
        classes=classes[inside].numpy(),
        places=boxes[inside, :2].numpy(),
        velocities=scenes.velocity[index][inside].double().numpy(),
        headings=boxes[inside, 6].numpy(),
    )


def _steps(scenes: Scene, count: int, seed: int) -> list[EgoStep]:
    """How the base moved from each moment to the next, as its wheels tell it."""
    generator = torch.Generator().manual_seed(seed + 1)
    every = ODOMETRY.rate_hz // RATE_HZ
    told = wheels(scenes, ODOMETRY, count=count * every, generator=generator)
    pose = told.pose[::every].numpy()
    change, yaw = np.diff(pose, axis=0), pose[:-1, 2]
    x = np.cos(yaw) * change[:, 0] + np.sin(yaw) * change[:, 1]
    y = np.cos(yaw) * change[:, 1] - np.sin(yaw) * change[:, 0]
    turn = (change[:, 2] + math.pi) % (2 * math.pi) - math.pi
    return [EgoStep(), *(EgoStep(*row) for row in np.column_stack((x, y, turn)).tolist())]
