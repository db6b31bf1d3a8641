"""`sentryfuse params`: every parameter with its default, range and meaning."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sentryfuse_core.config import Option, options
from sentryfuse_core.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["add_arguments", "run", "yaml_lines"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "List every parameter: name, default, range, meaning with unit. The names are the same in a "
        "YAML file, after --set and as ROS parameters."
    )
    parser.add_argument("filter", nargs="?", default="", metavar="TEXT", help="only names that contain TEXT")
    parser.add_argument("--yaml", action="store_true", help="print the defaults as a parameter file instead")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    shown = [option for option in options() if args.filter in option.path]
    if not shown:
        raise ConfigError(f"no parameter has {args.filter!r} in its name; `sentryfuse params` lists all")
    for line in yaml_lines(shown) if args.yaml else _table(shown):
        print(line)
    return 0


def _table(shown: list[Option]) -> list[str]:
    rows = [(option.path, _value(option.default), _range(option)) for option in shown]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row, option in zip(rows, shown, strict=True):
        columns = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        live = " (may change at run time)" if option.live else ""
        lines.append("  ".join([*columns, f"{option.doc}{live}"]))
    return lines


def yaml_lines(shown: Sequence[Option], *, limits: bool = False) -> list[str]:
    """A parameter file's lines; with `limits` each also says its range and whether it may change."""
    lines: list[str] = []
    for section, own in groupby(shown, key=lambda option: option.path.rpartition(".")[0]):
        lines += [f"{section}:"] if section else []
        for item in own:
            notes = (_range(item).replace(" | ", ", "), "may change at run time" if item.live else "")
            tail = f" ({'; '.join(filter(None, notes))})" if limits and any(notes) else ""
            indent, name = "  " * bool(section), item.path.rpartition(".")[2]
            lines.append(f"{indent}{name}: {_value(item.default)}  # {item.doc}{tail}")
    return lines


def _value(value: Any) -> str:
    """The value as YAML reads it back: JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def _range(option: Option) -> str:
    if option.choices:
        return " | ".join(option.choices)
    if option.low is not None and option.high is not None:
        return f"{option.low:g} .. {option.high:g}"
    return ""
