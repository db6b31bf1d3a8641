"""One file of a recording opened by what it is, unpacked first where it is packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sentryfuse_core.bags.storage import mcap, ros1, sqlite
from sentryfuse_core.bags.storage.common import Storage, damaged
from sentryfuse_core.bags.storage.kinds import MCAP, PACKED, ROS1_BAG, SQLITE, kind_of
from sentryfuse_core.bags.storage.unpack import unpack_file
from sentryfuse_core.errors import BagError, SentryFuseError
from sentryfuse_core.text import reason_of

__all__ = ["open_storage"]

Scratch = Callable[[], Path]
_OPENERS: Mapping[str, Callable[[Path, Scratch], Storage]] = {
    MCAP: lambda file, _scratch: mcap.McapFile(file),
    SQLITE: sqlite.SqliteFile,
    ROS1_BAG: lambda file, _scratch: ros1.Ros1File(file),
}
_REMEDIES = {
    MCAP: mcap.REMEDY,
    SQLITE: sqlite.REMEDY,
    ROS1_BAG: ros1.REMEDY,
    PACKED: "unpack it with `unzstd`, or copy it again",
}


def open_storage(path: Path, scratch: Scratch) -> Storage:
    """The file's messages; `scratch` makes a folder for copies. Raises BagError, nothing else."""
    kind, file = kind_of(path), path
    try:
        if kind == PACKED:
            file = scratch() / path.name.removesuffix(".zstd").removesuffix(".zst")
            unpack_file(path, file)
            kind = kind_of(file)
        storage = _OPENERS[kind](file, scratch)
    except SentryFuseError as error:
        raise BagError(str(error).replace(str(file), str(path))) from error
    except Exception as error:  # damaged bytes make the libraries raise nearly anything
        raise damaged(path, reason_of(error), _REMEDIES[kind]) from error
    storage.path = path  # for what is said of it
    return storage
