"""The files that recordings consist of: found, told apart by their first bytes, and merged by log time."""

from __future__ import annotations

from sentryfuse_core.bags.storage.common import Definition, Item, Storage, Stream, merged
from sentryfuse_core.bags.storage.files import find_files, is_recording
from sentryfuse_core.bags.storage.opening import open_storage
from sentryfuse_core.bags.storage.unpack import unpack_message

__all__ = [
    "Definition",
    "Item",
    "Storage",
    "Stream",
    "find_files",
    "is_recording",
    "merged",
    "open_storage",
    "unpack_message",
]
