"""tracklet_labels.xml of a KITTI raw drive: boxes by frame, in the base frame."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import Box
from sentryfuse_core.lab.datasets.files import read_bytes
from sentryfuse_core.lab.datasets.kitti_calibration import NAMES, VELODYNE_HEIGHT_M, check_known
from sentryfuse_core.lab.datasets.vocabulary import USUAL, Vocabulary

__all__ = ["read_tracklets"]


def read_tracklets(
    path: Path, *, vocabulary: Vocabulary = USUAL, lidar_height_m: float = VELODYNE_HEIGHT_M
) -> tuple[dict[int, list[Box]], str]:
    """Boxes by frame, and what was left out; raises DatasetError for a file that is damaged.

    Tracklets are in Velodyne axes, with the origin in the middle of the bottom and rz about z.
    """
    data = read_bytes(path)
    if b"<!ENTITY" in data:  # nothing of KITTI's declares any; expanding them could take all memory
        raise DatasetError(f"{path} declares entities, which no tracklet file does; download it again")
    boxes: dict[int, list[Box]] = {}
    left: Counter[str] = Counter()
    try:
        for item in ET.fromstring(data).iterfind("tracklets/item"):  # noqa: S314 - entities are refused above
            kind = _text(item, "objectType")
            check_known(str(path), kind, vocabulary)
            label = vocabulary.of(kind, NAMES.get(kind))
            if label is None:
                left[kind] += 1
                continue
            height, width, length = (float(_text(item, name)) for name in ("h", "w", "l"))
            for index, pose in enumerate(item.iterfind("poses/item"), int(_text(item, "first_frame"))):
                x, y, z, yaw = (float(_text(pose, name)) for name in ("tx", "ty", "tz", "rz"))
                box = Box(label, x, y, z + height / 2.0 + lidar_height_m, length, width, height, yaw)
                boxes.setdefault(index, []).append(box)
    except (ET.ParseError, ValueError) as error:
        raise DatasetError(f"{path} is no tracklet file ({error}); download it again") from error
    return boxes, ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))


def _text(item: ET.Element, name: str) -> str:
    text = item.findtext(name)
    if text is None:
        raise ValueError(f"<{item.tag}> has no <{name}>")
    return text.strip()
