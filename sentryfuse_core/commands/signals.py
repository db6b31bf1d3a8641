"""SIGINT and SIGTERM noted instead of dying of the first, for commands that close what they write."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

__all__ = ["INTERRUPTED", "end_at_once", "interrupt", "noted_signals", "say_saved"]

INTERRUPTED = 128  # exit status, as shells have it: plus the signal's number


def interrupt(number: int, frame: FrameType | None = None) -> None:
    """Raise KeyboardInterrupt with the signal's number.

    Where the `frame` that it found is within an import, end the process: an exception there can abort it in
    a library's own code, or change its status. Whoever writes something for long does not ask for this.
    """
    if _importing(frame):
        with suppress(Exception):  # it may be in the middle of that, too
            sys.stdout.flush()
        os.write(2, b"sentryfuse: interrupted\n")
        os._exit(INTERRUPTED + number)
    raise KeyboardInterrupt(number)


def end_at_once() -> None:
    """Let a further signal end the process without a word: an interrupted command only tidies up any more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: os._exit(INTERRUPTED + number))


def say_saved(folder: Path) -> None:
    """Tell that an interrupted run left its state in `folder`."""
    print(f"sentryfuse: the state is in {folder}; the same command with --resume goes on", file=sys.stderr)


@contextmanager
def noted_signals(
    then: Callable[[int, FrameType | None], None] = lambda _number, _frame: None,
) -> Iterator[list[int]]:
    """Collect the number of SIGINT or SIGTERM; a second one does end the process.

    `then` is called with the number and the frame that the signal found. A signal that somebody within came
    to ignore, because the process ends, stays ignored.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python takes handlers from there only
        yield caught
        return

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        end_at_once()
        then(number, frame)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def _importing(frame: FrameType | None) -> bool:
    """Whether what a signal interrupted is the import of a module."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
