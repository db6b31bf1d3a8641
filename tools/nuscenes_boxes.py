"""Write test/core/lab/datasets/golden/nuscenes_boxes.json: what nuscenes-devkit 1.2.0 reads from a made tree.

The devkit wants numpy below 2, so that it gets an environment of its own (Python 3.9 to 3.12):

    python3 -m venv /tmp/nuscenes && /tmp/nuscenes/bin/pip install nuscenes-devkit==1.2.0
    PYTHONPATH=test /tmp/nuscenes/bin/python tools/nuscenes_boxes.py
"""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import driving_trees
import numpy as np
from nuscenes.nuscenes import NuScenes
from pyquaternion import Quaternion

TARGET = Path(__file__).resolve().parent.parent / "test/core/lab/datasets/golden/nuscenes_boxes.json"


def main() -> None:
    """Make the tree, read it with the devkit, write boxes in the ego frame at the lidar's moment."""
    with tempfile.TemporaryDirectory() as folder:
        root = driving_trees.nuscenes(Path(folder), frames=2, tilted=True)
        tables = NuScenes("v1.0-mini", dataroot=str(root), verbose=False)
        content = {
            "devkit": version("nuscenes-devkit"),
            "ego_boxes": [ego_boxes(tables, sample) for sample in tables.sample],
        }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {sum(map(len, content['ego_boxes']))} boxes")


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
