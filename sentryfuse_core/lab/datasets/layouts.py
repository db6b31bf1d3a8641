"""Which layout a folder has, told by what lies in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from sentryfuse_core.config import Config
from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.bag_labels import find_bags, load_bags
from sentryfuse_core.lab.datasets.driving import DrivingSet
from sentryfuse_core.lab.datasets.kitti_object import is_kitti_object, load_kitti_object
from sentryfuse_core.lab.datasets.kitti_raw import drive_folders, load_kitti_raw
from sentryfuse_core.lab.datasets.nuscenes import load_nuscenes
from sentryfuse_core.lab.datasets.nuscenes_tables import version_folder

__all__ = ["detect_layout", "open_driving"]


class _Layout(NamedTuple):
    """What finds something in a folder of the layout, what that looks for, and what reads the folder."""

    find: Callable[[Path], object]
    looks_for: str
    load: Callable[[Path], DrivingSet]


_FOLDERS: Mapping[str, _Layout] = {
    "kitti-object": _Layout(is_kitti_object, "training/label_2", load_kitti_object),
    "kitti-raw": _Layout(drive_folders, "*_sync/velodyne_points", load_kitti_raw),
    "nuscenes": _Layout(version_folder, "v1.0-*/sample_data.json", load_nuscenes),
}


def detect_layout(path: Path) -> str:
    """The layout of `path`; raises DatasetError that says what was looked for."""
    if not path.exists():
        raise DatasetError(f"no folder or recording at {path}; check the path")
    for name, layout in _FOLDERS.items():
        if path.is_dir() and layout.find(path):
            return name
    if find_bags(path):
        return "bag"
    known = ", ".join(f"{layout.looks_for} ({name})" for name, layout in _FOLDERS.items())
    raise DatasetError(
        f"{path} has no known layout: looked for {known}, .mcap, .db3 or .bag (bag); --format overrides"
    )


def open_driving(
    path: Path,
    *,
    layout: str | None = None,
    labels: Path | None = None,
    config: Config | None = None,
    topics: Mapping[str, str] | None = None,
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
    return _FOLDERS[found].load(path)
