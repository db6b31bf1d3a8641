"""What a benchmark found: figures with targets, the table that shows them and the file that keeps them."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from sentryfuse_core.json_values import json_value
from sentryfuse_core.machine.processor import processor
from sentryfuse_core.replay.manifest import machine, source_commit, versions
from sentryfuse_core.whole_files import written_whole

__all__ = [
    "FOLDER",
    "ROOT",
    "Figure",
    "at_least",
    "at_most",
    "interval_text",
    "number_text",
    "read",
    "target_text",
    "text_table",
    "write",
]

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure. `direction` min: at least the target, max: at most; without a target it is only reported.

    `low` and `high` are the ends of the 95 per cent interval over runs, `items_low` and `items_high` of that
    over test items; NaN where there is none. `notes` say what the figure lacks; where that is something it
    is about, it is not `whole`.
    """

    what: str
    measured: float
    unit: str
    target: float | None = None
    direction: Literal["min", "max"] = "min"
    low: float = math.nan
    high: float = math.nan
    items_low: float = math.nan
    items_high: float = math.nan
    notes: tuple[str, ...] = ()
    whole: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one. A figure that is no number reaches none."""
        if self.target is None:
            return None
        if math.isnan(self.measured):
            return False
        measured = round(self.measured, 9)  # sums of binary fractions must not miss a target by 1e-15
        return measured <= self.target if self.direction == "max" else measured >= self.target

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON, which has no NaN."""
        return {**json_value(asdict(self)), "met": self.met}


def at_most(
    what: str, measured: float, unit: str, target: float | None = None, *, notes: Sequence[str] = ()
) -> Figure:
    """A figure that is good where it is small."""
    return Figure(what=what, measured=measured, unit=unit, target=target, direction="max", notes=tuple(notes))


def at_least(
    what: str, measured: float, unit: str, target: float | None = None, *, notes: Sequence[str] = ()
) -> Figure:
    """A figure that is good where it is large."""
    return Figure(what=what, measured=measured, unit=unit, target=target, notes=tuple(notes))


def write(
    name: str,
    figures: Sequence[Figure],
    *,
    raw: object = None,
    config: object = None,
    folder: Path = FOLDER,
    command: str | None = None,
) -> Path:
    """Write `folder`/NAME.json, with the machine, versions and commit that it holds for; its path.

    `command` gives the same figures elsewhere, None: what was typed. Raises OutputError where it cannot be
    written.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    content = {
        "name": name,
        "command": _command() if command is None else command,
        "machine": {
            "cpu": processor(),
            **machine(),
            "memory_gb": round(memory / 1e9, 1),
            "load_1min": round(os.getloadavg()[0], 2),
            "gpu": _gpu(),
        },
        "versions": versions(),
        "commit": source_commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "config": config,
        "rows": [figure.to_mapping() for figure in figures],
        "raw": raw,
    }
    path = folder / f"{name}.json"
    with written_whole(path, remedy="choose another folder") as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _command() -> str:
    """What was typed, without where this machine keeps Python and its programs."""
    given = sys.orig_argv[1:]
    return " ".join(["python", *given] if given[:1] == ["-m"] else [Path(sys.argv[0]).name, *sys.argv[1:]])


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def read(path: Path) -> tuple[dict[str, Any], list[Figure]]:
    """A result file: everything in it, and its figures without intervals and notes, judged anew."""
    content = json.loads(path.read_text(encoding="utf-8"))
    given = ("what", "measured", "unit", "target", "direction")
    rows = [{key: row[key] for key in given if row[key] is not None} for row in content["rows"]]
    return content, [Figure(**{"measured": math.nan, **row}) for row in rows]


def text_table(figures: Sequence[Figure]) -> str:
    """The figures as a table in plain text, their notes below the line they belong to."""
    head = ("what", "measured", "95 % interval", "unit", "target", "met")
    lines = [head]
    for one in figures:
        met = {None: "", True: "yes", False: "NO"}[one.met]
        interval = interval_text(one.low, one.high)
        lines.append((one.what, number_text(one.measured), interval, one.unit, target_text(one), met))
    shown = [column for column in range(len(head)) if any(line[column] for line in lines[1:])]
    widths = {column: max(len(line[column]) for line in lines) for column in shown}
    text = []
    for line, notes in zip(lines, ((), *(figure.notes for figure in figures)), strict=True):
        cells = (f"{line[column]:{'>' if column == 1 else '<'}{widths[column]}}" for column in shown)
        text += ["  ".join(cells).rstrip(), *(f"    {note}" for note in notes)]
    return "\n".join(text)


def target_text(figure: Figure, signs: tuple[str, str] = ("<=", ">=")) -> str:
    """The target with its sign; empty without one."""
    return "" if figure.target is None else f"{signs[figure.direction == 'min']} {figure.target:g}"


def number_text(value: float) -> str:
    """Four digits; a dash where nothing could be measured."""
    return "-" if math.isnan(value) else f"{value:.4g}"


def interval_text(low: float, high: float) -> str:
    """'low to high'; empty where there is no interval."""
    return "" if math.isnan(low) or math.isnan(high) else f"{low:.2f} to {high:.2f}"
