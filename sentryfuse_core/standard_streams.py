"""Standard streams that the caller closed (`>&-`, as some supervisors and cron jobs do)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["open_standard_streams"]


def open_standard_streams() -> None:
    """Give the null device to those that are closed; call it before anything is opened.

    Else the next file or socket gets the number of one, and what libraries write for a person goes into it.
    Processes that this one starts have them too: most of them would not open their own.
    """
    for number in range(3):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)  # noqa: FBT003 - it has no name
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # as Python has it where it was closed at the start
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
