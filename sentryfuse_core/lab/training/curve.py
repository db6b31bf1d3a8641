"""Curve: one row of a CSV file for every step of training, continued where an interrupted run was saved."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType

from sentryfuse_core.errors import OutputError
from sentryfuse_core.lab.training.fit import Step
from sentryfuse_core.lab.training.tensor_files import ROOM
from sentryfuse_core.whole_files import written_whole

__all__ = ["COLUMNS", "Curve"]

COLUMNS = ("step", "stage", "progress", "learning_rate", "loss")


class Curve:
    """The open file; steps count from 1 in each stage."""

    def __init__(self, path: Path, *, finished: tuple[str, ...] = (), stage: str = "", step: int = 0) -> None:
        """Keep the rows of `finished` stages, and of `stage` those up to `step`.

        Raises OutputError when it cannot be written.
        """
        self._path = path
        kept = _kept(path, finished, stage, step)
        with (
            written_whole(path, remedy=ROOM) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([COLUMNS, *kept])
        try:
            self._file = path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise OutputError(self._reason(error)) from error
        self._writer = csv.writer(self._file)

    def add(self, stage: str, step: Step) -> None:
        """One step."""
        numbers = [f"{value:.5g}" for value in (step.progress, step.learning_rate, step.loss)]
        try:
            self._writer.writerow([step.step, stage, *numbers])
        except OSError as error:
            raise OutputError(self._reason(error)) from error

    def flush(self) -> None:
        """Hand all rows to the system."""
        try:
            self._file.flush()
        except OSError as error:
            raise OutputError(self._reason(error)) from error

    def __enter__(self) -> Curve:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _reason(self, error: OSError) -> str:
        return f"cannot write {self._path}: {error.strerror}; {ROOM}"


def _kept(path: Path, finished: tuple[str, ...], stage: str, step: int) -> list[list[str]]:
    """Whole rows from before the saved state; a killed run may have written more, the last one in half."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS) and row[0].isdigit()]
    return [row for row in rows if row[1] in finished or (row[1] == stage and int(row[0]) <= step)]
