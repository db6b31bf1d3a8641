"""What failed of a replay, on the terminal: one red line for each criterion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sentryfuse_core.text import one_line

if TYPE_CHECKING:
    from sentryfuse_core.replay.junit import Suite

__all__ = ["FAILED", "print_failures"]

FAILED = 1  # exit status: a criterion was not met


def print_failures(suites: Sequence[Suite]) -> None:
    """Each on stderr, with the recording's name."""
    from sentryfuse_core.commands.terminal import Terminal

    console = Terminal(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for suite in suites:
        for line in suite.failures:
            console.print(one_line(f"failed: {suite.name}: {line}"), style="red")
