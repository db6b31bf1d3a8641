"""The shared-memory profile of Fast DDS: finding it, putting it in force, and saying when it is not."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import MutableMapping
from pathlib import Path

from sentryfuse_core.errors import NotInstalledError
from sentryfuse_core.shipped import share_folder
from sentryfuse_ros.leftovers import remove_leftovers

__all__ = [
    "PROFILE_VARIABLE",
    "apply_profile",
    "prepare_shared_memory",
    "profile_path",
    "shared_memory_notes",
]

PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
_FILE = Path("config") / "fastdds_shm.xml"
_SHM = Path("/dev/shm")  # noqa: S108 - a file system, not a temporary file
_PROCESSES = 4  # on a small robot, each with a segment: drivers, the fusion node, a viewer


def profile_path() -> Path | None:
    """The shipped profile; None where it is missing, since large messages then are slow, no more."""
    try:
        path = share_folder() / _FILE
    except NotInstalledError:
        return None
    return path if path.is_file() else None


def prepare_shared_memory() -> None:
    """Make room and put the profile in force; before the process's first `rclpy.init`."""
    if _is_fastdds(os.environ):
        remove_leftovers(_SHM)
    apply_profile()


def apply_profile(environment: MutableMapping[str, str] | None = None, *, shm: Path = _SHM) -> None:
    """Put the shipped profile in force, unless the user chose one, it does not fit or Fast DDS is not used.

    Fast DDS reads the variable when the first participant is made, so this comes before `rclpy.init`.
    A segment larger than what is free in /dev/shm would end the process with SIGBUS on the first large
    message, or keep it from starting, so the profile is then left out, also where a process that started
    this one put it in; `shared_memory_notes` tells the user.
    """
    environment = os.environ if environment is None else environment
    path = profile_path()
    if environment.get(PROFILE_VARIABLE, str(path)) != str(path) or path is None:
        return
    if not _is_fastdds(environment):
        return
    if _room_bytes(shm)[1] >= _segment_bytes(path):
        environment[PROFILE_VARIABLE] = str(path)
    else:
        environment.pop(PROFILE_VARIABLE, None)


def shared_memory_notes(
    environment: MutableMapping[str, str] | None = None, *, shm: Path = _SHM
) -> tuple[str, ...]:
    """What keeps large messages from being fast, each with its remedy; empty when nothing does.

    Asked before the process's own segment takes its room.
    """
    environment = os.environ if environment is None else environment
    if not _is_fastdds(environment):
        return ()
    chosen = environment.get(PROFILE_VARIABLE)
    path = Path(chosen) if chosen else profile_path()
    if path is None or not path.is_file():
        return (f"Fast DDS shared-memory profile not in force, large images are slow: no {path or _FILE}",)
    needed, (size, free) = _segment_bytes(path), _room_bytes(shm)
    if free < needed:
        remedy = f"start the container with --shm-size={_PROCESSES * needed >> 20}m"
        if size >= _PROCESSES * needed:
            remedy = f"end what fills it (`ls -l {shm}`), or run `fastdds shm clean`"
        found = f"{shm} has {free >> 20} of its {size >> 20} MB free"
        return (f"{found}, the Fast DDS profile needs {needed >> 20} MB for each process: {remedy}",)
    if not chosen:
        return (f"Fast DDS shared-memory profile not in force: set {PROFILE_VARIABLE}={path}",)
    return ()


def _is_fastdds(environment: MutableMapping[str, str]) -> bool:
    return "fastrtps" in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")


def _segment_bytes(path: Path) -> int:
    """The largest segment the profile asks for, in bytes; 0 when it asks for none."""
    sizes = re.findall(r"<segment_size>\s*(\d+)\s*</segment_size>", path.read_text(encoding="utf-8"))
    return max((int(size) for size in sizes), default=0)


def _room_bytes(shm: Path) -> tuple[int, int]:
    """Size of the shared-memory file system and what of it is free; none when there is none."""
    try:
        usage = shutil.disk_usage(shm)
    except OSError:
        return 0, 0
    return usage.total, usage.free
