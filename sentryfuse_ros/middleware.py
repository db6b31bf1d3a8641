"""The shared-memory profile of Fast DDS: finding it, putting it in force, and saying when it is not."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from pathlib import Path

from sentryfuse_core.errors import NotInstalledError
from sentryfuse_core.shipped import share_folder

__all__ = ["PROFILE_VARIABLE", "apply_profile", "profile_path", "shared_memory_notes"]

PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
_FILE = Path("config") / "fastdds_shm.xml"
_SHM = Path("/dev/shm")  # noqa: S108 - a file system, not a temporary file


def profile_path() -> Path | None:
    """The shipped profile; None where it is missing, since large messages then are slow, no more."""
    try:
        path = share_folder() / _FILE
    except NotInstalledError:
        return None
    return path if path.is_file() else None


def apply_profile(environment: MutableMapping[str, str] | None = None, *, shm: Path = _SHM) -> None:
    """Put the shipped profile in force, unless the user chose one, it does not fit or Fast DDS is not used.

    Fast DDS reads the variable when the first participant is made, so this comes before `rclpy.init`.
    A segment larger than /dev/shm would end the process with SIGBUS on the first large message, so
    the profile is then left out; `shared_memory_notes` tells the user.
    """
    environment = os.environ if environment is None else environment
    path = profile_path()
    if PROFILE_VARIABLE in environment or path is None or not _is_fastdds(environment):
        return
    if _shm_bytes(shm) >= _segment_bytes(path):
        environment[PROFILE_VARIABLE] = str(path)


def shared_memory_notes(
    environment: MutableMapping[str, str] | None = None, *, shm: Path = _SHM
) -> tuple[str, ...]:
    """What keeps large messages from being fast, each with its remedy; empty when nothing does."""
    environment = os.environ if environment is None else environment
    if not _is_fastdds(environment):
        return ()
    chosen = environment.get(PROFILE_VARIABLE)
    path = Path(chosen) if chosen else profile_path()
    if path is None or not path.is_file():
        return (f"Fast DDS shared-memory profile not in force, large images are slow: no {path or _FILE}",)
    needed, available = _segment_bytes(path), _shm_bytes(shm)
    if available < needed:
        remedy = f"start the container with --shm-size={4 * needed >> 20}m"
        return (f"{shm} has {available >> 20} MB, the Fast DDS profile needs {needed >> 20} MB: {remedy}",)
    if not chosen:
        return (f"Fast DDS shared-memory profile not in force: set {PROFILE_VARIABLE}={path}",)
    return ()


def _is_fastdds(environment: MutableMapping[str, str]) -> bool:
    return "fastrtps" in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")


def _segment_bytes(path: Path) -> int:
    """The largest segment the profile asks for, in bytes; 0 when it asks for none."""
    sizes = re.findall(r"<segment_size>\s*(\d+)\s*</segment_size>", path.read_text(encoding="utf-8"))
    return max((int(size) for size in sizes), default=0)


def _shm_bytes(shm: Path) -> int:
    """Size of the shared-memory file system in bytes; 0 when there is none."""
    try:
        stats = os.statvfs(shm)
    except OSError:
        return 0
    return stats.f_frsize * stats.f_blocks
