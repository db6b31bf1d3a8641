"""The JSON tables of nuScenes v1.0, as far as cameras, top lidar and boxes go.

Read directly: nuscenes-devkit 1.2.0 wants numpy below 2 and cannot be installed beside this package.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.files import need_folder, read_json

__all__ = ["AROUND", "CAMERA", "LIDAR", "Record", "Tables", "load_tables", "version_folder"]

CAMERA, LIDAR = "CAM_FRONT", "LIDAR_TOP"
AROUND = (
    *(CAMERA, "CAM_FRONT_LEFT", "CAM_BACK_LEFT"),
    *("CAM_BACK", "CAM_BACK_RIGHT", "CAM_FRONT_RIGHT"),
)
Record = dict[str, Any]
_NEEDED = (
    *("scene", "sample", "sample_data", "calibrated_sensor", "sensor", "ego_pose"),
    *("sample_annotation", "instance", "category", "attribute"),
)
_PREFERRED = ("v1.0-trainval", "v1.0-mini")


@dataclass(frozen=True, eq=False)
class Tables:
    """Records by token, and what belongs to a sample."""

    root: Path  # that file names are relative to
    folder: Path
    scenes: list[Record]
    samples: dict[str, Record]
    data: dict[tuple[str, str], Record]  # (sample token, channel) -> key frame's sample_data
    calibration: dict[str, Record]
    poses: dict[str, Record]
    annotations: dict[str, list[Record]]  # by sample token
    category: dict[str, str]  # instance token -> category name
    attribute: dict[str, str]  # token -> name

    def samples_of(self, scene: Record) -> list[Record]:
        """The key frames of a scene, in order."""
        found: list[Record] = []
        token = scene["first_sample_token"]
        while token:
            if token not in self.samples or len(found) > len(self.samples):
                raise DatasetError(
                    f"{self.folder / 'sample.json'} breaks off in {scene['name']}; copy it again"
                )
            found.append(self.samples[token])
            token = found[-1]["next"]
        return found


def version_folder(root: Path) -> Path | None:
    """The folder with the tables: trainval before mini before any other, or `root` itself."""
    if (root / "sample_data.json").is_file():
        return root
    found = sorted(path.parent for path in root.glob("v1.0-*/sample_data.json"))
    for name in _PREFERRED:
        if root / name in found:
            return root / name
    return found[0] if found else None


def load_tables(root: Path, *, cameras: Collection[str] = (CAMERA,)) -> Tables:
    """Read the tables, of pictures those of `cameras`.

    The whole of v1.0-trainval takes several GB of memory while this runs. Raises DatasetError that names the
    table that is missing or damaged.
    """
    folder = version_folder(need_folder(root, "give the folder nuScenes was unpacked into"))
    if folder is None:
        raise DatasetError(f"no v1.0-*/sample_data.json in {root}; unpack nuScenes' metadata into it")
    try:
        return _load(folder, {*cameras, LIDAR})
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"a table of {folder} lacks {error}; download the metadata again") from error


def _load(folder: Path, channels: Collection[str]) -> Tables:
    tables: dict[str, list[Record]] = {}
    data: dict[tuple[str, str], Record] = {}
    for name in _NEEDED:
        records = read_json(folder / f"{name}.json")
        if not isinstance(records, list):
            raise DatasetError(f"{folder / name}.json holds no list; download the metadata again")
        # Of the largest, only what is used is kept.
        tables[name] = [one for one in records if one["is_key_frame"]] if name == "sample_data" else records
    sensors = {record["token"]: record["channel"] for record in tables["sensor"]}
    channel = {record["token"]: sensors[record["sensor_token"]] for record in tables["calibrated_sensor"]}
    for record in tables["sample_data"]:
        name = channel[record["calibrated_sensor_token"]]
        if name in channels:
            data[record["sample_token"], name] = record
    used = {record["ego_pose_token"] for record in data.values()}
    categories = {record["token"]: record["name"] for record in tables["category"]}
    annotations: dict[str, list[Record]] = defaultdict(list)
    for record in tables["sample_annotation"]:
        annotations[record["sample_token"]].append(record)
    return Tables(
        root=folder.parent,
        folder=folder,
        scenes=sorted(tables["scene"], key=lambda record: str(record["name"])),
        samples={record["token"]: record for record in tables["sample"]},
        data=data,
        calibration={record["token"]: record for record in tables["calibrated_sensor"]},
        poses={record["token"]: record for record in tables["ego_pose"] if record["token"] in used},
        annotations=annotations,
        category={record["token"]: categories[record["category_token"]] for record in tables["instance"]},
        attribute={record["token"]: record["name"] for record in tables["attribute"]},
    )
