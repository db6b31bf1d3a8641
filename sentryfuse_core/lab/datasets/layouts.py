"""Which layout a folder has, told by what lies in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sentryfuse_core.config import Config
from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.bag_labels import find_bags, load_bags
from sentryfuse_core.lab.datasets.driving import DrivingSet, split_drives
from sentryfuse_core.lab.datasets.kitti_object import is_kitti_object, load_kitti_object
from sentryfuse_core.lab.datasets.kitti_raw import drive_folders, load_kitti_raw
from sentryfuse_core.lab.datasets.nuscenes import load_nuscenes
from sentryfuse_core.lab.datasets.nuscenes_tables import version_folder
from sentryfuse_core.lab.datasets.vocabulary import USUAL, Vocabulary

__all__ = ["detect_layout", "merged", "named", "open_driving"]


class _Layout(NamedTuple):
    """What finds something in a folder of the layout, what that looks for, and what reads the folder."""

    find: Callable[[Path], object]
    looks_for: str
    load: Callable[..., DrivingSet]


_KITTI = (_OBJECT, _RAW) = ("kitti-object", "kitti-raw")
_NUSCENES = "nuscenes"
_FOLDERS: Mapping[str, _Layout] = {
    _OBJECT: _Layout(is_kitti_object, "training/label_2", load_kitti_object),
    _RAW: _Layout(drive_folders, "*_sync/velodyne_points", load_kitti_raw),
    _NUSCENES: _Layout(version_folder, "v1.0-*/sample_data.json", load_nuscenes),
}


def named(path: Path) -> Path:
    """`path`; of `.` and `..` the folder that it is, as layouts look at its name and what lies beside it."""
    return path if path.name not in {"", ".."} else path.resolve()


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


def open_driving(  # noqa: PLR0913 - options of several layouts
    path: Path,
    *,
    layout: str | None = None,
    labels: Path | None = None,
    config: Config | None = None,
    told: Collection[str] | None = None,
    topics: Mapping[str, str] | None = None,
    need_labels: bool = True,
    plain: bool = False,
    vocabulary: Vocabulary = USUAL,
    lidar_height_m: float | None = None,
    around: bool = False,
) -> DrivingSet:
    """The drives of a folder, its classes named by `vocabulary`.

    `plain`: every frame, whether labelled or not; those of recordings and KITTI raw then have no labels.
    `labels`, `config`, `told`, `topics` and `need_labels` are of recordings, see `load_bags`;
    `lidar_height_m` is of KITTI's layouts; `around`, a frame of each side of a moment, is of nuScenes.
    Raises DatasetError, or what its layout's loader raises.
    """
    path = named(path)
    found = layout or detect_layout(path)
    if not path.exists():
        raise DatasetError(f"no folder or recording at {path}; check the path")
    if around and found != _NUSCENES:
        why = "is labelled in one view alone" if found in _KITTI else "does not say where it is labelled"
        raise DatasetError(f"--around: {path} ({found}) {why}; leave it out")
    if found == "bag":
        return load_bags(
            path,
            labels=labels,
            config=config,
            told=told,
            topics=topics or {},
            need_labels=need_labels,
            plain=plain,
            vocabulary=vocabulary,
        )
    if labels is not None:
        raise DatasetError(f"--labels {labels}: {found} brings its own labels; leave it out")
    options: dict[str, Any] = {"plain": True} if plain and found == _RAW else {}
    options |= {"around": True} if around else {}
    if lidar_height_m is None:
        return _FOLDERS[found].load(path, vocabulary=vocabulary, **options)
    if found not in _KITTI:
        raise DatasetError(
            f"--lidar-height {lidar_height_m:g}: {found} tells where its lidar is; leave it out"
        )
    return _FOLDERS[found].load(path, vocabulary=vocabulary, lidar_height_m=lidar_height_m, **options)


def merged(sets: Sequence[DrivingSet]) -> DrivingSet:
    """Several sets as one; each is split into train and val by itself, so that all are in both.

    Raises DatasetError for a drive that is in two of them: it could validate in one and be learned from in
    the other, and would count twice.
    """
    if len(sets) == 1:
        return sets[0]
    taken: dict[frozenset[Path], int] = {}  # files of a drive -> the set it is in
    for number, one in enumerate(sets):
        for drive in one.drives:
            before = taken.setdefault(frozenset(path.resolve() for path in drive.files), number)
            if before != number:
                raise DatasetError(f"{drive.name} is in {sets[before].root} and in {one.root}; give it once")
    drives = (
        replace(drive, split=split)
        for one in sets
        for drive, split in zip(one.drives, split_drives(one.drives), strict=True)
    )
    layouts = "+".join(dict.fromkeys(one.layout for one in sets))
    notes = tuple(f"{one.root}: {note}" for one in sets for note in one.notes)
    return DrivingSet(layouts, sets[0].root, tuple(drives), notes, sets[0].labels)
