"""Text for people: no control characters, in one line, no longer than what is read, a dash for no number."""

from __future__ import annotations

import math

__all__ = ["bounded", "number", "one_line", "printable", "reason_of"]

_LONGEST = 400  # characters
_LONGEST_ERROR = 2000
_LONGEST_REASON = 200  # of what a library said: torch's errors run over many lines


def printable(text: str) -> str:
    """The text with control characters written out: they could move a terminal's cursor or break XML."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def bounded(text: str, longest: int = _LONGEST) -> str:
    """The text with what cannot be printed escaped, cut to `longest` characters, the last of them '…'."""
    shown = printable(text[: longest + 1])  # an escape is longer than what it stands for: no more is needed
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def one_line(text: str) -> str:
    """What is said of an error: one printable line, cut where a stranger's value makes it endless."""
    return bounded(" ".join(text.split()), _LONGEST_ERROR)


def number(value: float | None, form: str, unit: str = "") -> str:
    """The value in that format with its unit; '-' where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:{form}}{unit}"


def reason_of(error: BaseException) -> str:
    """What a library said, in one printable line of bounded length."""
    text = " ".join(str(error).split())
    if not text or isinstance(error, LookupError):  # a KeyError says no more than the key
        text = f"{type(error).__name__} {text}".strip()
    return bounded(text, _LONGEST_REASON)
