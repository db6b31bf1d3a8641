"""`sentryfuse params`: every parameter with its default, range and meaning."""

from __future__ import annotations

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
    rows = [(option.path, _value(option.default), _range(option), option.doc) for option in shown]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    live = {option.path for option in shown if option.live}
    lines = []
    for path, default, limits, doc in rows:
        note = " (may change at run time)" if path in live else ""
        lines.append(f"{path:<{widths[0]}}  {default:<{widths[1]}}  {limits:<{widths[2]}}  {doc}{note}")
    return lines


def yaml_lines(shown: Sequence[Option], *, limits: bool = False) -> list[str]:
    """A parameter file's lines; with `limits` each also says its range and whether it may change."""
    lines: list[str] = []
    section = ""
    for option in shown:
        head, name = option.path.split(".")
        if head != section:
            lines.append(f"{head}:")
            section = head
        notes = (_range(option).replace(" | ", ", "), "may change at run time" if option.live else "")
        tail = "; ".join(filter(None, notes)) if limits else ""
        lines.append(f"  {name}: {_value(option.default)}  # {option.doc}{f' ({tail})' if tail else ''}")
    return lines


def _value(value: Any) -> str:
    """The value as YAML reads it back."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _range(option: Option) -> str:
    if option.choices:
        return " | ".join(option.choices)
    if option.low is not None and option.high is not None:
        return f"{option.low:g} .. {option.high:g}"
    return ""
