"""One file of a recording opened by its first bytes, or what else it is by them, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from sentryfuse_core.bags.storage.common import Storage, damaged
from sentryfuse_core.bags.storage.mcap import MAGIC, McapFile
from sentryfuse_core.bags.storage.ros1 import Ros1File
from sentryfuse_core.bags.storage.sqlite import SqliteFile
from sentryfuse_core.bags.storage.unpack import ZSTD_MAGIC, unpack_file
from sentryfuse_core.errors import BagError, SentryFuseError
from sentryfuse_core.safe_files import check_regular
from sentryfuse_core.text import reason_of

__all__ = ["open_storage"]

_FORMATS: Mapping[bytes, type[Storage]] = {
    MAGIC: McapFile,
    b"SQLite format 3\0": SqliteFile,
    b"#ROSBAG V2.0\n": Ros1File,
}
_HEAD_BYTES = 4096
_UNPACK = "unpack it and give the recording inside"
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (rb"version https://git-lfs", "a pointer of Git LFS, not the recording itself", "run `git lfs pull`"),
    (
        rb"/annex/objects/|(\.\./)*\.git/annex",
        "a pointer of git-annex, not the recording",
        "run `git annex get`",
    ),
    (rb"outs:\s*\n- ", "a pointer of DVC, not the recording itself", "run `dvc pull`"),
    (
        rb"(?i)\s*(<!doctype html|<html|<head|<\?xml)",
        "a web page, not a recording",
        "download the file itself, not its page",
    ),
    (rb"PK\x03\x04", "a zip archive", _UNPACK),
    (rb"\x1f\x8b", "packed by gzip", "unpack it with `gunzip` and give the recording inside"),
    (rb"BZh", "packed by bzip2", "unpack it with `bunzip2` and give the recording inside"),
    (rb"\xfd7zXZ", "packed by xz", "unpack it with `unxz` and give the recording inside"),
    (rb"\x04\x22\x4d\x18", "packed by lz4", "unpack it with `unlz4` and give the recording inside"),
    (rb"7z\xbc\xaf|Rar!", "an archive", _UNPACK),
    (rb"(?s).{257}ustar", "a tar archive", "unpack it with `tar -xf` and give the recording inside"),
    (
        rb"\x89MCAP",
        "an MCAP file of another version than 0",
        "convert it with a newer `mcap`, or ask for that version to be read",
    ),
    (
        rb"#ROSRECORD|#ROSLOG|#ROSBAG V",
        "a ROS 1 bag of a version before 2.0",
        "convert it with `rosbag fix`",
    ),
    (rb"rosbag2_bagfile_information", "rosbag2's metadata", "give the folder it lies in"),
    (rb"\xd4\xc3\xb2\xa1|\xa1\xb2\xc3\xd4|\x0a\x0d\x0d\x0a", "a capture of network packets", "record topics"),
    (rb"\x89HDF|PAR1", "a table of another program", "give an .mcap, .db3 or .bag file"),
    (
        rb"\0{64}",
        "filled with zeros where it should begin: a copy or a disk failed",
        "copy it again from the robot",
    ),
)


def open_storage(path: Path, scratch: Callable[[], Path]) -> Storage:
    """The file's messages; `scratch` makes a folder for copies. Raises BagError, nothing else."""
    head, file, remedy = _head(path), path, "unpack it with `unzstd`, or copy it again"
    try:
        if head.startswith(ZSTD_MAGIC):
            file = scratch() / path.name.removesuffix(".zstd").removesuffix(".zst")
            unpack_file(path, file)
            head = _head(file)
        kind = _format(file, head)
        remedy = kind.remedy
        storage = kind(file, scratch)
    except SentryFuseError as error:
        raise BagError(str(error).replace(str(file), str(path))) from error
    except Exception as error:  # damaged bytes make the libraries raise nearly anything
        raise damaged(path, reason_of(error), remedy) from error
    storage.path = path  # for what is said of it
    return storage


def _head(path: Path) -> bytes:
    """The file's first bytes; raises BagError where there are none."""
    try:
        check_regular(path)
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise BagError(
            f"cannot read {path}: {error.strerror}; give an .mcap, .db3 or .bag file or a rosbag2 folder"
        ) from error
    if not head:
        raise BagError(f"{path} is empty: nothing was recorded, or a copy failed; copy or record it again")
    return head


def _format(path: Path, head: bytes) -> type[Storage]:
    """What reads a file that begins so; raises BagError that says what else it is and what to do."""
    for magic, kind in _FORMATS.items():
        if head.startswith(magic):
            return kind
    for pattern, what, remedy in _OTHERS:
        if re.match(pattern, head):
            raise BagError(f"{path} is {what}; {remedy}")
    raise BagError(
        f"{path} is not a recording (File magic is invalid: {head[:12]!r}); give an .mcap, .db3 or .bag file "
        "or a rosbag2 folder"
    )
