"""What a robot gains that teaches itself on a drive without labels: python -m benchmarks.adapt DRIVE.

DRIVE is a KITTI raw drive; its last 30 per cent are kept back and judged by its tracklets, which nothing
else reads. They are near relatives of what was learned from.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks._ends import ended
from sentryfuse_core.cli import main as sentryfuse
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.bench.results import Figure, at_least, text_table, write
from sentryfuse_core.lab.commands.adapt import NOT_GAINED

KEPT_BACK = 0.3
LEAST = 1.0  # per cent that the camera has to reach where it found nothing before
LOST = 1.0  # points of mAP that the lidar alone may lose at most
CAMERA, LIDAR = "camera", "lidar"


def main() -> int:
    """Adapt, judge, print, write benchmarks/results/adapt.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("drive", type=Path, metavar="DRIVE")
    parser.add_argument("--init", metavar="WEIGHTS", help="weights to start from (default: shipped)")
    parser.add_argument("--steps", type=int, default=150, help="of training (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, metavar="DIR", help="keep all that is made here, and resume")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = args.state or Path(made)
        options = ["--steps", str(args.steps), "--seed", str(args.seed), "--keep-back", str(KEPT_BACK)]
        options += ["--init", args.init] if args.init else []
        options += ["--resume"] if (folder / "mine" / "state.safetensors").is_file() else []
        out = folder / "mine.safetensors"
        status = sentryfuse(["adapt", str(args.drive), "--out", str(out), *options])
        if status > NOT_GAINED:
            return status
        report = json.loads((folder / "mine" / "report.json").read_text(encoding="utf-8"))
    words = f"python -m benchmarks.adapt {args.drive.name} --steps {args.steps} --seed {args.seed}"
    words += f" --init {Path(args.init).name}" if args.init else ""
    rows = figures(report)
    path = write("adapt", rows, raw=report, config={"teacher": report["teacher"]}, command=words)
    print(f"{text_table(rows)}\n{path}")
    return 0


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Before and after by labels; raises EvaluationError for a report of recordings without any."""
    rows = {row["sensors"]: row for row in report.get("labels") or []}
    if CAMERA not in rows or any("car" not in rows[CAMERA][f"ap_{when}"] for when in ("before", "after")):
        raise EvaluationError(
            "what was kept back has no labelled cars to judge a camera by; "
            "give a KITTI raw drive with tracklets"
        )
    found = []
    for metres in ("2", "4"):
        before, after = (100 * rows[CAMERA][f"ap_{when}"]["car"][metres] for when in ("before", "after"))
        found += [
            at_least(f"camera alone, cars at {metres} m, before", before, "%"),
            at_least(
                f"camera alone, cars at {metres} m, adapted without labels",
                after,
                "%",
                aim_of(before),
            ),
        ]
    for name, row in rows.items():
        before, after = 100 * row["before"], 100 * row["after"]
        least = before - LOST if name == LIDAR else None
        found += [
            at_least(f"{name}, mAP, before", before, "%"),
            at_least(f"{name}, mAP, adapted without labels", after, "%", least),
        ]
    return found


def aim_of(before: float) -> float:
    """What the camera has to reach, in per cent: twice as much, or where less, half way to all."""
    return max(min(2 * before, (before + 100.0) / 2), LEAST)


if __name__ == "__main__":
    raise SystemExit(ended(main))
