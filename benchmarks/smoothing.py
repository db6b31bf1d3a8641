"""What boxes gain when tracks smooth them, on held-out drives: python -m benchmarks.smoothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks._ends import count, ended
from sentryfuse_core.boxes import Floats, FrameBoxes
from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.evaluation.matching import match_frames
from sentryfuse_core.evaluation.metrics import evaluate_detections
from sentryfuse_core.lab.bench.results import Figure, at_least, at_most, text_table, write
from sentryfuse_core.lab.commands.eval_tracks import SECONDS
from sentryfuse_core.lab.scoring.track_drives import FIRST_SCORED, TrackDrive, make_drive
from sentryfuse_core.lab.scoring.track_runs import ALL, NO_LIDAR, move_on
from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.tracking.findable import Recall
from sentryfuse_core.tracking.profiles import profiles
from sentryfuse_core.tracking.smooth import blended
from sentryfuse_core.tracking.tracker import Tracker
from sentryfuse_core.types import Modality, ModalitySet

LIDAR = ModalitySet.of(Modality.LIDAR, Modality.IMU)
BINS = 10


def main() -> int:
    """Drive, follow, smooth, print, write benchmarks/results/smoothing.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drives", type=count, default=6, help="held-out drives of the synthetic world")
    args = parser.parse_args()
    bank = Bank(load_checkpoint(SHIPPED))
    masks = (ALL, LIDAR, NO_LIDAR)
    seeds = range(FIRST_SCORED, FIRST_SCORED + args.drives)
    drives = [make_drive(bank, masks, seed=seed, seconds=SECONDS) for seed in seeds]
    rows = [
        row
        for mask in masks
        for row in figures(drives, mask, labels=bank.labels, recall=lambda sensors: bank.found(sensors, 0))
    ]
    config = {"weights": bank.identity, "drives": args.drives, "seconds": SECONDS}
    path = write("smoothing", rows, config=config)
    print(f"{text_table(rows)}\n{path}")
    return 0


def figures(
    drives: Sequence[TrackDrive], mask: ModalitySet, *, labels: Sequence[str], recall: Recall
) -> list[Figure]:
    """Accuracy and calibration with the sensors `mask`, of boxes of themselves and smoothed."""
    truth = [frame for drive in drives for frame in drive.boxes]
    own = [frame for drive in drives for frame in drive.found[mask]]
    smooth = [frame for drive in drives for frame in smoothed(drive, mask, labels=labels, recall=recall)]
    rows = []
    for how, found in (("of themselves", own), ("smoothed", smooth)):
        scores = evaluate_detections(truth, found, labels=labels)
        error = miscalibration(truth, found, class_count=len(labels))
        rows += [
            at_least(f"mAP, {mask}, boxes {how}", 100 * scores.map, "%"),
            at_most(f"scale error, {mask}, boxes {how}", scores.mean_ase, ""),
            at_most(f"calibration error (ECE), {mask}, boxes {how}", error, ""),
        ]
    return rows


def smoothed(
    drive: TrackDrive, mask: ModalitySet, *, labels: Sequence[str], recall: Recall
) -> list[FrameBoxes]:
    """The detections of every moment of a drive with the scores and sizes that their tracks give them."""
    tracker, known, made = Tracker(TrackingConfig(), labels), profiles(labels), []
    for found, step in zip(drive.found[mask], drive.steps, strict=True):
        objects = move_on(tracker, found, mask, step, known=known, recall=recall)
        boxes, scores = found.boxes.copy(), found.scores.copy()
        who = {identity: row for row, identity in enumerate(objects.identities.tolist())}
        for row, identity in enumerate(tracker.found_as.tolist()):
            if identity in who:
                boxes[row, 3:6] = objects.sizes[who[identity]]
                mean = 1.0 / (1.0 + np.exp(-objects.scores[who[identity]]))
                scores[row] = blended(scores[row : row + 1], np.array([mean]))[0]
        made.append(FrameBoxes(boxes, found.classes, scores))
    return made


def miscalibration(truth: Sequence[FrameBoxes], found: Sequence[FrameBoxes], *, class_count: int) -> float:
    """Expected calibration error over ten bins: how far scores are from the share that is right."""
    matches = match_frames(truth, found, class_count=class_count)
    scores: Floats = matches.scores
    right = matches.right.astype(float)
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    off = [abs((scores - right)[bins == one].sum()) for one in range(BINS)]
    return float(sum(off) / max(1, len(scores)))


if __name__ == "__main__":
    raise SystemExit(ended(main))
