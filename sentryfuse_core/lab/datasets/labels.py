"""labels.jsonl beside a recording, read strictly: a line for every labelled moment."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import LABELS, Box
from sentryfuse_core.lab.datasets.files import read_lines

__all__ = ["read_labels"]

_NUMBERS = ("x", "y", "z", "length", "width", "height", "yaw")


def read_labels(path: Path) -> dict[int, tuple[Box, ...]]:
    """Boxes by stamp in ns.

    A line is {"stamp_ns", "boxes": [{"label", "x", "y", "z", "length", "width", "height", "yaw"}]}.

    Raises DatasetError with file and line for one that is anything else, or of an unknown class.
    """
    if not path.is_file():
        raise DatasetError(f"no labels at {path}; give them with --labels FILE")
    moments = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            moments[int(entry["stamp_ns"])] = tuple(map(_box, entry["boxes"]))
        except KeyError as error:
            raise DatasetError(f"{path}:{number}: {error} is missing; write the line anew") from error
        except (TypeError, AttributeError) as error:
            wanted = "an object with stamp_ns and a list of boxes, whose sizes are numbers"
            raise DatasetError(f"{path}:{number}: give {wanted}; write the line anew") from error
        except (ValueError, OverflowError, RecursionError) as error:
            raise DatasetError(f"{path}:{number}: {error}; write the line anew") from error
    if not moments:
        raise DatasetError(f"{path} labels no moment; record the labels again")
    return moments


def _box(entry: dict[str, Any]) -> Box:
    label, numbers = entry["label"], [float(entry[name]) for name in _NUMBERS]
    if label not in LABELS:
        raise ValueError(f"unknown class {label!r:.40}; use {', '.join(LABELS)}")
    if not all(map(math.isfinite, numbers)) or min(numbers[3:6]) <= 0.0:
        raise ValueError(f"a box of {numbers} is none")
    return Box(label, *numbers)
