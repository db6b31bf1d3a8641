"""How a checkpoint was made: machine, versions, commit, world and scores, for its manifest."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np
import torch

from sentryfuse_core import __version__
from sentryfuse_core.lab.scoring.calibration import Calibrator
from sentryfuse_core.lab.training.evaluate import Evaluation
from sentryfuse_core.lab.training.grade import Grade
from sentryfuse_core.lab.world.config import CLASSES, WorldConfig
from sentryfuse_core.lab.world.variety import SCANNERS
from sentryfuse_core.replay.manifest import source_commit
from sentryfuse_core.types import ModalitySet

__all__ = ["describe", "evaluation_table", "world_sha256"]

METRIC = (
    "recall_4m: share of the boxes in the region that are matched one-to-one, best score first, by a "
    "detection of the same class whose centre is at most 4 m away on the ground, taking as many detections "
    "from a frame as it has boxes; mask 0 is the canvas without tokens (the prior); score_threshold: the "
    "calibrated score above which as many detections lie as there are boxes, over all frames; calibration: "
    "slope and offset of the logit that make a score the chance of being right within 2 m, fitted on other "
    "frames; map: mean average precision by centre distance at 0.5, 1, 2 and 4 m, as nuScenes has it, over "
    "the classes that are there"
)


def world_sha256(world: WorldConfig) -> str:
    """Hash of every number of the world, classes and lidars included."""
    given = {name: value for name, value in asdict(world).items() if value is not None}
    numbers = {"world": given, "classes": [asdict(traits) for traits in CLASSES]}
    if world.variety is not None:
        numbers["scanners"] = [asdict(scanner) for scanner in SCANNERS]
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def evaluation_table(evaluation: Evaluation, grades: Mapping[tuple[int, int], Grade]) -> dict[str, Any]:
    """The scores as the manifest has them; thresholds are of calibrated scores."""
    rows: list[dict[str, Any]] = [
        {
            "mask": bits,
            "sensors": str(ModalitySet(bits)),
            "level": level,
            "recall_4m": round(score.recall_4m, 4),
            "recall_2m": round(score.recall_2m, 4),
            "recall_1m": round(score.recall_1m, 4),
            "centre_error_m": round(score.centre_error_m, 3),
            "score_threshold": round(_calibrated(score.score_threshold, grades[bits, level]), 4),
            "calibration": [round(value, 4) for value in grades[bits, level].calibration],
            "map": round(grades[bits, level].map, 4),
            "recall_4m_by_class": [round(value, 4) for value in score.recall_4m_by_class],
        }
        for (bits, level), score in evaluation.scores.items()
    ]
    return {"metric": METRIC, "frames": evaluation.frames, "boxes": evaluation.boxes, "rows": rows}


def _calibrated(score: float, grade: Grade) -> float:
    return float(Calibrator(*grade.calibration)(np.array([score]))[0])


def describe(
    *, command: str, seed: int, steps: int, minutes: float, world: WorldConfig, device: str
) -> dict[str, Any]:
    """Everything about a run but its scores."""
    return {
        "labels": [traits.label for traits in CLASSES],
        "command": command,
        "seed": seed,
        "steps": steps,
        "minutes": round(minutes, 1),
        "world_sha256": world_sha256(world),
        "hardware": {"device": device, "machine": platform.machine(), "threads": torch.get_num_threads()},
        "versions": {
            "sentryfuse": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "safetensors": metadata.version("safetensors"),
        },
        "commit": source_commit(),
    }
