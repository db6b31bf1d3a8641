"""Files of a data set, read with errors that name the file and the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.safe_files import check_regular, text_lines

__all__ = ["NO_STAMP", "need_folder", "numbers_by_key", "read_bytes", "read_json", "read_lines", "stamps_ns"]

NO_STAMP = np.iinfo(np.int64).min  # numpy's 'not a time'


def need_folder(path: Path, remedy: str) -> Path:
    """`path`, if it is a folder; raises DatasetError with `remedy` otherwise."""
    if not path.is_dir():
        raise DatasetError(f"no folder {path}; {remedy}")
    return path


def read_bytes(path: Path) -> bytes:
    """The content; raises DatasetError for a file that is missing, unreadable or empty."""
    try:
        check_regular(path)
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path} ({error.strerror}); download or copy it again") from error
    if not data:
        raise DatasetError(f"{path} is empty; download or copy it again")
    return data


def read_lines(path: Path, *, empty: bool = False) -> list[str]:
    """The lines of a text; `empty`: one without any is allowed."""
    if empty and path.is_file() and not path.stat().st_size:
        return []
    try:
        return text_lines(read_bytes(path))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is no text ({error.reason}); download or copy it again") from error


def read_json(path: Path) -> Any:
    """The value of a JSON file."""
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is no JSON ({error}); download or copy it again") from error


def numbers_by_key(path: Path) -> dict[str, NDArray[np.float64]]:
    """`key: number number ...` lines; those whose values are no numbers are left out."""
    found = {}
    for line in read_lines(path):
        key, colon, values = line.partition(":")
        if not colon:
            continue
        try:
            found[key.strip()] = np.array(values.split(), np.float64)
        except ValueError:
            continue  # dates and names
    return found


def stamps_ns(path: Path) -> NDArray[np.int64]:
    """Lines such as `2011-09-26 13:02:25.951199337` as ns since 1970, NO_STAMP for an empty one.

    The number of a line is that of its frame: published drives have an empty one where a scan is missing.
    """
    stamps = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            stamps.append(np.int64(NO_STAMP))
            continue
        try:
            stamps.append(np.datetime64(line.strip().replace(" ", "T"), "ns").astype(np.int64))
        except ValueError as error:
            raise DatasetError(f"{path}:{number}: {line.strip()!r:.40} is no time; copy it again") from error
    return np.array(stamps, np.int64)
