"""The files that a recording consists of: one file, or those of a folder with or without metadata.yaml.

metadata.yaml is asked for the names of the files, and for the QoS of topics of which they do not tell it.
What they hold, and by which storage, they say themselves: the other fields are absent, empty or newer in many
recordings that are whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sentryfuse_core.bags.offers import Offer, read_offers
from sentryfuse_core.bags.storage.sqlite import beside
from sentryfuse_core.errors import BagError
from sentryfuse_core.safe_files import read_yaml
from sentryfuse_core.text import reason_of

__all__ = ["Found", "find_files", "is_recording", "recording_name"]

METADATA = "metadata.yaml"
_NAME = re.compile(r"(?P<series>.*?)(?P<number>_\d+)?\.(mcap|db3|bag)(\.zstd?)?")
_MOST_METADATA_BYTES, _MOST_METADATA_VALUES = 50_000_000, 2_000_000  # thousands of files and topics


@dataclass(frozen=True)
class Found:
    """The files of a recording in the order of their names, and what a user should know of the choice."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    offers: Mapping[str, tuple[Offer, ...]] = field(default_factory=dict)  # by topic


class _Metadata(NamedTuple):
    """What metadata.yaml is asked for."""

    names: tuple[str, ...] = ()
    offers: Mapping[str, tuple[Offer, ...]] = {}


def is_recording(path: Path) -> bool:
    """Whether a file, by its name, or a folder, by its content, is one recording."""
    if not path.is_dir():
        return path.is_file() and _NAME.fullmatch(path.name) is not None
    found = _inside(path)
    return (path / METADATA).is_file() or (bool(found) and _is_one_series(found))


def recording_name(path: Path) -> str:
    """What to call a recording: its name without the ending of a format; other dots are part of it."""
    name = path.name if path.name.strip(".") else path.resolve().name  # of the folder that is called . here
    match = _NAME.fullmatch(name)
    return f"{match['series']}{match['number'] or ''}" if match and match["series"] else name


def find_files(path: Path) -> Found:
    """What `path` stands for; raises BagError where that is nothing, several recordings or a part is gone."""
    if path.is_symlink() and not path.exists():
        target = path.readlink()
        fetch = "run `git annex get`" if ".git/annex" in str(target) else "mount or copy what it points to"
        raise BagError(f"{path} is a link to {target}, which is not there; {fetch}")
    if not path.exists():
        raise BagError(f"no recording at {path}; check the path")
    if path.name == METADATA and path.is_file():
        path = path.parent
    return Found((path,)) if not path.is_dir() else _without_empty_end(_in_folder(path))


def _in_folder(path: Path) -> Found:
    inside = _inside(path)
    told, notes = _told(path)
    if told.names:
        return replace(_by_metadata(path, told.names, inside), offers=told.offers)
    if not inside:
        raise BagError(f"{path} holds no .mcap, .db3 or .bag file; give a recording or its folder")
    if len(inside) > 1 and not _is_one_series(inside):
        listing = ", ".join(item.name for item in inside[:10]) + (", ..." if len(inside) > 10 else "")
        raise BagError(
            f"{path} has no {METADATA} and holds {listing}; give one file, or run `ros2 bag reindex`"
        )
    if len(inside) > 1:
        notes = (*notes, f"{path.name}: {len(inside)} files of one name, read as parts of one recording")
    return Found(tuple(inside), notes, told.offers)


def _without_empty_end(found: Found) -> Found:
    """Leave out the last part that a recorder had begun but not written to when it was killed."""
    *parts, last = found.files
    if not parts or not last.is_file() or last.stat().st_size or beside(last):
        return found
    why = "a recorder that was killed leaves it so, and a copy that failed"
    return replace(
        found, files=tuple(parts), notes=(*found.notes, f"{last.name} is empty, and was left out: {why}")
    )


def _inside(folder: Path) -> list[Path]:
    """The storage files of a folder by number and name; a packed one only where the plain one is not."""
    files = [item for item in folder.iterdir() if _NAME.fullmatch(item.name) and not item.is_dir()]
    names = {item.name for item in files}
    kept = [
        item
        for item in files
        if item.name[0] != "." and (item.name == _plain(item.name) or _plain(item.name) not in names)
    ]
    return sorted(kept, key=_order)


def _plain(name: str) -> str:
    """The name without .zstd or .zst."""
    return name.removesuffix(".zstd").removesuffix(".zst")


def _order(path: Path) -> tuple[str, int, str]:
    """Part 10 comes after part 9."""
    match = _NAME.fullmatch(path.name)
    number = match and match["number"]
    return (match["series"] if match else path.name, int(number[1:]) if number else -1, path.name)


def _is_one_series(files: list[Path]) -> bool:
    """Whether the names differ in their number alone, as rosbag2 and `rosbag record --split` number parts."""
    if len(files) == 1:
        return True
    matches = [_NAME.fullmatch(item.name) for item in files]
    names = {(match["series"], PurePosixPath(_plain(match.string)).suffix) for match in matches if match}
    return len(names) == 1 and all(match and match["number"] for match in matches)


def _told(folder: Path) -> tuple[_Metadata, tuple[str, ...]]:
    """What metadata.yaml says, which is nothing where it is not there."""
    path = folder / METADATA
    if not path.exists():
        return _Metadata(), ()
    try:
        status = path.stat()
        told = _read(path.resolve(), status.st_mtime_ns, status.st_size)
    except Exception as error:
        raise BagError(
            f"cannot read {path}: {reason_of(error)}; remove it, or write it anew with `ros2 bag reindex`"
        ) from error
    notes = () if told.names else (f"{path} names no files: those in the folder are read",)
    return told, notes


@lru_cache(maxsize=16)  # a run opens its recording several times, and thousands of topics take seconds
def _read(path: Path, _mtime_ns: int, _size: int) -> _Metadata:
    content = read_yaml(path, most_bytes=_MOST_METADATA_BYTES, most_values=_MOST_METADATA_VALUES)
    content = _in(content, "rosbag2_bagfile_information")
    names = [item for item in _list(_in(content, "relative_file_paths")) if isinstance(item, str)]
    # Older versions write the folder before the name; nothing outside of the folder is a part of it.
    plain = [PurePosixPath(item.replace("\\", "/")).name for item in names]
    topics = [_in(item, "topic_metadata") for item in _list(_in(content, "topics_with_message_count"))]
    offers = {str(_in(item, "name")): read_offers(_in(item, "offered_qos_profiles")) for item in topics}
    return _Metadata(tuple(dict.fromkeys(filter(None, plain))), offers)


def _in(content: Any, key: str) -> Any:
    """What lies under a key; None where there is none."""
    return content.get(key) if isinstance(content, dict) else None


def _list(content: Any) -> list[Any]:
    return content if isinstance(content, list) else []


def _by_metadata(folder: Path, named: tuple[str, ...], inside: list[Path]) -> Found:
    """The named files, and those of the same series that a recorder which was killed did not enter."""
    files, missing = [], []
    for name in named:
        plain = _plain(name)
        forms = (name, plain, f"{plain}.zstd", f"{plain}.zst")
        found = next((folder / form for form in forms if (folder / form).is_file()), None)
        if found is None:
            missing.append(name)
        else:
            files.append(found)
    if missing and len(named) == len(inside) == 1:  # renamed
        return Found(
            tuple(inside), (f"{METADATA} names {named[0]}, which is not there: read {inside[0].name}",)
        )
    if missing:
        raise BagError(
            f"{folder} lacks {', '.join(missing[:5])}, {len(missing)} of the {len(named)} files that "
            f"{METADATA} names; copy what is missing, or run `ros2 bag reindex` to do without"
        )
    notes = []
    known = {_plain(item.name) for item in files}
    for item in inside:
        if _plain(item.name) in known:
            continue
        if _is_one_series([*files, item]) or _is_one_series([files[0], item]):
            files.append(item)
            notes.append(f"{item.name} is not named in {METADATA}, and was read as a part of the recording")
        else:
            notes.append(f"{item.name} is not named in {METADATA}, and was not read")
    return Found(tuple(sorted(files, key=_order)), tuple(notes))
