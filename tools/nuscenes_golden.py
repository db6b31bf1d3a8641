"""Write the golden files of the tests: what nuscenes-devkit 1.2.0 makes of boxes, and reads from a made tree.

The devkit wants numpy below 2, so that it gets an environment of its own (Python 3.9 to 3.12):

    python3 -m venv /tmp/nuscenes && /tmp/nuscenes/bin/pip install nuscenes-devkit==1.2.0
    /tmp/nuscenes/bin/python tools/nuscenes_golden.py

Files of metrics also hold the boxes, so that nothing depends on numpy drawing the same numbers again.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.utils import center_distance
from nuscenes.eval.detection.algo import accumulate, calc_ap, calc_tp
from nuscenes.eval.detection.config import config_factory
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.nuscenes import NuScenes
from pyquaternion import Quaternion

TEST = Path(__file__).resolve().parent.parent / "test"
METRICS = TEST / "core" / "evaluation" / "golden"
TREE = TEST / "core" / "lab" / "datasets" / "golden" / "nuscenes_boxes.json"
DEVKIT = version("nuscenes-devkit")
LABELS = ("car", "pedestrian", "bicycle", "barrier")
SIZES = ((4.4, 1.85, 1.55), (0.5, 0.6, 1.72), (1.75, 0.6, 1.72), (0.5, 2.5, 1.0))  # length, width, height
ERRORS = ("trans_err", "scale_err", "orient_err")
Frame = dict[str, list[Any]]  # boxes [K, 7] as in FrameBoxes, classes [K], scores [K]
# frames, share of boxes found, centre error in m, false alarms a frame, share turned around, score step
CASES = {
    "usual": (60, 0.8, 0.6, 4, 0.1, 1e-4),
    "crowded": (25, 0.95, 1.5, 10, 0.3, 1e-4),
    "ties": (40, 0.8, 0.8, 6, 0.1, 0.1),  # many equal scores
    "poor": (40, 0.12, 1.2, 12, 0.5, 1e-4),  # recall about where it begins to count
    "gaps": (30, 0.7, 0.5, 3, 0.1, 1e-4),  # no bicycle is there, no barrier is found
}


def main() -> None:
    """Draw, evaluate and write every case; make the tree, read it and write its boxes."""
    for seed, name in enumerate(CASES):
        truth, found = draw(name, np.random.default_rng(seed))
        content = {
            "devkit": DEVKIT,
            "labels": LABELS,
            "half_turn": ["barrier"],
            "expected": judge(truth, found),
            "truth": truth,
            "found": found,
        }
        (METRICS / f"{name}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
        print(f"{name}.json: mAP {content['expected']['map']:.4f}")
    boxes = {"devkit": DEVKIT, "ego_boxes": tree_boxes()}
    TREE.write_text(json.dumps(boxes, indent=1) + "\n", encoding="utf-8")
    print(f"{TREE.name}: {sum(map(len, boxes['ego_boxes']))} boxes")


def draw(name: str, rng: np.random.Generator) -> tuple[list[Frame], list[Frame]]:
    """Frames of truth and of detections, rounded to what the file holds."""
    frames, recall, spread_m, alarms, turned, step = CASES[name]
    count = 14 if name == "crowded" else 7
    truth, found = [], []
    for _ in range(frames):
        classes = rng.integers(0, len(LABELS), count)
        if name == "gaps":
            classes[classes == 2] = 0
        boxes = scatter(rng, classes)
        seen = rng.random(count) < recall
        if name == "gaps":
            seen &= classes != 3
        guesses = boxes[seen].copy()
        guesses[:, :3] += rng.normal(0.0, spread_m, (len(guesses), 3)) * (1.0, 1.0, 0.2)
        guesses[:, 3:6] *= np.exp(rng.normal(0.0, 0.12, (len(guesses), 3)))
        guesses[:, 6] += rng.normal(0.0, 0.2, len(guesses)) + math.pi * (rng.random(len(guesses)) < turned)
        false = rng.integers(0, len(LABELS) - (name == "gaps"), rng.poisson(alarms))
        scores = np.concatenate([rng.beta(5, 2, len(guesses)), rng.beta(2, 4, len(false))])
        truth.append(frame(boxes, classes, np.ones(count)))
        found.append(
            frame(
                np.concatenate([guesses, scatter(rng, false)]),
                np.concatenate([classes[seen], false]),
                np.clip(np.round(scores / step) * step, step, 1.0),
            )
        )
    return truth, found


def scatter(rng: np.random.Generator, classes: np.ndarray) -> np.ndarray:
    """Boxes [K, 7] anywhere in the region in front of the robot."""
    size = np.array(SIZES)[classes] * np.exp(rng.normal(0.0, 0.08, (len(classes), 3)))
    place = rng.uniform((0.0, -16.0), (32.0, 16.0), (len(classes), 2))
    yaw = rng.uniform(-math.pi, math.pi, (len(classes), 1))
    return np.concatenate([place, size[:, 2:] / 2, size, yaw], axis=1)


def frame(boxes: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> Frame:
    """Plain values."""
    return {
        "boxes": boxes.round(4).tolist(),
        "classes": classes.tolist(),
        "scores": scores.round(4).tolist(),
    }


def judge(truth: list[Frame], found: list[Frame]) -> dict[str, Any]:
    """What the devkit says, by label; means as in its DetectionMetrics, over our labels."""
    config = config_factory("detection_cvpr_2019")
    theirs, guessed = boxes_of(truth), boxes_of(found)
    ap: dict[str, dict[str, float]] = {}
    errors: dict[str, dict[str, float]] = {}
    for label in LABELS:
        data = {
            metres: accumulate(theirs, guessed, label, center_distance, metres) for metres in config.dist_ths
        }
        ap[label] = {
            f"{metres:g}": calc_ap(item, config.min_recall, config.min_precision)
            for metres, item in data.items()
        }
        own = data[config.dist_th_tp]
        errors[label] = {name: calc_tp(own, config.min_recall, name) for name in ERRORS}
    return {
        "map": float(np.mean([np.mean(list(own.values())) for own in ap.values()])),
        "ap": ap,
        "errors": errors,
    }


def boxes_of(frames: list[Frame]) -> EvalBoxes:
    """The devkit's own form."""
    boxes = EvalBoxes()
    for index, item in enumerate(frames):
        token = f"frame{index:04d}"
        rows = zip(item["boxes"], item["classes"], item["scores"], strict=True)
        made = [
            DetectionBox(
                sample_token=token,
                translation=tuple(box[:3]),
                size=(box[4], box[3], box[5]),
                rotation=(math.cos(box[6] / 2), 0.0, 0.0, math.sin(box[6] / 2)),
                detection_name=LABELS[class_id],
                detection_score=float(score),
            )
            for box, class_id, score in rows
        ]
        boxes.add_boxes(token, made)
    return boxes


def tree_boxes() -> list[list[dict[str, Any]]]:
    """Boxes in the ego frame at the lidar's moment, for each key frame of the tests' tree."""
    sys.path.insert(0, str(TEST))
    import driving_trees

    with tempfile.TemporaryDirectory() as folder:
        root = driving_trees.nuscenes(Path(folder), frames=2, tilted=True)
        tables = NuScenes("v1.0-mini", dataroot=str(root), verbose=False)
        return [ego_boxes(tables, sample) for sample in tables.sample]


def ego_boxes(tables: NuScenes, sample: dict[str, Any]) -> list[dict[str, Any]]:
    """Every annotation of a key frame: the devkit's own boxes, moved by its own two steps."""
    lidar = tables.get("sample_data", sample["data"]["LIDAR_TOP"])
    pose = tables.get("ego_pose", lidar["ego_pose_token"])
    found = []
    for box in tables.get_boxes(lidar["token"]):
        box.translate(-np.array(pose["translation"]))
        box.rotate(Quaternion(pose["rotation"]).inverse)
        width, length, height = box.wlh.tolist()
        annotation = tables.get("sample_annotation", box.token)
        found.append(
            {
                "category": box.name,
                "attributes": [
                    tables.get("attribute", key)["name"] for key in annotation["attribute_tokens"]
                ],
                "points": annotation["num_lidar_pts"] + annotation["num_radar_pts"],
                "centre": box.center.tolist(),
                "size": [length, width, height],
                "ahead": box.rotation_matrix[:, 0].tolist(),
            }
        )
    return found


if __name__ == "__main__":
    main()
