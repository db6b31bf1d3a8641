"""labels.jsonl beside a recording: a line for every labelled moment, read for replay and for training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sentryfuse_core.errors import BagError
from sentryfuse_core.safe_files import check_regular, text_lines
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import Detection

__all__ = ["Labelled", "TrueBox", "none_near", "read_labels"]

_NUMBERS = ("x", "y", "z", "length", "width", "height", "yaw")
_LINE = "give an object with stamp_ns and a list of boxes, each with a label and numbers"


@dataclass(frozen=True)
class TrueBox(Detection):
    """A labelled box, and what its label says beyond that."""

    identity: int | str | None = None  # the same for one object in all labels; None: not told
    velocity: tuple[float, float] | None = None  # m/s over ground, along x and y


class Labelled(NamedTuple):
    """What is there at one moment, in the order of the line."""

    stamp_ns: int
    boxes: tuple[TrueBox, ...]


def read_labels(path: Path, *, check: Callable[[Detection], None] = lambda _: None) -> Iterator[Labelled]:
    """The labelled moments in the order of the file.

    A line is {"stamp_ns", "boxes": [{"label", "x", "y", "z", "length", "width", "height", "yaw"}]}, its sides
    above 0; a box may have "id" and "velocity", whatever else it says is not asked for, and empty lines are
    none. A moment has one line, with all of its boxes.

    Args:
        path: the file.
        check: raises ValueError for a box that cannot be used.

    Raises:
        BagError: the file cannot be read, or a line is anything else or of a moment that has one already;
            with its number.
    """
    try:
        check_regular(path)
        lines = text_lines(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise BagError(
            f"cannot read the labels {path}: {reason_of(error)}; give them with --labels FILE"
        ) from error
    told: dict[int, int] = {}  # lines by stamp
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = _labelled(line, check)
        except (ValueError, OverflowError, RecursionError) as error:
            raise BagError(f"{path}:{number}: {reason_of(error)}; write the line anew") from error
        if (before := told.setdefault(found.stamp_ns, number)) != number:
            raise BagError(
                f"{path}:{number}: line {before} has the moment {found.stamp_ns} too; put its boxes into one"
            )
        yield found


def none_near(stamps_ns: Sequence[int], first_ns: int | None, *, near_ns: int) -> str:
    """That no label is near any set, the first of which is of `first_ns` (None: there is no set).

    Where labels and sets begin shows another recording, clock or unit.
    """
    if not stamps_ns:
        return "it labels no moment"
    if first_ns is None:
        return f"there is no set for its {len(stamps_ns)} labelled moments"
    return (
        f"none of its {len(stamps_ns)} labelled moments is as near to a set as {near_ns // 1_000_000} ms: "
        f"they begin at {min(stamps_ns)} ns, the sets at {first_ns} ns; give labels of the same clock, in ns"
    )


def _labelled(line: str, check: Callable[[Detection], None]) -> Labelled:
    entry = json.loads(line)
    try:
        found = Labelled(int(entry["stamp_ns"]), tuple(map(_box, entry["boxes"])))
    except KeyError as error:
        raise ValueError(f"{error} is missing") from error
    except (TypeError, AttributeError) as error:
        raise ValueError(_LINE) from error
    for box in found.boxes:
        check(box)
    return found


def _box(entry: dict[str, Any]) -> TrueBox:
    numbers = [float(entry[name]) for name in _NUMBERS]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"a box of {numbers} is none")
    x, y, z, length, width, height, yaw = numbers
    if min(length, width, height) <= 0.0:  # as data sets give regions that they know nothing of
        raise ValueError(f"a box of {length} m by {width} m by {height} m is none, leave it out")
    identity = entry.get("id")
    return TrueBox(
        str(entry["label"]),
        -1,
        1.0,
        x,
        y,
        z,
        length,
        width,
        height,
        yaw,
        identity=identity if isinstance(identity, (int, str)) and not isinstance(identity, bool) else None,
        velocity=_velocity(entry.get("velocity")),
    )


def _velocity(told: Any) -> tuple[float, float] | None:
    """Two finite numbers in a list, or nothing."""
    if not isinstance(told, list) or len(told) != 2:
        return None
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in told):
        return None
    return float(told[0]), float(told[1])
