"""An error's text for a status message."""

from __future__ import annotations

__all__ = ["one_line"]


def one_line(error: BaseException) -> str:
    """Its text on one line, cut short: torch's run over many."""
    return " ".join(str(error).split())[:200] or type(error).__name__
