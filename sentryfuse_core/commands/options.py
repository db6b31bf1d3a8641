"""Command line options that several subcommands share: parameter file, single parameters, the device."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import yaml

from sentryfuse_core.config import Config, load_yaml, override, read_values
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.safe_files import parse_yaml
from sentryfuse_core.shipped import or_shipped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

__all__ = [
    "MOST_SEED",
    "add_config_arguments",
    "check_device",
    "check_numbers",
    "check_unheeded",
    "config_from",
]

MOST_SEED = 2**20 - 1  # larger ones would draw worlds that are held out for scoring


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --params, --node and --set."""
    parser.add_argument(
        "--params",
        type=or_shipped,
        metavar="FILE",
        help="YAML parameter file, plain sections or ROS style",
    )
    parser.add_argument(
        "--node",
        default="",
        metavar="NAME",
        help="full name of the fusion node whose parameters are meant, where --params has several nodes'",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set one parameter, e.g. --set sync.max_wait_s=0.03 (s); repeatable, goes over --params; "
        "`sentryfuse params` lists all",
    )


def config_from(args: argparse.Namespace) -> Config:
    """What --params and --set ask for; raises ConfigError for what is unknown or out of range."""
    if args.params is None:
        check_unheeded(args, ("node",), "says whose part of --params is meant; give that, too")
    config = Config() if args.params is None else load_yaml(args.params, node=args.node, tell=_tell)
    return override(config, dict(_assignment(text) for text in args.set))


def options_given(args: argparse.Namespace) -> set[str]:
    """Names of the options that --params and --set give, whatever their values."""
    by_file = {} if args.params is None else read_values(args.params, node=args.node)
    return {*by_file, *(_assignment(text)[0] for text in args.set)}


def _tell(note: str) -> None:
    print(f"sentryfuse: note: {note}", file=sys.stderr)


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {text}: give NAME=VALUE, e.g. --set sync.max_wait_s=0.03")
    try:
        return name.strip(), parse_yaml(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: {' '.join(str(error).split())}; quote the value") from error


def check_unheeded(args: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Raises ConfigError, with the option and `why`, for the first of these that was given.

    What has no effect is no small matter: who gave it believes that it had. Such options default to nothing,
    which is None, False, an empty list or no text.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value is not False and value not in ([], ""):
            raise ConfigError(f"--{name.replace('_', '-')} {why}")


def check_numbers(args: argparse.Namespace, **bounds: tuple[float, float]) -> None:
    """Raises ConfigError for an option below the first or above the second bound, or that is no number.

    Options that were not given are left alone.
    """
    for name, (low, high) in bounds.items():
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} {value}: give a number from {low:,} to {high:,}")


def check_device(name: str) -> None:
    """Raises ConfigError when torch cannot use the device of --device."""
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without CUDA
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device {name} cannot be used ({reason}); cpu always can") from error
