"""Which layout a folder has, told by what lies in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sentryfuse_core.config import Config
from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.bag_labels import find_bags, load_bags
from sentryfuse_core.lab.datasets.driving import DrivingSet
from sentryfuse_core.lab.datasets.kitti_object import is_kitti_object, load_kitti_object
from sentryfuse_core.lab.datasets.kitti_raw import drive_folders, load_kitti_raw
from sentryfuse_core.lab.datasets.nuscenes import load_nuscenes
from sentryfuse_core.lab.datasets.nuscenes_tables import version_folder
from sentryfuse_core.types import Modality

__all__ = ["LAYOUTS", "detect_layout", "open_driving"]

_FOLDERS: Mapping[str, tuple[Callable[[Path], object], Callable[[Path], DrivingSet]]] = {
    "kitti-object": (is_kitti_object, load_kitti_object),
    "kitti-raw": (drive_folders, load_kitti_raw),
    "nuscenes": (version_folder, load_nuscenes),
}
"""What finds something in a folder of the layout, and what reads it."""
LAYOUTS = (*_FOLDERS, "bag")
_LOOKED_FOR = (
    "training/label_2 (kitti-object), *_sync/velodyne_points (kitti-raw), "
    "v1.0-*/sample_data.json (nuscenes), .mcap, .db3 or .bag (bag)"
)


def detect_layout(path: Path) -> str:
    """The layout of `path`; raises DatasetError that says what was looked for."""
    if not path.exists():
        raise DatasetError(f"no folder or recording at {path}; check the path")
    for layout, (find, _) in _FOLDERS.items():
        if path.is_dir() and find(path):
            return layout
    if find_bags(path):
        return "bag"
    raise DatasetError(f"{path} has no known layout: looked for {_LOOKED_FOR}; --format overrides")


def open_driving(
    path: Path,
    *,
    layout: str | None = None,
    labels: Path | None = None,
    config: Config | None = None,
    topics: Mapping[Modality, str] | None = None,
) -> DrivingSet:
    """The drives of a folder; `labels`, `config` and `topics` are of recordings.

    Raises DatasetError, or what its layout's loader raises.
    """
    found = layout or detect_layout(path)
    if not path.exists():
        raise DatasetError(f"no folder or recording at {path}; check the path")
    if found == "bag":
        return load_bags(path, labels=labels, config=config, topics=topics or {})
    if labels is not None:
        raise DatasetError(f"--labels {labels}: {found} brings its own labels; leave it out")
    return _FOLDERS[found][1](path)
