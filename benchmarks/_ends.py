"""How benchmarks end: what their user can mend is one line and exit status 2, as of every command."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable

from sentryfuse_core.cli import USAGE_ERROR, system_error
from sentryfuse_core.errors import SentryFuseError
from sentryfuse_core.text import one_line


def ended(main: Callable[[], int]) -> int:
    """The exit status of a benchmark."""
    try:
        return main()
    except SentryFuseError as error:
        reason = str(error)
    except OSError as error:
        reason = system_error(error)
    print(f"error: {one_line(reason)}", file=sys.stderr)
    return USAGE_ERROR


def count(text: str) -> int:
    """The value of an option that counts something: none of it measures nothing."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r:.40}: give a whole number from 1")
    return int(text)


def above_zero(text: str) -> float:
    """The value of an option that is a length, or a speed."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r:.40}: give a number above 0")
    return value
