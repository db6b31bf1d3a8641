"""Ground truth of a drive, as JSON lines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from sentryfuse_core.errors import OutputError
from sentryfuse_core.lab.world.config import CLASSES, WorldConfig
from sentryfuse_core.lab.world.drive import STEPS_HZ
from sentryfuse_core.lab.world.record import START_NS
from sentryfuse_core.lab.world.scene import ABSENT, Scene

__all__ = ["write_labels"]


def write_labels(path: Path, scenes: Scene, config: WorldConfig, *, seconds: float) -> int:
    """Write boxes within `config.label_range` as JSON, a line for every lidar stamp; returns their number."""
    every = STEPS_HZ // config.lidar.rate_hz
    lines = []
    for index in range(math.ceil(seconds * config.lidar.rate_hz - 1e-9)):
        moment = index * every
        boxes, classes = scenes.boxes[moment], scenes.classes[moment]
        near = (
            (boxes[:, :2].norm(dim=-1) <= config.label_range) & (classes != ABSENT) & (classes < len(CLASSES))
        )
        stamp_ns = START_NS + index * 1_000_000_000 // config.lidar.rate_hz
        columns = (classes, boxes, scenes.identity[moment], scenes.velocity[moment])
        found = [_label(*row) for row in zip(*(column[near] for column in columns), strict=True)]
        lines.append(json.dumps({"stamp_ns": stamp_ns, "boxes": found}))
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error}; choose a folder you may write to") from error
    return len(lines)


def _label(kind: Tensor, box: Tensor, identity: Tensor, velocity: Tensor) -> dict[str, Any]:
    names = ("x", "y", "z", "length", "width", "height", "yaw")
    values = (round(value, 4) for value in box.tolist())
    return {
        "label": CLASSES[int(kind)].label,
        **dict(zip(names, values, strict=True)),
        "id": int(identity),
        "velocity": [round(value, 4) for value in velocity.tolist()],  # m/s over ground, along x and y
    }
