"""Command line options that several subcommands share: parameter file, single parameters, the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from sentryfuse_core.config import Config, load_yaml, override
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.safe_files import parse_yaml
from sentryfuse_core.shipped import or_shipped

if TYPE_CHECKING:
    import argparse
import sys

__all__ = ["add_config_arguments", "check_device", "config_from"]


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --params and --set."""
    parser.add_argument(
        "--params",
        type=or_shipped,
        metavar="FILE",
        help="YAML parameter file, plain sections or ROS style",
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
    config = Config() if args.params is None else load_yaml(args.params, tell=_tell)
    return override(config, dict(_assignment(text) for text in args.set))


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


def check_device(name: str) -> None:
    """Raises ConfigError when torch cannot use the device of --device."""
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without CUDA
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device {name} cannot be used ({reason}); cpu always can") from error
