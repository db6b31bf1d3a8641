"""Policies on the same frames and weights: uniform, the gate by presence, by quality too, and an oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.matching import Matches, match_frames
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import frames_of, truth_of
from sentryfuse_core.lab.training.part_runner import PartRunner
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.pruning.part_gate import PartGate
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

__all__ = ["ORACLE", "POLICIES", "PRESENCE", "QUALITY", "UNIFORM", "Outcome", "Run", "outcomes", "run_plans"]

UNIFORM, PRESENCE, QUALITY, ORACLE = POLICIES = ("uniform", "presence", "presence and quality", "oracle")
_MOST_PLANS = 24  # that the oracle may choose among

Plan = tuple[ModalitySet, PartLevels]  # the sensors that run, and how narrow each part does
Spoil = Callable[[LabelledBatch], ModelInput]


@dataclass(frozen=True, eq=False)
class Run:
    """F frames under every plan that any policy may choose."""

    truth: list[FrameBoxes] = field(default_factory=list)
    boxes: dict[Plan, list[FrameBoxes]] = field(default_factory=dict)
    trust: dict[ModalitySet, list[Mapping[Modality, float]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Outcome:
    """One policy at one level for one set of sensors."""

    policy: str
    level: int  # 0 for the oracle, which knows none
    present: ModalitySet
    matches: Matches
    gmacs: float  # mean over frames


def run_plans(
    net: SentryFuseNet,
    gate: PartGate,
    batches: Iterable[LabelledBatch],
    *,
    masks: Sequence[ModalitySet],
    spoil: Spoil | None = None,
    on_frames: Callable[[int], None] = lambda _: None,
) -> Run:
    """Run every plan on every frame; `spoil` gives other inputs for a batch than its own."""
    run = Run()
    plans = {plan for mask in masks for plan in _plans(net, gate, mask)}
    with torch.inference_mode():
        for batch in batches:
            inputs = batch.inputs if spoil is None else spoil(batch)
            runner = PartRunner(net, inputs, batch=len(batch.boxes))
            run.truth.extend(truth_of(batch.boxes, batch.classes))
            for plan in plans:
                run.boxes.setdefault(plan, []).extend(frames_of(runner(*plan), net.labels))
            for mask in masks:
                run.trust.setdefault(mask, []).extend(_trust(net, inputs, mask, len(batch.boxes)))
            on_frames(len(batch.boxes))
    return run


def _trust(
    net: SentryFuseNet, inputs: ModelInput, mask: ModalitySet, size: int
) -> list[Mapping[Modality, float]]:
    if net.trust is None or inputs.quality is None:
        return [{}] * size
    found = {name: values.tolist() for name, values in net.trust(inputs.quality, mask).items()}
    return [{name: values[row] for name, values in found.items()} for row in range(size)]


def _plans(net: SentryFuseNet, gate: PartGate, mask: ModalitySet) -> list[Plan]:
    """Full width, the uniform levels and all that the gate may choose for `mask`: good first, then poor."""
    plans = [(mask, net.shape.uniform(level)) for level in range(net.shape.levels)]
    for poor in (ModalitySet(), *ModalitySet.subsets()):
        for level in range(gate.levels) if poor & mask == poor else ():
            choice = gate.choose(mask, level, poor)
            plans.append((choice.used, choice.parts))
    return list(dict.fromkeys(plans))


def outcomes(
    net: SentryFuseNet, gate: PartGate, run: Run, *, masks: Sequence[ModalitySet], classes: int
) -> list[Outcome]:
    """What every policy makes of the frames; those that choose the same plans share their matches."""
    matched: dict[tuple[Plan, ...], Matches] = {}
    gmacs = {plan: _gmacs(net, plan) for plan in run.boxes}

    def outcome(policy: str, level: int, mask: ModalitySet, plans: Sequence[Plan]) -> Outcome:
        key = tuple(plans)
        if key not in matched:
            boxes = [run.boxes[plan][row] for row, plan in enumerate(plans)]
            matched[key] = match_frames(run.truth, boxes, class_count=classes)
        mean = float(np.mean([gmacs[plan] for plan in plans]))
        return Outcome(policy, level, mask, matched[key], mean)

    found = []
    for mask in masks:
        for level in range(net.shape.levels):
            plans = [(mask, net.shape.uniform(level))] * len(run.truth)
            found.append(outcome(UNIFORM, level, mask, plans))
        for level in range(gate.levels):
            choice = gate.choose(mask, level)
            plans = [(choice.used, choice.parts)] * len(run.truth)
            found.append(outcome(PRESENCE, level, mask, plans))
            chosen = [gate.choose(mask, level, gate.poor(trust)) for trust in run.trust[mask]]
            plans = [(choice.used, choice.parts) for choice in chosen]
            found.append(outcome(QUALITY, level, mask, plans))
        plans = _oracle(net, run, _plans(net, gate, mask)[:_MOST_PLANS], mask, classes)
        found.append(outcome(ORACLE, 0, mask, plans))
    return found


def _gmacs(net: SentryFuseNet, plan: Plan) -> float:
    return count_macs(net.shape, GEOMETRY, *plan).total / 1e9


def _oracle(
    net: SentryFuseNet, run: Run, plans: Sequence[Plan], mask: ModalitySet, classes: int
) -> list[Plan]:
    """For each frame the cheapest plan that finds as many true boxes as full width, and no more false ones.

    At 2 m, among detections that score as well as the best ones of full width, as many as there are boxes.
    """
    full = (mask, FULL_WIDTH)
    whole = match_frames(run.truth, run.boxes[full], class_count=classes)
    boxes = int(whole.truth_count.sum())
    threshold = float(whole.scores[min(boxes, len(whole.scores)) - 1]) if boxes and len(whole.scores) else 0.0
    right, wrong = _counts(whole, threshold)
    chosen: list[Plan] = [full] * len(run.truth)
    for plan in sorted(plans, key=lambda plan: _gmacs(net, plan), reverse=True):
        found, false = _counts(match_frames(run.truth, run.boxes[plan], class_count=classes), threshold)
        for row in np.flatnonzero((found >= right) & (false <= wrong)):
            chosen[row] = plan  # the cheapest comes last
    return chosen


def _counts(matches: Matches, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and false detections of each frame, [F] each, of those that score `threshold` or more."""
    sure = matches.scores >= threshold
    right = np.bincount(matches.frame[sure & matches.right], minlength=matches.frames)
    wrong = np.bincount(matches.frame[sure & ~matches.right], minlength=matches.frames)
    return right, wrong
