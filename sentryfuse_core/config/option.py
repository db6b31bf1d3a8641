"""One option: its default, unit, range and help, and the check of a value given for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from sentryfuse_core.errors import ConfigError

__all__ = ["Option", "in_words", "opt"]

_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text", list: "a list of texts"}


def opt(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Declare an option: default, help with unit, inclusive range, and whether it may change at run time."""
    return field(
        default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices, "live": live}
    )


def in_words(kind: type) -> str:
    """What to give for an option of that type."""
    return _WORDS[kind]


@dataclass(frozen=True)
class Option:
    """One option as help texts and ROS parameter descriptors need it."""

    path: str
    default: Any
    kind: type  # bool, int, float, str, tuple (of floats) or list (of texts)
    length: int  # elements of a tuple, else 0
    doc: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    live: bool

    def check(self, value: Any) -> Any:
        """Return `value` as the option's type, or raise ConfigError that names path, value and remedy."""
        if self.kind is tuple:
            if not isinstance(value, (list, tuple)) or len(value) != self.length:
                raise ConfigError(f"{self.path} = {value!r}: give {self.length} numbers")
            return tuple(self._number(item, float) for item in value)
        if self.kind is list:
            if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{self.path} = {value!r}: give {in_words(self.kind)}")
            return tuple(value)
        if self.kind is bool or self.kind is str:
            if not isinstance(value, self.kind):
                raise ConfigError(f"{self.path} = {value!r}: give {in_words(self.kind)}")
            if self.choices and value not in self.choices:
                raise ConfigError(f"{self.path} = {value!r}: give one of {', '.join(self.choices)}")
            return value
        return self._number(value, self.kind)

    def _number(self, value: Any, kind: type) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and not math.isfinite(value):
            raise ConfigError(f"{self.path} = {value!r}: give a finite number")
        if not is_number or (kind is int and value != int(value)):
            raise ConfigError(f"{self.path} = {value!r}: give {in_words(kind)}")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise ConfigError(f"{self.path} = {value!r} is outside {self.low} .. {self.high}")
        return kind(value)
