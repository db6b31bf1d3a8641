"""Open the driving sets and recordings that --data names, with the options that say how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.bags.topics import parse_overrides
from sentryfuse_core.commands.options import config_from
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.datasets.driving import DrivingSet
from sentryfuse_core.lab.datasets.layouts import detect_layout, merged, open_driving

if TYPE_CHECKING:
    import argparse

__all__ = ["open_data"]

_OF_BAGS = ("labels", "params", "set", "topic")


def open_data(args: argparse.Namespace, *, plain: bool = False) -> DrivingSet:
    """All that --data names as one set; `plain`: without its labels.

    Raises ConfigError for an option that is not of a path's layout, or what `open_driving` does.
    """
    return merged([_open(args, path, plain=plain) for path in args.data])


def _open(args: argparse.Namespace, path: Path, *, plain: bool) -> DrivingSet:
    layout = args.format or detect_layout(path)
    if layout != "bag":
        for name in _OF_BAGS:
            if getattr(args, name):
                raise ConfigError(f"--{name} is of recordings, and {path} is {layout}; leave it out")
    topics, config = parse_overrides(args.topic, config_from(args))
    return open_driving(path, layout=layout, labels=args.labels, config=config, topics=topics, plain=plain)
