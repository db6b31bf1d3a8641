"""SIGINT and SIGTERM noted instead of dying of the first, for commands that close what they write."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["INTERRUPTED", "end_at_once", "interrupt", "noted_signals", "say_saved"]

INTERRUPTED = 128  # exit status, as shells have it: plus the signal's number


def interrupt(number: int) -> None:
    """Raise KeyboardInterrupt with the signal's number."""
    raise KeyboardInterrupt(number)


def end_at_once() -> None:
    """Let a further signal end the process without a word: an interrupted command only tidies up any more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: os._exit(INTERRUPTED + number))


def say_saved(folder: Path) -> None:
    """Tell that an interrupted run left its state in `folder`."""
    print(f"sentryfuse: the state is in {folder}; the same command with --resume goes on", file=sys.stderr)


@contextmanager
def noted_signals(then: Callable[[int], None] = lambda _: None) -> Iterator[list[int]]:
    """Collect the number of SIGINT or SIGTERM and call `then` with it; a second one does end the process."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python takes handlers from there only
        yield caught
        return

    def note(number: int, _frame: Any) -> None:
        caught.append(number)
        end_at_once()
        then(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
