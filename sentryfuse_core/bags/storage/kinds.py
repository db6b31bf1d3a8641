"""What a file is by its first bytes, whatever its name says, and the remedy for what is no recording."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from sentryfuse_core.bags.storage import mcap
from sentryfuse_core.bags.storage.unpack import ZSTD_MAGIC
from sentryfuse_core.errors import BagError
from sentryfuse_core.safe_files import check_regular

__all__ = ["MCAP", "PACKED", "ROS1_BAG", "SQLITE", "kind_of"]

MCAP, SQLITE, ROS1_BAG, PACKED = "mcap", "sqlite", "ros1", "zstd"
_READ = {
    mcap.MAGIC: MCAP,
    b"SQLite format 3\0": SQLITE,
    b"#ROSBAG V2.0\n": ROS1_BAG,
    ZSTD_MAGIC: PACKED,
}
_HEAD_BYTES = 8192  # the header of a ROS 1 bag is padded to 4 kB
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


class _Field(NamedTuple):
    """A field of a ROS 1 record's header."""

    name: bytes
    value: bytes


def kind_of(path: Path) -> str:
    """MCAP, SQLITE, ROS1_BAG or PACKED; raises BagError that says what else it is and what to do."""
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
    for magic, kind in _READ.items():
        if head.startswith(magic):
            if kind == ROS1_BAG:
                _check_ros1(path, head)
            return kind
    for pattern, what, remedy in _OTHERS:
        if re.match(pattern, head):
            raise BagError(f"{path} is {what}; {remedy}")
    raise BagError(
        f"{path} is not a recording (File magic is invalid: {head[:12]!r}); give an .mcap, .db3 or .bag file "
        "or a rosbag2 folder"
    )


def _check_ros1(path: Path, head: bytes) -> None:
    """Raise BagError for bags that rosbags cannot read although nothing is damaged."""
    fields = dict(_ros1_header(head))
    if fields.get(b"encryptor"):
        name = fields[b"encryptor"].decode("utf-8", "replace")
        raise BagError(f"{path} is encrypted by {name}; decrypt it with `rosbag decrypt` where the key is")
    if fields.get(b"index_pos") == bytes(8):
        raise BagError(f"{path} has no index: it was not closed (.bag.active); run `rosbag reindex` on it")


def _ros1_header(head: bytes) -> list[_Field]:
    """The fields of the first record, as far as they are whole."""
    at = head.index(b"\n") + 1
    end = at + 4 + int.from_bytes(head[at : at + 4], "little")
    at += 4
    found = []
    while at + 4 <= min(end, len(head)):
        size = int.from_bytes(head[at : at + 4], "little")
        name, _, value = head[at + 4 : at + 4 + size].partition(b"=")
        found.append(_Field(name, value))
        at += 4 + size
    return found
