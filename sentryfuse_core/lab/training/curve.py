"""Curve: one row of a CSV file for every step of training, continued where an interrupted run was saved."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from sentryfuse_core.errors import OutputError
from sentryfuse_core.lab.training.tensor_files import ROOM
from sentryfuse_core.whole_files import written_whole

__all__ = ["Curve"]


class Curve:
    """The open file, whose first column is the number of the step."""

    def __init__(self, path: Path, columns: Sequence[str], *, keep: Callable[[list[str]], bool]) -> None:
        """Keep the rows of an earlier run that were there when its state was saved.

        Raises OutputError when it cannot be written.
        """
        self._path = path
        try:
            kept = [row for row in _rows(path, len(columns)) if keep(row)]
            with (
                written_whole(path, remedy=ROOM) as partial,
                partial.open("w", newline="", encoding="utf-8") as file,
            ):
                csv.writer(file).writerows([columns, *kept])
            self._file = path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error
        self._writer = csv.writer(self._file)

    def add(self, row: Sequence[object]) -> None:
        """One step."""
        try:
            self._writer.writerow(row)
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        """Hand all rows to the system."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> Curve:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as error:
            if kind is None:  # else something has been said already
                raise self._failed(error) from error

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self._path}: {error.strerror}; {ROOM}")


def _rows(path: Path, columns: int) -> list[list[str]]:
    """Whole rows of an earlier run; a killed one may have written the last in half."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return [row for row in csv.reader(file) if len(row) == columns and row[0].isdecimal()]
