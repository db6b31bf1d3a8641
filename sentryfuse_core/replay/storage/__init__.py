"""The files that recordings consist of: found, told apart by their first bytes, and merged by log time."""

from __future__ import annotations

from sentryfuse_core.replay.storage.common import Definition, Item, Storage, Stream, merged
from sentryfuse_core.replay.storage.files import find_files, is_recording
from sentryfuse_core.replay.storage.opening import open_storage
from sentryfuse_core.replay.storage.unpack import unpack_message

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
