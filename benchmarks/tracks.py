"""Identities and speeds in blackouts, KITTI beside a plain tracker, cost: python -m benchmarks.tracks."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._ends import count, ended
from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.lab.bench.results import ROOT, Figure, at_least, at_most, text_table, write
from sentryfuse_core.lab.commands.eval_tracks import SECONDS, figures, judge_tracks
from sentryfuse_core.lab.datasets.kitti_tracking import KINDS, sequences
from sentryfuse_core.lab.scoring.kitti_runs import KittiResult, run_kitti
from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.tracking.findable import findable
from sentryfuse_core.tracking.noise import place_noise
from sentryfuse_core.tracking.profiles import profiles
from sentryfuse_core.tracking.tracker import Tracker
from sentryfuse_core.types import ModalitySet

SHARED = Path(os.environ.get("SENTRYFUSE_SHARED", ROOT.parent / "shared"))
KITTI = SHARED / "data" / "kitti_tracking"
LABELS = ("car", "pedestrian", "cyclist")
FITTED = (
    "calibrators are fitted on the other nine sequences; 'chosen': one threshold a class, the best on the "
    "ten themselves; 'crossed': for each sequence the best on the other nine; the tracker's own "
    "constants were chosen on the ten, as was the probability from which tracks are told"
)


def main() -> int:
    """Measure, print, write benchmarks/results/tracks.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drives", type=count, default=6, help="held-out drives of the synthetic world")
    args = parser.parse_args()
    bank = Bank(load_checkpoint(SHIPPED))
    step_ms = cost_ms(bank)
    rows, raw = kitti()
    runs = judge_tracks(bank, drives=args.drives, seconds=SECONDS, seed=0)
    rows = [
        *figures(runs),
        *rows,
        at_most("a step at 50 objects, median", float(np.median(step_ms)), "ms", 1.0),
        at_most("the same, p99", float(np.quantile(step_ms, 0.99)), "ms", 3.0),
    ]
    found = {"runs": [run.to_mapping() for run in runs], "kitti": raw}
    config = {"weights": bank.identity, "drives": args.drives, "seconds": SECONDS}
    path = write("tracks", rows, raw=found, config=config)
    print(f"{text_table(rows)}\n{path}")
    return 0


def kitti() -> tuple[list[Figure], dict[str, Any]]:
    """Ours beside the plain tracker on the ten sequences; no rows without them."""
    if not (KITTI / "labels").is_dir():
        return [], {"skipped": "needs the recordings in ../shared/data"}
    names = sequences(KITTI)
    found = {kind: run_kitti(KITTI, names, kind) for kind in KINDS}
    plain, ours = ([one[who] for one in found.values()] for who in ("plain", "ours"))
    rows = [
        _mota("MOTA, threshold chosen on these sequences", "chosen", ours, plain),
        _mota("MOTA, threshold crossed over the sequences", "crossed", ours, plain),
        at_most(
            f"KITTI, {len(names)} sequences, chosen threshold: identity switches; aim: the plain one",
            sum(one.chosen.switches for one in ours),
            "",
            sum(one.chosen.switches for one in plain),
        ),
        *(
            at_least(f"KITTI, plain tracker: {what}", 100 * _mean(plain, which), "%")
            for what, which in (("MOTA, chosen", "chosen"), ("MOTA, crossed", "crossed"))
        ),
    ]
    raw = {
        "fitted": FITTED,
        "sequences": names,
        "classes": {
            kind: {who: _plain_values(result) for who, result in one.items()} for kind, one in found.items()
        },
    }
    return rows, raw


def _mota(what: str, which: str, ours: list[KittiResult], plain: list[KittiResult]) -> Figure:
    aim = round(100 * _mean(plain, which), 2)
    return at_least(f"KITTI, mean of the classes: {what}", 100 * _mean(ours, which), "%", aim)


def _mean(results: list[KittiResult], which: str) -> float:
    return float(np.mean([getattr(one, which).mota for one in results]))


def _plain_values(result: KittiResult) -> dict[str, Any]:
    return {
        **{
            which: {**vars(getattr(result, which)), "mota": getattr(result, which).mota}
            for which in ("chosen", "crossed")
        },
        "threshold": result.threshold,
        "step_ms": {
            "median": float(np.median(result.step_ms)),
            "p99": float(np.quantile(result.step_ms, 0.99)),
        },
    }


def cost_ms(bank: Bank, *, objects: int = 50, sets: int = 1000) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Time of each step of a tracker that follows `objects`, with nine of ten found and a few false boxes."""
    rng = np.random.default_rng(0)
    tracker, known = Tracker(TrackingConfig(), LABELS), profiles(LABELS)
    places = np.column_stack((rng.uniform(2, 30, objects), rng.uniform(-14, 14, objects)))
    speeds = rng.normal(0, 0.3, (objects, 2))
    classes = rng.integers(0, len(LABELS), objects)
    sizes = np.array([(4.4, 1.85, 1.55), (0.5, 0.6, 1.72), (1.75, 0.6, 1.72)])[classes]
    took = []
    for index in range(sets):
        places = places + speeds * (0.1 if index % 100 < 50 else -0.1)
        seen = np.flatnonzero(rng.random(objects) < 0.9)
        boxes = np.column_stack(
            (
                places[seen] + rng.normal(0, 0.15, (len(seen), 2)),
                sizes[seen, 2] / 2,
                sizes[seen],
                np.arctan2(*speeds[seen].T[::-1]),
            )
        )
        found = FrameBoxes(boxes, classes[seen], rng.uniform(0.3, 0.95, len(seen)))
        began_s = time.perf_counter()
        tracker.step(
            found,
            0.1,
            findable=findable(ModalitySet.all(), lambda sensors: bank.found(sensors, 0)),
            noise=place_noise(found.boxes[:, :2], known[found.classes, 3], ModalitySet.all()),
            over_ground=True,
        )
        took.append((time.perf_counter() - began_s) * 1e3)
    return np.array(took[sets // 10 :])


if __name__ == "__main__":
    raise SystemExit(ended(main))
