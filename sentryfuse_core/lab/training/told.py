"""One network under several sets of sensors: boxes for the metrics, and those a robot would publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import Key, frames_of
from sentryfuse_core.lab.training.part_runner import PartRunner
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import ModalitySet

__all__ = ["TOLD", "RobotDetector"]

TOLD = "told "  # before the name of a set: what is published of its boxes


@dataclass(frozen=True, eq=False)
class RobotDetector:
    """Boxes by the gate's choice for the sensors that a frame has.

    Under the set's name all candidates are found, under `TOLD` and that name those whose calibrated score
    reaches the threshold of the checkpoint, as `Pipeline` publishes them.
    """

    bank: Bank
    masks: Sequence[ModalitySet]
    levels: Sequence[int]

    def __call__(self, batch: LabelledBatch) -> dict[Key, list[FrameBoxes]]:
        """Boxes under (name, level); a frame that lacks a sensor goes on without it."""
        runner = PartRunner(self.bank.network, batch.inputs, batch=len(batch.boxes))
        found: dict[Key, list[FrameBoxes]] = {}
        for level in self.levels:
            for mask in self.masks:
                choice = self.bank.gate.choose(mask & batch.inputs.present, level)
                output = runner(choice.used, choice.parts)
                found[str(mask), level] = frames_of(output, self.bank.labels)
                slope, offset = self.bank.calibration(choice.used, level)
                least = self.bank.threshold(choice.used, level, asked=0.0)
                calibrated = replace(output, heatmap=output.heatmap * slope + offset)
                sure = frames_of(calibrated, self.bank.labels)
                found[f"{TOLD}{mask}", level] = [one.take(one.scores >= least) for one in sure]
        return found
