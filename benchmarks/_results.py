"""Result files of the benchmarks: rows with targets, and on what they were measured."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sentryfuse_core.replay.manifest import processor, source_commit

if TYPE_CHECKING:
    from sentryfuse_core.lab.bench.figures import Figure

__all__ = ["FOLDER", "Row", "machine", "read", "render", "write"]

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "results"
LIBRARIES = ("numpy", "opencv-python-headless", "rosbags", "ros-rclpy", "torch")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `direction` says which side of the target is good; without a target it is only reported."""

    what: str
    measured: float
    unit: str
    target: float | None = None
    direction: Literal["min", "max"] = "max"  # max: at most the target; min: at least

    @classmethod
    def of(cls, figure: Figure) -> Row:
        """The row of a figure, without its interval and notes."""
        return cls(
            what=figure.what,
            measured=figure.measured,
            unit=figure.unit,
            target=figure.target,
            direction=figure.direction,
        )

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one. A figure that is no number reaches none."""
        if self.target is None:
            return None
        if math.isnan(self.measured):
            return False
        return self.measured <= self.target if self.direction == "max" else self.measured >= self.target


def write(
    name: str, rows: Sequence[Row], *, raw: object = None, config: object = None, folder: Path = FOLDER
) -> Path:
    """Write `folder`/NAME.json and return its path."""
    content = {
        "name": name,
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        "machine": machine(),
        "versions": _versions(),
        "commit": source_commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "config": config,
        "rows": [_plain(row) for row in rows],
        "raw": raw,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """A result file: everything in it, and its rows with `met` computed anew."""
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for row in content["rows"]:
        known = {
            field.name: row[field.name] for field in fields(Row) if field.name in row
        }  # not notes, intervals
        rows.append(Row(**{**known, "measured": math.nan if row["measured"] is None else row["measured"]}))
    return content, rows


def _plain(row: Row) -> dict[str, Any]:
    """The row for JSON, which has no NaN."""
    measured = None if math.isnan(row.measured) else row.measured
    return {**asdict(row), "measured": measured, "met": row.met}


def render(rows: Sequence[Row]) -> str:
    """The rows as a text table."""
    cells = [("what", "measured", "unit", "target", "met")]
    for row in rows:
        sign = "<=" if row.direction == "max" else ">="
        target = "" if row.target is None else f"{sign} {row.target:g}"
        met = {None: "", True: "yes", False: "NO"}[row.met]
        cells.append((row.what, f"{row.measured:.4g}", row.unit, target, met))
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    align = ("<", ">", "<", ">", "<")
    lines = ["  ".join(f"{cell:{align[i]}{widths[i]}}" for i, cell in enumerate(line)) for line in cells]
    return "\n".join(line.rstrip() for line in lines)


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "gpu": _gpu(),
    }


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _versions() -> dict[str, str]:
    installed = {item.name: item.version for item in importlib.metadata.distributions()}
    return {
        "python": platform.python_version(),
        **{name: installed[name] for name in LIBRARIES if name in installed},
    }
