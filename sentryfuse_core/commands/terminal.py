"""Where commands print tables and progress: a reader that leaves early does not change how they end."""

from __future__ import annotations

import os

from rich.console import Console

__all__ = ["Terminal"]


class Terminal(Console):
    """A console that falls silent when its reader (head, less) has gone; rich would end with status 1."""

    def on_broken_pipe(self) -> None:
        """Send what Python still holds for the reader, and all that follows, to nowhere."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
