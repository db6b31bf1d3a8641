"""Text of strangers made fit for one line: no control characters, and no longer than what is read anyway."""

from __future__ import annotations

__all__ = ["bounded"]

_LONGEST = 400  # characters


def bounded(text: str, longest: int = _LONGEST) -> str:
    """The text with what cannot be printed escaped, cut to `longest` characters, the last of them '…'."""
    if len(text) <= longest and text.isprintable():
        return text
    # An escape is longer than what it stands for, so more than this is never needed.
    shown = "".join(char if char.isprintable() else _escaped(char) for char in text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
