"""Runs a program as a user does, in a process of its own; waits for what it says and for its end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

__all__ = ["Program"]

Self = TypeVar("Self", bound="Program")  # typing.Self is of Python 3.11


class Program:
    """A command running; leaving kills it and everything it started, if they have not ended."""

    deadline_s = 240.0  # others may keep the cores busy

    def __init__(self, command: Sequence[str | Path]) -> None:
        self.lines: list[str] = []  # of stdout and stderr
        self._changed = threading.Condition()
        self._over = False
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(10.0)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    @property
    def output(self) -> str:
        """What it wrote until now."""
        return "\n".join(self.lines)

    def wait_for(self, done: Callable[[], bool], what: str, *, within_s: float | None = None) -> None:
        """Until what it writes makes `done` true; fails when it ends before."""
        with self._changed:
            self._changed.wait_for(lambda: done() or self._over, within_s or self.deadline_s)
            assert done(), f"waited for {what}:\n{self.output}"

    def wait_for_line(self, text: str, *, within_s: float | None = None) -> None:
        """Until it has written a line with `text`."""
        self.wait_for(lambda: any(text in line for line in self.lines), repr(text), within_s=within_s)

    def end(self, *signals: int) -> int:
        """Send it the signals, SIGTERM by default, unless it has ended; its exit status."""
        for number in signals or (signal.SIGTERM,):
            if not self.ended:
                self._process.send_signal(number)
            threading.Event().wait(0.001 * (len(signals) > 1))  # two at once would be one
        return self.wait()

    def wait(self) -> int:
        """Its exit status; a program that does not end is killed and fails the test."""
        try:
            status = self._process.wait(self.deadline_s)
        except subprocess.TimeoutExpired:
            self.__exit__()
            raise AssertionError(f"it did not end in {self.deadline_s} s:\n{self.output}") from None
        self._reader.join(10.0)
        return status

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()
