"""`sentryfuse check`: looks at a running robot before the node starts and says what would keep it blind."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from sentryfuse_core.commands.options import add_config_arguments, config_from
from sentryfuse_core.errors import ConfigError, SentryFuseError
from sentryfuse_ros import middleware
from sentryfuse_ros.check_findings import Level, Line, exit_status, sensor_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentryfuse_core.config import Config

__all__ = ["add_arguments", "run"]

_DESCRIPTION = """\
Test a running robot against the configuration, without starting the node. For every enabled sensor: does
its topic have a publisher, of the right type, with a matching QoS; do messages come, at which rate, can
they be read, which clock stamped them, is their frame known. Besides: CameraInfo, weights, device,
use_sim_time, shared memory. Ends as soon as everything has answered.
"""
_EPILOG = """\
examples:
  sentryfuse check
  sentryfuse check --params my_robot.yaml --remap camera/image:=/front/image_raw --timeout 10
  sentryfuse check --set audio.enabled=false --json | jq '.lines[] | select(.level == "FAIL")'
  sentryfuse check --params my_robot.yaml --ros-args -r __ns:=/robot -p use_sim_time:=true

exit status: 0 nothing fails, 1 something does (with --strict: or warns), 2 usage error
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="S", help="longest wait for messages in s (default 5)"
    )
    parser.add_argument("--strict", action="store_true", help="warnings fail, too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "--remap", action="append", default=[], metavar="FROM:=TO", help="as for the node; repeatable"
    )
    parser.add_argument(
        "--ros-args", nargs=argparse.REMAINDER, default=[], metavar="ARG", help="handed to rclpy; comes last"
    )
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Look, judge, print; the exit status."""
    if not args.timeout > 0:
        raise ConfigError(f"--timeout {args.timeout}: give a positive time in s")
    config = config_from(args)
    middleware.apply_profile()
    lines = [*_robot(args, config), *_installation(config)]
    status = exit_status(lines, strict=args.strict)
    if args.json:
        plain = [{**vars(line), "level": line.level.value} for line in lines]
        sys.stdout.write(json.dumps({"status": status, "lines": plain}, indent=1) + "\n")
    else:
        _print(lines)
    return status


def _robot(args: argparse.Namespace, config: Config) -> list[Line]:
    import rclpy
    from rclpy.exceptions import NameValidationException, ParameterException

    from sentryfuse_ros.check_robot import Look

    words = ["--ros-args", *args.ros_args]
    for rule in args.remap:
        words += ["-r", rule]
    context = rclpy.Context()
    try:
        rclpy.init(args=words, context=context)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"bad ROS arguments: {error}") from error
    try:
        try:
            node = rclpy.create_node("sentryfuse_check", context=context)
        except (NameValidationException, ParameterException) as error:
            raise ConfigError(f"bad ROS arguments: {error}") from error
        with Look(node, config) as look:
            look.until(time.monotonic() + args.timeout)
            lines = [line for modality, seen in look.seen() for line in sensor_lines(modality, seen, config)]
            return [*lines, *look.other_lines()]
    finally:
        rclpy.try_shutdown(context=context)


def _installation(config: Config) -> list[Line]:
    """Weights, device and shared memory of this machine."""
    lines = [Line("installation", "shm", Level.WARN, note) for note in middleware.shared_memory_notes()]
    try:
        from sentryfuse_core.runtime.load import load_bank, make_backend

        bank = load_bank(config.model)
        backend = make_backend(bank, config.model)
    except SentryFuseError as error:
        return [*lines, Line("installation", "model", Level.FAIL, " ".join(str(error).split()))]
    lines.append(Line("installation", "weights", Level.OK, bank.identity))
    if backend.faults:
        remedy = "set model.device to cpu, or repair the accelerator's driver"
        return [*lines, Line("installation", "device", Level.FAIL, "; ".join(backend.faults), remedy)]
    return [*lines, Line("installation", "device", Level.OK, backend.device)]


def _print(lines: Sequence[Line]) -> None:
    from rich.console import Console
    from rich.table import Table

    table: Any = Table(box=None, pad_edge=False)
    for heading in ("", "what", "check"):
        table.add_column(heading, no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("remedy", overflow="fold")
    styles = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
    for line in lines:
        row = (line.level.value, line.subject, line.check, line.text, line.remedy)
        table.add_row(*row, style=None if line.level is Level.OK else styles[line.level])
    Console(highlight=False, markup=False).print(table)
