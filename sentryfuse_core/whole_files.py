"""Files that are written whole or not at all, and folders to write into; what fails says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sentryfuse_core.errors import OutputError

__all__ = ["make_folder", "written_whole"]


@contextmanager
def written_whole(path: Path, *, remedy: str, shared: bool = False) -> Iterator[Path]:
    """Where to write what is to lie at `path`: a file beside it, which takes its place at the end.

    The folder is made. Until the end an older file stays as it is; nothing else is left where writing fails.

    Args:
        path: where the file will lie.
        remedy: what to do where it cannot be written.
        shared: whether other processes may write the same file; what a killed one leaves stays then.

    Raises:
        OutputError: it cannot be written; with the `remedy`.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def make_folder(path: Path, *, remedy: str) -> None:
    """Make a folder that may be there; raises OutputError with the `remedy` where it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror or error}; {remedy}") from error
