"""Folders that other weights, another torch or another version of this package left beside a store's."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from sentryfuse_core.errors import OutputError
from sentryfuse_core.runtime.store import Store

__all__ = ["Leftover", "leftovers", "remove"]

_FOLDER = re.compile(r"[0-9a-f]{16}")
_FILE = re.compile(  # a part as `Part` writes it, or what `measured` keeps; half written ones too
    r"((camera|lidar|imu|audio|fuse)\d+(_head\d+)?(_tilted)?\..+\.(onnx|blob|engine)"
    r"|(measured|parity)\.[0-9a-f]{12}\.json)(\.\d+\.part)?"
)


@dataclass(frozen=True)
class Leftover:
    """A folder that holds nothing but what this package wrote."""

    folder: Path
    files: tuple[Path, ...]
    size_bytes: int


def leftovers(store: Store) -> tuple[Leftover, ...]:
    """Those beside the store's own folder, by name; what may be somebody else's is none.

    Raises OutputError where nobody may look.
    """
    root = store.folder.parent
    try:
        if not root.is_dir():
            return ()
        beside = sorted(path for path in root.iterdir() if path.name != store.folder.name)
        return tuple(found for path in beside if (found := _leftover(path)) is not None)
    except OSError as error:
        raise OutputError(
            f"cannot look through {root}: {error.strerror or error}; give model.engine_dir another folder"
        ) from error


def remove(leftover: Leftover) -> None:
    """Delete these files and their folder; raises OutputError where that is not allowed."""
    try:
        for path in leftover.files:
            path.unlink(missing_ok=True)
        leftover.folder.rmdir()
    except OSError as error:
        raise OutputError(
            f"cannot remove {leftover.folder}: {error.strerror or error}; remove it by hand"
        ) from error


def _leftover(folder: Path) -> Leftover | None:
    if not _FOLDER.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
        return None
    try:
        files = tuple(sorted(folder.iterdir()))
        found = [path.lstat() for path in files]
    except OSError:  # another user's, or gone meanwhile
        return None
    ours = all(
        _FILE.fullmatch(path.name) and stat.S_ISREG(own.st_mode)
        for path, own in zip(files, found, strict=True)
    )
    return Leftover(folder, files, sum(own.st_size for own in found)) if files and ours else None
