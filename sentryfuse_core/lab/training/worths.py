"""What narrowing each part costs, by the sensors that are there and how good they are: the gate's table.

Measured, not estimated: every part is narrowed by itself, on the same frames, and the points of mAP that it
costs are what the gate plans with. The detection loss alone would mislead it: a narrow head moves the loss
and hardly any box, a narrow camera beside a lidar the other way round. `foretold` says beside it what the
gradient at full width foretells.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.evaluation.matching import match_frames
from sentryfuse_core.lab.scoring.resample import map_of
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import frames_of, truth_of
from sentryfuse_core.lab.training.losses import frame_losses
from sentryfuse_core.lab.training.part_runner import PartRunner
from sentryfuse_core.lab.training.spoiling import spoilt_at_random
from sentryfuse_core.lab.training.targets import make_targets
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.pruning.part_gate import PLACED, Cell, PartGate, Worths, part_sizes
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

__all__ = ["POOR_TRUST", "SHARES", "measure_worths", "priced", "shrunk"]

POOR_TRUST = 0.6  # below this, of 1, a sensor counts as poor
SHARES = (1.0, 0.67, 0.4, 0.3, 0.2)  # of full width's MACs, by level of the budget
_LEAST_FRAMES = 12  # fewer tell nothing of a cell
_SURE_FRAMES = 100  # whose mAP says as much of a cell as the loss does
_PERCEIVING = ModalitySet.of(*PLACED)
_SMALL_RISE = 0.3  # of the loss: what the gate chooses among; beyond, mAP falls otherwise
_LEAST_SLOPE = 1.0  # where too little was measured to tell
_PRICES = (1e-2, 1e4)  # of a GMAC in points, between which all are

_Key = TypeVar("_Key")


@dataclass
class _Tally:
    """Losses of the frames of one cell, by what was narrowed or left out."""

    losses: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    boxes: dict[tuple[str, int], list[FrameBoxes]] = field(default_factory=lambda: defaultdict(list))
    truth: list[FrameBoxes] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """How many."""
        return len(self.losses["full", 0])

    def rise(self, key: tuple[str, int]) -> float:
        """Mean rise of the loss against full width."""
        full: NDArray[np.float64] = np.array(self.losses["full", 0])
        return float(np.mean(np.array(self.losses[key]) - full))

    def points(self, classes: int) -> dict[tuple[str, int], float]:
        """Points of mAP that each costs against full width."""
        worth = {
            key: 100.0 * map_of(match_frames(self.truth, boxes, class_count=classes))
            for key, boxes in self.boxes.items()
        }
        return {key: worth["full", 0] - value for key, value in worth.items()}


def measure_worths(
    net: SentryFuseNet, batches: Iterable[LabelledBatch], *, seed: int = 0, spoil: bool = True
) -> Worths:
    """Points lost in every cell, on frames as they are and with each sensor spoilt in turn.

    The mAP of few frames is chance: what the loss rises by, at the points that it costs elsewhere, counts as
    `_SURE_FRAMES` more. The IMU is there in all of them: what it is worth to the widths of others is nothing
    that can be measured. The only price is 0, see `priced`.
    """
    tallies: dict[Cell, _Tally] = defaultdict(_Tally)
    generator = torch.Generator().manual_seed(seed)
    frames = 0
    with torch.inference_mode():
        for batch in batches:
            frames += len(batch.boxes)
            _measure(net, batch, batch.inputs, ModalitySet(), tallies)
            for modality in PLACED if spoil else ():
                spoilt = spoilt_at_random(batch, modality, generator)
                _measure(net, batch, spoilt, ModalitySet.of(modality), tallies)
    known = {cell: tally for cell, tally in tallies.items() if tally.frames >= _LEAST_FRAMES}
    if not known:
        raise EvaluationError(f"{frames} frames are too few to tell what parts are worth; give more")
    sizes, classes = part_sizes(net.shape), net.shape.classes
    lost = _lost(known, classes)
    return Worths(
        cells={
            cell: {
                # That a narrower part gains is chance.
                name: [0.0, *(max(0.0, lost[cell, name, level]) for level in range(1, sizes[name]))]
                for name in _parts_of(cell)
            }
            for cell in known
        },
        off={
            cell: {m: lost[cell, _without(m), 0] for m in cell.present if len(cell.present) > 1}
            for cell in known
        },
        prices=(0.0,),
        poor_trust=POOR_TRUST,
        facts={"frames": frames},
    )


def _lost(tallies: Mapping[Cell, _Tally], classes: int) -> dict[tuple[Cell, str, int], float]:
    """Points of mAP by cell, part or missing sensor, and level."""
    measured = {
        (cell, *key): (points, tally.rise(key), tally.frames)
        for cell, tally in tallies.items()
        for key, points in tally.points(classes).items()
        if key[0] != "full"
    }
    return shrunk(measured, slope=_slope([(rise, points) for points, rise, _ in measured.values()]))


def shrunk(measured: Mapping[_Key, tuple[float, float, int]], *, slope: float) -> dict[_Key, float]:
    """Points by key, of (points of mAP, rise of the loss, frames), see `measure_worths`."""
    return {
        key: (frames * points + _SURE_FRAMES * slope * rise) / (frames + _SURE_FRAMES)
        for key, (points, rise, frames) in measured.items()
    }


def _measure(
    net: SentryFuseNet,
    batch: LabelledBatch,
    inputs: ModelInput,
    spoilt: ModalitySet,
    tallies: Mapping[Cell, _Tally],
) -> None:
    """Every set of sensors that has the spoilt one, every part at every level by itself."""
    runner = PartRunner(net, inputs, batch=len(batch.boxes))
    targets = make_targets(batch.boxes, batch.classes, class_count=net.shape.classes)
    for bits in range(1, 1 << len(Modality)):
        mask = ModalitySet(bits)
        if Modality.IMU not in mask or not mask & _PERCEIVING or mask & spoilt != spoilt:
            continue
        outputs = {key: runner(*plan) for key, plan in _plans(mask, part_sizes(net.shape)).items()}
        losses = {key: frame_losses(output, targets).tolist() for key, output in outputs.items()}
        boxes = {key: frames_of(output, net.labels) for key, output in outputs.items()}
        truth = truth_of(batch.boxes, batch.classes)
        for row, cell in enumerate(_cells(net, inputs, mask, len(batch.boxes))):
            if cell.poor != spoilt:  # slight faults, and false alarms, say nothing of poor data
                continue
            tallies[cell].truth.append(truth[row])
            for key in outputs:
                tallies[cell].losses[key].append(losses[key][row])
                tallies[cell].boxes[key].append(boxes[key][row])


def _plans(
    mask: ModalitySet, sizes: Mapping[str, int]
) -> dict[tuple[str, int], tuple[ModalitySet, PartLevels]]:
    """Full width, each part at each level by itself, and without each sensor: sensors and levels by name."""
    plans = {("full", 0): (mask, FULL_WIDTH)}
    for name in _parts_of(Cell(mask & _PERCEIVING)):
        plans |= {(name, level): (mask, PartLevels(**{name: level})) for level in range(1, sizes[name])}
    for modality in mask & _PERCEIVING:
        rest = mask - ModalitySet.of(modality)
        if rest & _PERCEIVING:
            plans[_without(modality), 0] = (rest, FULL_WIDTH)
    return plans


def _without(modality: Modality) -> str:
    return f"no {modality.value}"


def _slope(measured: Sequence[tuple[float, float]]) -> float:
    """Points of mAP for a rise of the loss by 1: least squares through 0 over all (rise, points)."""
    pairs = [pair for pair in measured if abs(pair[0]) < _SMALL_RISE]
    if not pairs:
        return _LEAST_SLOPE
    rises, points = np.array(pairs).T
    return max(float(rises @ points / max(float(rises @ rises), 1e-9)), _LEAST_SLOPE)


def _cells(net: SentryFuseNet, inputs: ModelInput, mask: ModalitySet, size: int) -> list[Cell]:
    """Where each frame belongs, by the trust in its sensors."""
    there = mask & _PERCEIVING
    if net.trust is None or inputs.quality is None:
        return [Cell(there)] * size
    trust = net.trust(inputs.quality, mask)
    low = {name: (trust[name] < POOR_TRUST).tolist() for name in there}
    return [Cell(there, ModalitySet.of(*(name for name in there if low[name][row]))) for row in range(size)]


def _parts_of(cell: Cell) -> tuple[str, ...]:
    return (*(modality.value for modality in cell.present), "trunk", "head")


def priced(worths: Worths, net: SentryFuseNet, *, shares: Sequence[float] = SHARES) -> Worths:
    """The same with a price for each of `shares`: of the MACs of full width, mean over the 12 sets that see.

    One price for all sets moves work to where it is worth most: sets that need the camera keep it.
    """
    masks = [mask for mask in ModalitySet.subsets() if mask & ModalitySet.of(Modality.CAMERA, Modality.LIDAR)]
    full = sum(count_macs(net.shape, GEOMETRY, mask, FULL_WIDTH).total for mask in masks) / 1e9

    def share_at(price: float) -> float:
        gate = PartGate(net.shape, replace(worths, prices=(price,)))
        return sum(gate.choose(mask, 0).gmacs for mask in masks) / full

    prices = [0.0 if share >= 1.0 else _bisected(share_at, share) for share in shares]
    facts: dict[str, Any] = {**worths.facts, "shares": list(shares)}
    return replace(worths, prices=tuple(prices), facts=facts)


def _bisected(share_at: Callable[[float], float], share: float) -> float:
    """The least price, to a hundredth, at which no more than `share` runs; the highest if none is."""
    low, high = _PRICES
    if share_at(high) > share:
        return high
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if share_at(middle) > share else (low, middle)
    return high
