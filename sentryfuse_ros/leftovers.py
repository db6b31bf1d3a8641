"""Removes what dead processes left in Fast DDS's shared memory, by the rule of `fastdds shm clean`."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from contextlib import ExitStack, suppress
from pathlib import Path

__all__ = ["remove_leftovers"]

# A living process holds a lock on a file beside each segment it made and each port it listens to: exclusive
# (_el), or shared with other listeners (_sl). The kernel lets go of it when the process dies, in any way.
# Fast DDS 2 calls its files fastrtps, Fast DDS 3 fastdds.
_LOCK = re.compile(r"(?P<name>fast(?:dds|rtps)_(?:[0-9a-z]{16}|port\d+))_(?:el|sl)")
_YOUNGEST_S = 0.5  # a process that is just starting makes its lock file a moment before it locks it


def remove_leftovers(shm: Path) -> int:
    """Remove segments and ports that no process holds any more; returns how many bytes that freed.

    Only this user's own are looked at. What cannot be opened or removed stays, without a word: it is then
    somebody else's, or has just been removed by its owner or by another process that starts.
    """
    locks: dict[str, list[Path]] = {}
    with suppress(OSError):
        for path in shm.iterdir():
            if found := _LOCK.fullmatch(path.name):
                locks.setdefault(found["name"], []).append(path)
    return sum(_remove(shm, name, paths) for name, paths in sorted(locks.items()))


def _remove(shm: Path, name: str, locks: list[Path]) -> int:
    """Remove the segment or port `name` while holding all of its locks; 0 where one is held elsewhere."""
    with ExitStack() as held:
        if not all(_take(path, held) for path in locks):
            return 0
        # The locks go last: one that is left alone says that there is still something to remove.
        paths = (shm / name, shm / f"sem.{name}_mutex", *locks)
        return sum(_unlink(path) for path in paths)


def _take(path: Path, held: ExitStack) -> bool:
    """Take the lock at `path` until `held` is closed; False where it is another's, or quite new."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        held.callback(os.close, file)
        status = os.fstat(file)
        if not _is_ours(status) or time.time() - status.st_mtime < _YOUNGEST_S:
            return False
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unlink(path: Path) -> int:
    """Remove a file of this user; the bytes of memory that it held."""
    try:
        status = path.lstat()
        if not _is_ours(status):
            return 0
        path.unlink()
    except OSError:
        return 0
    return status.st_blocks * 512


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
