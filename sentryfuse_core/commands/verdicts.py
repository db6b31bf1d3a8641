"""What failed of a replay: a red line for each thing on the terminal, and the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sentryfuse_core.text import one_line

if TYPE_CHECKING:
    from sentryfuse_core.replay.junit import Suite

__all__ = ["exit_status", "print_failures"]

_FAILED, _NOT_PLAYED = 1, 2


def exit_status(suites: Sequence[Suite]) -> int:
    """1 where a criterion was not met, 2 where a recording was not played to its end."""
    if any(suite.error for suite in suites):
        return _NOT_PLAYED
    return _FAILED if any(suite.failures for suite in suites) else 0


def print_failures(suites: Sequence[Suite]) -> None:
    """Each on stderr, with the recording's name."""
    from sentryfuse_core.commands.terminal import Terminal

    console = Terminal(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for suite in suites:
        for line in suite.failures:
            console.print(one_line(f"failed: {suite.name}: {line}"), style="red")
