"""Every fault that changes content, at every severity: boxes with the bad sensor against those without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.matching import Matches, match_frames
from sentryfuse_core.faults.severities import SEVERITIES, SEVERITY_NAMES
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import frames_of, truth_of
from sentryfuse_core.lab.training.part_runner import PartRunner
from sentryfuse_core.lab.training.spoiling import spoilt
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.part_gate import Gate
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["SEVERITY_AGES_S", "FaultRow", "fault_table"]

_SEED = 17  # of the faults' own chance
_WORST = len(SEVERITY_NAMES)
_LATE = "freeze"  # the fault that repeats what was before
SEVERITY_AGES_S = (0.2, 0.5, 1.0)  # how old what a `freeze` repeats is, by severity

Cut = Callable[[Sequence[FrameBoxes]], Sequence[FrameBoxes]]


@dataclass(frozen=True, eq=False)
class FaultRow:
    """One fault at one severity, all sensors there, on the same frames."""

    sensor: Modality
    fault: str
    severity: int  # 1 to 3; 3 for a fault that knows no degrees
    bad: Matches  # with the bad sensor
    without: Matches  # without it
    clean: Matches  # with the sensor as it was
    trust: float  # mean trust in the bad sensor; NaN: these weights tell none, or were not asked


def fault_table(
    net: SentryFuseNet,
    batches: Callable[[float], Iterable[LabelledBatch]],
    *,
    classes: int,
    gate: Gate | None = None,
    severities: Sequence[int] = (1, 2, 3),
    sensors: ModalitySet | None = None,
    cut: Cut = list,
    on_frames: Callable[[int], None] = lambda _: None,
) -> list[FaultRow]:
    """All rows; `batches` gives the same frames for any age of what late sensors show, in s.

    With a `gate` the table is the robot's: its choice at full width runs, which leaves sensors out that are
    too poor, and a sensor that repeats itself is out, since health finds it `frozen` before any of the ages
    here (with the third message, at 10 Hz after 0.2 s). Without one the network gets all of them.
    `sensors` are those that all frames have (None: all four); `cut` leaves of one box list a frame what is
    judged. Where some frames have no past, what repeats it is left out.
    """
    everything = ModalitySet.all() if sensors is None else sensors
    truth: list[FrameBoxes] = []
    good: dict[Modality | None, list[FrameBoxes]] = defaultdict(list)
    bad: dict[tuple[Modality, str, int], list[FrameBoxes]] = defaultdict(list)
    trusts: dict[tuple[Modality, str, int], list[float]] = defaultdict(list)
    with torch.inference_mode():
        for aged in zip(*(batches(SEVERITY_AGES_S[one - 1]) for one in severities), strict=True):
            batch = aged[0]  # but for what is late all are the same
            size = len(batch.boxes)
            truth.extend(truth_of(batch.boxes, batch.classes))
            runner = PartRunner(net, batch.inputs, batch=size)
            here = _good(net, runner, everything)
            for sensor, boxes in here.items():
                good[sensor].extend(boxes)
            for key, which in _cases(severities):
                if key[0] not in everything or (key[1] == _LATE and not _has_past(batch)):
                    continue
                if gate is not None and key[1] == _LATE:
                    bad[key].extend(here[key[0]])
                    continue
                generator = torch.Generator().manual_seed(_SEED + len(truth) - size)
                inputs = spoilt(aged[which], *key, generator)
                boxes, trust = _bad(net, gate, runner.spoilt(inputs, key[0]), inputs, everything)
                bad[key].extend(boxes)
                trusts[key].extend(row[key[0]] for row in trust if row)
            on_frames(size)

    judged = cut(truth)

    def matched(boxes: list[FrameBoxes]) -> Matches:
        return match_frames(judged, cut(boxes), class_count=classes)

    known = {sensor: matched(boxes) for sensor, boxes in good.items()}
    return [
        FaultRow(
            *key,
            bad=matched(boxes),
            without=known[key[0]],
            clean=known[None],
            trust=min(1.0, sum(trusts[key]) / len(trusts[key])) if trusts[key] else float("nan"),
        )
        for key, boxes in bad.items()
        if len(boxes) == len(truth)
    ]


def _cases(severities: Sequence[int]) -> list[tuple[tuple[Modality, str, int], int]]:
    """Sensor, fault and severity, and which of the batches by age it is made of."""
    cases = []
    for (sensor, fault), options in SEVERITIES.items():
        if any(options):
            cases += [((sensor, fault, severity), which) for which, severity in enumerate(severities)]
        else:
            cases.append(((sensor, fault, _WORST), 0))
    return cases


def _has_past(batch: LabelledBatch) -> bool:
    """Whether it is known what sensors saw before."""
    return batch.raw is not None and not (batch.raw.late_image is None and batch.raw.late_points is None)


def _good(
    net: SentryFuseNet, runner: PartRunner, everything: ModalitySet
) -> dict[Modality | None, list[FrameBoxes]]:
    """Boxes without each sensor; None: with all of them."""
    left: dict[Modality | None, ModalitySet] = {None: everything}
    left |= {sensor: everything - ModalitySet.of(sensor) for sensor in everything}
    return {gone: frames_of(runner(mask, FULL_WIDTH), net.labels) for gone, mask in left.items()}


def _bad(
    net: SentryFuseNet, gate: Gate | None, runner: PartRunner, inputs: ModelInput, everything: ModalitySet
) -> tuple[list[FrameBoxes], list[dict[Modality, float]]]:
    """Boxes of every frame under the gate's choice for it, and the trust in each sensor."""
    size = len(
        next(item for item in (inputs.camera, inputs.lidar, inputs.imu, inputs.audio) if item is not None)
    )
    trust: list[dict[Modality, float]] = [{}] * size
    if net.trust is not None and inputs.quality is not None:
        values = {name: item.tolist() for name, item in net.trust(inputs.quality, everything).items()}
        trust = [{name: item[row] for name, item in values.items()} for row in range(size)]
    if gate is None:
        return frames_of(runner(everything, FULL_WIDTH), net.labels), trust
    chosen = [gate.choose(everything, 0, gate.poor(row)) for row in trust]
    plans = {(choice.used, choice.parts) for choice in chosen}
    answers = {plan: frames_of(runner(*plan), net.labels) for plan in plans}
    return [answers[choice.used, choice.parts][row] for row, choice in enumerate(chosen)], trust
