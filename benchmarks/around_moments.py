"""Held-out moments all around, what each sector reads of them, and what the network finds there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sentryfuse_core.around import Claim, Run, View, in_base, runs_of
from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.config import load_yaml
from sentryfuse_core.lab.bench.results import ROOT
from sentryfuse_core.lab.world.around import QUARTERS_RAD, around_batch, around_clouds
from sentryfuse_core.lab.world.batch import WorldBatch
from sentryfuse_core.lab.world.config import held_out_world, world_v2
from sentryfuse_core.model.heads import decode
from sentryfuse_core.pipeline import PERCEIVING
from sentryfuse_core.preprocess import imu, lidar
from sentryfuse_core.preprocess.audio import bearing_features
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.quality import quality
from sentryfuse_core.preprocess.sectors import owners, sector_axes
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.surroundings import BEARINGS
from sentryfuse_core.types import Detection, ModalitySet

BATCH = 8
SEED = 3 * 2**40  # neither training's nor those of `held_out`
FAINTEST = 0.02  # score from which boxes are judged
RIG = ROOT / "config" / "rigs" / "four_cameras.yaml"
BOTH, NOSE, TAIL = "both", "nose", "tail"  # which of its two lidars are alive
Inputs = tuple[ModelInput, ...]  # one for each of four sectors


@dataclass(frozen=True, eq=False)
class Moment:
    """One moment: what each sector reads, and the boxes to every side."""

    inputs: Inputs  # with one lidar in the middle
    truth: FrameBoxes
    pairs: Mapping[str, Inputs]  # with the two lidars of RIG, both or one of them
    halves: Mapping[str, Inputs]  # those lidars alone, where the vehicle hides half a turn from each
    hit: Mapping[str, np.ndarray[Any, Any]]  # [360] degrees of which each of those has near returns
    returns: Mapping[str, np.ndarray[Any, Any]]  # of each of the two on each box of the truth


def made(index: int) -> list[Moment]:
    """A batch of held-out moments."""
    world, rig = held_out_world(world_v2()), load_yaml(RIG)
    with torch.inference_mode():
        sides = around_batch(world, batch=BATCH, seed=SEED + index)
        clouds = around_clouds(world, batch=BATCH, seed=SEED + index, rig=rig)
        inputs = [seen(side, yaw, side.points) for side, yaw in zip(sides, QUARTERS_RAD, strict=True)]
        nose, tail = (points for points, _ in clouds)
        ahead, behind = _half(nose, 1.0), _half(tail, -1.0)
        pairs = {
            name: [
                seen(side, yaw, some)
                for side, yaw, some in zip(sides, QUARTERS_RAD, _turned(points), strict=True)
            ]
            for name, points in _alive(nose, tail).items()
        }
        halves = {
            name: [ModelInput(lidar=lidar.pillars(some)) for some in _turned(points)]
            for name, points in _alive(ahead, behind).items()
        }
    front = sides[0]
    moments = []
    for row in range(BATCH):
        there = front.classes[row] >= 0
        boxes, classes = front.boxes[row][there].double().numpy(), front.classes[row][there].numpy()
        known = owners(boxes[:, :2], QUARTERS_RAD) >= 0
        moments.append(
            Moment(
                inputs=_row(inputs, row),
                truth=FrameBoxes(boxes, classes, np.ones(len(classes))).take(known),
                pairs={name: _row(some, row) for name, some in pairs.items()},
                halves={name: _row(some, row) for name, some in halves.items()},
                hit={NOSE: _degrees(ahead[row]), TAIL: _degrees(behind[row])},
                returns={
                    name: returns[row][there].numpy()[known]
                    for name, (_, returns) in zip((NOSE, TAIL), clouds, strict=True)
                },
            )
        )
    return moments


def _row(inputs: Sequence[ModelInput], row: int) -> Inputs:
    """One moment of a batch."""
    return tuple(
        ModelInput(**{n: t[row : row + 1] for n, t in vars(one).items() if t is not None}) for one in inputs
    )


def _alive(nose: Tensor, tail: Tensor) -> dict[str, Tensor]:
    """Clouds as the robot merges them."""
    return {BOTH: torch.cat((nose, tail), dim=1), NOSE: nose, TAIL: tail}


def _half(points: Tensor, ahead: float) -> Tensor:
    """Points [B, N, 4] ahead of the middle, or behind it: the vehicle hides the rest."""
    return torch.where(ahead * points[..., :1] > 0.0, points, torch.nan)


def _degrees(points: Tensor) -> np.ndarray[Any, Any]:
    """Which degrees [360] of the base frame points [N, 4] lie in, of those near enough for every region."""
    x, y = points[:, :2].double().numpy().T
    near = np.hypot(x, y) < GEOMETRY.y_max_m
    degrees = np.floor(np.degrees(np.arctan2(y[near], x[near]))).astype(np.intp) % BEARINGS
    return np.bincount(degrees, minlength=BEARINGS) > 0


def _turned(points: Tensor) -> list[Tensor]:
    """Points of the base frame in the axes of each sector."""
    return [lidar.turned(points, sector_axes(yaw)) for yaw in QUARTERS_RAD]


def seen(side: WorldBatch, yaw: float, points: Tensor) -> ModelInput:
    """What the network reads in one sector, as preprocessing makes it of `points` and all else of `side`."""
    axes = sector_axes(yaw)
    hears = abs(axes[0, 0]) == 1.0
    pcm = side.audio if axes[0, 0] > 0.0 else side.audio.flip(1)
    inputs = ModelInput(
        camera=side.image,
        camera_position=side.camera_position,
        lidar=lidar.pillars(points),
        imu=imu.turned(side.imu, axes),
        tilt=side.tilt @ torch.from_numpy(axes[:2, :2].T).float(),
        audio=bearing_features(pcm, GEOMETRY.audio_spacing_m) if hears else None,
    )
    return replace(inputs, quality=quality(inputs, pcm))


def claims(bank: Bank, inputs: Inputs, masks: Sequence[ModalitySet]) -> list[Claim]:
    """What each sector finds with its sensors at full width; none for a sector that perceives nothing."""
    views = [
        View(yaw, one.only(mask), bank.plan(mask & one.present, 0, ""), {})
        for yaw, one, mask in zip(QUARTERS_RAD, inputs, masks, strict=True)
    ]
    found = []
    for run in runs_of(views, perceiving=PERCEIVING, batches=True):
        found += _found(bank, run)
    return found


def _found(bank: Bank, run: Run) -> list[Claim]:
    mask = run.plan.mask
    output = EagerBackend(bank).run(run.inputs, run.plan)
    slope, offset = bank.calibration(mask, 0)
    output = replace(output, heatmap=output.heatmap * slope + offset)
    lists = decode(output, score_threshold=FAINTEST, max_detections=50, labels=bank.labels)
    least = bank.threshold(mask, 0, asked=0.0)
    return [
        Claim(in_base(item, QUARTERS_RAD[sector]), sector, item.score >= least)
        for sector, items in zip(run.sectors, lists, strict=True)
        for item in items
    ]


def boxes_of(found: Sequence[Detection]) -> FrameBoxes:
    """Detections as the metrics read them."""
    if not found:
        return FrameBoxes.none()
    rows = [(d.x, d.y, d.z, d.length, d.width, d.height, d.yaw) for d in found]
    return FrameBoxes(
        np.array(rows), np.array([d.class_id for d in found]), np.array([d.score for d in found])
    )
