"""Score weights on real recordings and write the figures: python -m benchmarks.real FOLDER [--weights FILE].

FOLDER holds kitti_drive (a KITTI raw drive: what is developed on) and bags/ with city_drive and
handheld_walk, recordings without labels. With --tuned, weights that `sentryfuse train --data` made of the
drive's frames 0 to 27 are judged on its frames 28 to 39, near relatives of what they learned from.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks._ends import ended
from sentryfuse_core.config import Config, override
from sentryfuse_core.lab.bench.results import Figure, at_least, at_most, text_table, write
from sentryfuse_core.lab.commands.eval_data import DataTask, study_data
from sentryfuse_core.lab.commands.eval_data_report import DataStudy
from sentryfuse_core.lab.commands.eval_policy_figures import fault_figures
from sentryfuse_core.lab.datasets.driving import Span
from sentryfuse_core.lab.datasets.layouts import open_driving
from sentryfuse_core.lab.training.told import TOLD
from sentryfuse_core.model.checkpoint import SHIPPED, Checkpoint, load_checkpoint
from sentryfuse_core.openmp import idle_cores

_TUNED = "fine-tuned on frames 0 to 27, on 28 to 39"
LEAST = 0.1  # AP in per cent that is not zero
CLUSTERING = "clustering lidar"
DRIVE, TUNED_ON = "kitti_drive", (28, 39)
KITTI_CAMERA = {  # of 2011-09-26, as published: recorded in a bag without CameraInfo and poses
    "camera.image_width": 1242,
    "camera.image_height": 375,
    "camera.fx": 721.5,
    "camera.fy": 721.5,
    "camera.cx": 609.6,
    "camera.cy": 172.9,
    "camera.translation_m": [0.27, 0.06, 1.65],
    "lidar.translation_m": [0.0, 0.0, 1.73],
}
WITHOUT_LABELS: Mapping[str, Mapping[str, Any]] = {
    "city_drive": KITTI_CAMERA,
    "handheld_walk": {"audio.sample_rate_hz": 48000, "audio.channels": 1},
}


@dataclass(frozen=True)
class Empty:
    """Where a recording shows no road user: frames, counted from 0, and a strip of the base frame along x."""

    frames: Span
    right_m: float  # y of its edges
    left_m: float


# Judged by eye on every 15th picture of the walk and every second of the drive. Beside the walk cars are
# parked, by their height in the picture about 14 to 17 m to the right; between them and the house to the left
# are plants, a bench and the path alone. In city_drive cars and lorries stand or pass in every frame, ahead
# and to both sides: it has no such place. What is published far from labels is counted on the labelled drive.
EMPTY: Mapping[str, Empty] = {"handheld_walk": Empty((0, 316), -11.0, 16.0)}
MOST_TOLD = 1.0  # boxes a frame where there is nothing


def main() -> int:
    """Score, print, write benchmarks/results/real.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="with kitti_drive and bags/")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the shipped ones")
    parser.add_argument(
        "--tuned", type=Path, metavar="FILE", help="fine-tuned on frames 0 to 27 of the drive"
    )
    parser.add_argument("--no-faults", action="store_true", help="leave out the faults, which take longest")
    args = parser.parse_args()
    torch.set_num_threads(idle_cores())
    checkpoint = load_checkpoint(args.weights or SHIPPED)
    drive = open_driving(args.folder / DRIVE)
    study = study_data(drive, checkpoint, DataTask(corrupt=not args.no_faults))
    figures = never_seen(study)
    figures += far_from_labels(study)
    raw = {DRIVE: plain(study)}
    if args.tuned is not None:
        tuned = study_data(drive, load_checkpoint(args.tuned), DataTask(span=TUNED_ON))
        figures += fine_tuned(tuned)
        raw["fine-tuned"] = plain(tuned)
    for name, told in WITHOUT_LABELS.items():
        found = published(args.folder / "bags" / name, checkpoint, told)
        figures += quiet(name, found)
        if name in EMPTY:
            figures += nobody(name, found, EMPTY[name])
        raw[name] = plain(found)
    if study.faults is not None:
        figures += fault_figures(study.faults)
    command = ["python -m benchmarks.real", args.folder.name]
    command += [f"--weights {args.weights.name}"] if args.weights else []
    command += [f"--tuned {args.tuned.name}"] if args.tuned else []
    config = {"weights": checkpoint.identity}
    path = write("real", figures, raw=raw, config=config, command=" ".join(command))
    print(f"{text_table(figures)}\n{path}")
    return 0


def published(bag: Path, checkpoint: Checkpoint, told: Mapping[str, Any]) -> DataStudy:
    """What a robot would publish over a recording without labels."""
    found = open_driving(bag, config=override(Config(), dict(told)), need_labels=False)
    return study_data(found, checkpoint, DataTask())


def never_seen(study: DataStudy) -> list[Figure]:
    """Weights that saw no real frame, on all frames of the drive."""
    everything = str(study.sensors)
    lidar, whole, clustering = (points(study, name) for name in ("lidar", everything, CLUSTERING))
    figures = [
        at_least("never saw a real frame: lidar alone, mAP", lidar, "%", clustering),
        Figure(what="clustering, nothing learned, the same frames, mAP", measured=clustering, unit="%"),
        at_least(f"{everything} against the lidar alone", whole - lidar, "points", -1.0),
    ]
    scores = study.scores
    if scores is not None and "car" in scores.labels:
        cars = 100 * scores.metrics["camera", 0].ap["car"][4.0]
        figures.append(at_least("camera alone, AP of cars at 4 m", cars, "%", 30.0))
    return figures


def fine_tuned(study: DataStudy) -> list[Figure]:
    """Weights that learned from frames of the same drive."""
    everything = str(study.sensors)
    lidar, whole = points(study, "lidar"), points(study, everything)
    figures = [
        Figure(what=f"{_TUNED}: lidar alone, mAP", measured=lidar, unit="%"),
        at_least(f"{_TUNED}: {everything} against the lidar alone", whole - lidar, "points", 0.0),
    ]
    if study.scores is not None:
        found = study.scores.metrics[everything, 0].ap
        for label in (name for name in ("pedestrian", "cyclist") if name in found):
            mean = 100 * sum(found[label].values()) / len(found[label])
            figures.append(at_least(f"{_TUNED}: {everything}, AP of {label}", mean, "%", LEAST))
    return figures


def quiet(name: str, study: DataStudy) -> list[Figure]:
    """Boxes a frame of every set of sensors."""
    return [
        at_most(f"{name}: boxes a frame at the published threshold, {what}", told, "boxes")
        for (what, _), (told, _) in study.told().items()
    ]


def nobody(name: str, study: DataStudy, empty: Empty) -> list[Figure]:
    """Boxes a frame that are published where there is no road user, by sensors."""
    first, last = empty.frames
    figures = []
    for (what, level), every in study.frames.boxes.items():
        if not what.startswith(TOLD) or level:
            continue
        y = [own.boxes[:, 1] for own in every[first : last + 1]]
        inside = sum(int(((own > empty.right_m) & (own < empty.left_m)).sum()) for own in y)
        place = f"{name}, {empty.right_m:g} to {empty.left_m:g} m to the left"
        told = f"{place}: boxes a frame where there is no road user, {what.removeprefix(TOLD)}"
        figures.append(at_most(told, inside / len(y), "boxes", MOST_TOLD))
    return figures


def far_from_labels(study: DataStudy) -> list[Figure]:
    """Published boxes a frame of a labelled drive with no label near, by sensors."""
    return [
        at_most(f"{DRIVE}: boxes a frame 4 m and more from every label, {what}", far, "boxes", MOST_TOLD)
        for (what, level), (_, far) in study.told().items()
        if not level
    ]


def points(study: DataStudy, name: str) -> float:
    """The mAP of a set of sensors at full width, in per cent; NaN where it was not run."""
    found = None if study.scores is None else study.scores.metrics.get((name, 0))
    return float("nan") if found is None else 100 * found.map


def plain(study: DataStudy) -> dict[str, Any]:
    """What was found, for the file."""
    scores = study.scores
    metrics = {} if scores is None else scores.metrics
    return {
        "frames": len(study.frames.truth),
        "boxes": {} if scores is None else dict(scores.boxes),
        "ap": {
            f"{name}, level {level}": found.to_mapping()["ap"] for (name, level), found in metrics.items()
        },
        "told": {f"{name}, level {level}": list(told) for (name, level), told in study.told().items()},
    }


if __name__ == "__main__":
    raise SystemExit(ended(main))
