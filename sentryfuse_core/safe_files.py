"""Files of strangers: regular ones of bounded size, and YAML whose aliases, depth and values are bounded."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

__all__ = ["check_regular", "parse_yaml", "read_yaml", "text_lines"]

MOST_BYTES = 1_000_000  # no file that a person writes is larger
MOST_VALUES = 20_000  # of one file, aliases unfolded
MOST_DEPTH = 50
_MOST_BITS = 64  # of an integer
_SPECIAL = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))


class _UnfitFileError(OSError):
    """Says why without a number: callers name the file."""

    def __str__(self) -> str:
        return str(self.strerror)


class _MissingFileError(_UnfitFileError, FileNotFoundError):
    """The same for callers that tell a missing file apart."""


def check_regular(path: Path, *, most_bytes: int | None = None) -> None:
    """Raise OSError for what is missing, too large or no file: reading a pipe or a device can go on for ever.

    The null device is an empty file.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise _MissingFileError(errno.ENOENT, "there is no such file") from error
    mode = status.st_mode
    if not stat.S_ISREG(mode) and not path.samefile(os.devnull):
        kind = next((name for is_kind, name in _SPECIAL if is_kind(mode)), "a device")
        raise _UnfitFileError(errno.EINVAL, f"it is {kind}, not a file")
    if most_bytes is not None and status.st_size > most_bytes:
        raise _UnfitFileError(
            errno.EFBIG, f"it has {status.st_size:,} bytes, more than the {most_bytes:,} allowed"
        )


def text_lines(data: bytes) -> list[str]:
    """The lines of a text of any system, with or without byte order mark; raises UnicodeDecodeError."""
    lines = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def read_yaml(path: Path, *, most_bytes: int = MOST_BYTES, most_values: int = MOST_VALUES) -> Any:
    """The value of a file; raises OSError, UnicodeDecodeError or yaml.YAMLError."""
    check_regular(path, most_bytes=most_bytes)
    return parse_yaml(path.read_text(encoding="utf-8"), most_values=most_values)


def parse_yaml(text: str, *, most_values: int = MOST_VALUES) -> Any:
    """The value of a text; raises yaml.YAMLError, also for what unfolds to more than `most_values`."""
    import yaml

    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is ten times as fast
    loader: Any = type("Loader", (fast,), {})
    loader.add_constructor("tag:yaml.org,2002:int", _integer)
    try:
        _check_values(text, loader, most_values)
        return yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader, see above
    except yaml.YAMLError:
        raise
    except Exception as error:  # the constructors of numbers and dates raise nearly anything
        raise yaml.YAMLError(" ".join(str(error).split())) from error


def _integer(loader: Any, node: Any) -> int:
    """What is longer fits neither a message nor, at some length, a float."""
    value: int = loader.construct_yaml_int(node)
    if value.bit_length() > _MOST_BITS:
        raise ValueError(f"an integer of {value.bit_length()} bits is too long; {_MOST_BITS} are allowed")
    return value


def _check_values(text: str, loader: Any, most_values: int) -> None:
    """Count the values as they would be with every alias unfolded, without unfolding one."""
    import yaml

    sizes: list[int] = [0]  # of the collections that are open, the whole stream first
    open_names: list[str | None] = [None]
    named: dict[str, int] = {}
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in open_names:
                raise yaml.YAMLError(f"the alias *{event.anchor} holds itself; write the value out")
            sizes[-1] += named.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
            named[event.anchor or ""] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            sizes.append(1)
            open_names.append(event.anchor)
            if len(sizes) > MOST_DEPTH:
                raise yaml.YAMLError(f"it is nested more than {MOST_DEPTH} deep; write it flatter")
        elif isinstance(event, yaml.CollectionEndEvent):
            size, name = sizes.pop(), open_names.pop()
            named[name or ""] = size
            sizes[-1] += size
        if sizes[-1] > most_values:
            raise yaml.YAMLError(
                f"it unfolds to more than {most_values:,} values; write it without such aliases"
            )
