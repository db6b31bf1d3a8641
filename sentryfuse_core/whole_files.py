"""Files that are written whole or not at all, and folders that take them; what fails says what to do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sentryfuse_core.errors import OutputError

__all__ = ["make_folder", "new_folders", "written_whole"]


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
    """Make a folder that may be there, and see whether it takes files.

    What fails later may fail after hours of work. Raises OutputError with the `remedy`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror or error}; {remedy}") from error
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(f"cannot write to {path}: {error.strerror or error}; {remedy}") from error


@contextmanager
def new_folders(*paths: Path, remedy: str) -> Iterator[None]:
    """Folders as `make_folder` makes them; an error in the block takes those away that nothing lies in.

    So a place is known to be writable before anything is read, and a refused command leaves nothing behind.
    """
    made: list[Path] = []
    try:
        for path in paths:
            # Path.exists raises where a name is too long.
            missing = [place for place in (path, *path.parents) if not os.path.exists(place)]  # noqa: PTH110
            made += missing[-1:]
            make_folder(path, remedy=remedy)
        yield
    except BaseException:
        for place in made:
            for folder, _, _ in os.walk(place, topdown=False):
                with suppress(OSError):  # something lies in it
                    Path(folder).rmdir()
        raise
