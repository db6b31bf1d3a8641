"""Every fault that changes content, at every severity: boxes with the bad sensor against those without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.matching import Matches, match_frames
from sentryfuse_core.faults.severities import SEVERITIES
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
SEVERITY_AGES_S = (0.2, 0.5, 1.0)  # how old what a `freeze` repeats is, by severity


@dataclass(frozen=True, eq=False)
class FaultRow:
    """One fault at one severity, all sensors there, on the same frames."""

    sensor: Modality
    fault: str
    severity: int  # 1 to 3
    bad: Matches  # with the bad sensor
    without: Matches  # without it
    clean: Matches  # with the sensor as it was
    trust: float  # mean trust in the bad sensor


def fault_table(
    net: SentryFuseNet,
    batches: Callable[[float], Iterable[LabelledBatch]],
    *,
    classes: int,
    gate: Gate | None = None,
    severities: Sequence[int] = (1, 2, 3),
    on_frames: Callable[[int], None] = lambda _: None,
) -> list[FaultRow]:
    """All rows; `batches` gives the same frames for any age of what late sensors show, in s.

    With a `gate` its choice at full width runs, which leaves sensors out that are too poor; else all do.
    """
    rows = []
    for severity in severities:
        truth: list[FrameBoxes] = []
        found: dict[tuple[str, str, str], list[FrameBoxes]] = {}
        trusts: dict[tuple[Modality, str], list[float]] = {}
        with torch.inference_mode():
            for batch in batches(SEVERITY_AGES_S[severity - 1]):
                truth.extend(truth_of(batch.boxes, batch.classes))
                for key, boxes in _good(net, batch).items():
                    found.setdefault(key, []).extend(boxes)
                for sensor, fault in SEVERITIES:
                    generator = torch.Generator().manual_seed(_SEED)
                    inputs = spoilt(batch, sensor, fault, severity, generator)
                    boxes, trust = _bad(net, gate, inputs, len(batch.boxes))
                    found.setdefault(("bad", sensor.value, fault), []).extend(boxes)
                    trusts.setdefault((sensor, fault), []).extend(row[sensor] for row in trust if row)
                on_frames(len(batch.boxes))
        matches = {key: match_frames(truth, boxes, class_count=classes) for key, boxes in found.items()}
        rows += [
            FaultRow(
                sensor,
                fault,
                severity,
                bad=matches["bad", sensor.value, fault],
                without=matches["without", sensor.value, ""],
                clean=matches["clean", "", ""],
                trust=sum(values) / len(values) if values else float("nan"),
            )
            for (sensor, fault), values in trusts.items()
        ]
    return rows


def _good(net: SentryFuseNet, batch: LabelledBatch) -> dict[tuple[str, str, str], list[FrameBoxes]]:
    runner = PartRunner(net, batch.inputs, batch=len(batch.boxes))
    everything = ModalitySet.all()
    found = {("clean", "", ""): frames_of(runner(everything, FULL_WIDTH))}
    for sensor in Modality:
        rest = everything - ModalitySet.of(sensor)
        found["without", sensor.value, ""] = frames_of(runner(rest, FULL_WIDTH))
    return found


def _bad(
    net: SentryFuseNet, gate: Gate | None, inputs: ModelInput, size: int
) -> tuple[list[FrameBoxes], list[dict[Modality, float]]]:
    """Boxes of every frame under the gate's choice for it, and the trust in each sensor."""
    everything = ModalitySet.all()
    runner = PartRunner(net, inputs, batch=size)
    trust: list[dict[Modality, float]] = [{}] * size
    if net.trust is not None and inputs.quality is not None:
        values = {name: item.tolist() for name, item in net.trust(inputs.quality, everything).items()}
        trust = [{name: item[row] for name, item in values.items()} for row in range(size)]
    if gate is None:
        return frames_of(runner(everything, FULL_WIDTH)), trust
    chosen = [gate.choose(everything, 0, gate.poor(row)) for row in trust]
    answers = {plan: frames_of(runner(*plan)) for plan in {(choice.used, choice.parts) for choice in chosen}}
    return [answers[choice.used, choice.parts][row] for row, choice in enumerate(chosen)], trust
