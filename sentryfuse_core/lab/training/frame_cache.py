"""Preprocessed frames of a drive on disk, so that images are decoded once and not at every run."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from sentryfuse_core.lab.datasets.driving import Drive, LabelledFrame
from sentryfuse_core.lab.training.frame_table import FrameTable, tables_of
from sentryfuse_core.lab.training.tensor_files import write_tensors
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.types import ModalitySet

__all__ = ["FrameCache"]

_VERSION = 4  # of what is stored and how it is made: raise it when preprocessing changes


class FrameCache:
    """A folder with a file for each drive, named by what its frames are made of.

    Files that were changed, another geometry or other `options` give another name; a file that is
    damaged, or was written half, is made anew.
    """

    def __init__(self, folder: Path, *, options: str = "") -> None:
        self._folder = folder
        self._options = options

    def path(self, drive: Drive) -> Path:
        """Where the frames of a drive are kept."""
        status = [(str(path), path.stat()) for path in drive.files]
        made_of = {
            "version": _VERSION,
            "geometry": asdict(GEOMETRY),
            "options": self._options,
            "files": [(name, item.st_size, item.st_mtime_ns) for name, item in status],
        }
        digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
        return self._folder / f"{drive.name}-{digest[:16]}.safetensors"

    def get(self, drive: Drive, *, on_frame: Callable[[], None] = lambda: None) -> list[FrameTable]:
        """The frames, read where they are kept, else made and kept; `on_frame` hears of each one made."""
        path = self.path(drive)
        kept = _load(path)
        if kept is not None:
            return kept

        def heard() -> Iterator[LabelledFrame]:
            for frame in drive.frames():
                on_frame()
                yield frame

        tables = tables_of(heard())
        _save(path, tables)
        return tables


def _save(path: Path, tables: list[FrameTable]) -> None:
    tensors = {
        f"{table.present.bits}.{name}": item for table in tables for name, item in table.columns.items()
    }
    checksum = {"crc32": str(_checksum(tensors))}
    write_tensors(path, tensors, checksum, remedy="give --cache another folder", shared=True)


def _load(path: Path) -> list[FrameTable] | None:
    """What was kept; None: nothing that can be trusted."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            kept = opened.metadata()["crc32"]
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    if kept != str(_checksum(tensors)):
        return None
    columns: dict[int, dict[str, Tensor]] = {}
    for key, item in tensors.items():
        bits, _, name = key.partition(".")
        columns.setdefault(int(bits), {})[name] = item
    return [FrameTable(ModalitySet(bits), own) for bits, own in sorted(columns.items())]


def _checksum(tensors: dict[str, Tensor]) -> int:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].numpy().tobytes(), zlib.crc32(name.encode(), total))
    return total
