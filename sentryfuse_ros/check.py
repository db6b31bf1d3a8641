"""`sentryfuse check`: a preflight against a running robot, before or without the fusion node."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from sentryfuse_core.commands.options import add_config_arguments, config_from
from sentryfuse_core.commands.signals import interrupt
from sentryfuse_core.commands.terminal import Terminal
from sentryfuse_core.errors import BackendError, CheckpointError, ConfigError
from sentryfuse_ros.check_judge import Line, ModelSeen, Verdict, exit_status, judge
from sentryfuse_ros.middleware import shared_memory_notes
from sentryfuse_ros.spin import Stop, run_node
from sentryfuse_ros.without_ros import needs_ros

if TYPE_CHECKING:
    import argparse

    from sentryfuse_core.config import Config
    from sentryfuse_ros.check_node import CheckNode

__all__ = ["add_arguments", "run"]

_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
_DESCRIPTION = """\
Look at a running robot as the fusion node would, and say what is wrong before anything depends on it.
For every enabled sensor: is its topic published, with the type and QoS that the parameters ask for, do
messages come and how fast, can they be read, are they stamped by this robot's clock, is their frame
known to tf2 (where tf2_ros is installed)? Then CameraInfo, /clock, the checkpoint, the device and the
shared memory. Ends as soon as everything has answered. The fusion node need not run, and may.
"""
_EXAMPLES = """\
examples:
  sentryfuse check --params robot.yaml
  sentryfuse check --set camera.transport=compressed --set audio.enabled=false
  sentryfuse check --ros-args -r camera/image:=/front/image_raw -p use_sim_time:=true

before a launch file, which then starts only what can work:
  sentryfuse check --params robot.yaml && ros2 launch sentryfuse sentryfuse.launch.py params_file:=robot.yaml
in CI, with a warning as bad as a failure and the findings kept:
  sentryfuse check --params robot.yaml --strict --json > preflight.json

exit status: 0 nothing fails, 1 something fails (or warns, with --strict), 2 error (one line says which),
130 or 143 ended by SIGINT or SIGTERM
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    import argparse

    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="S", help="longest time to listen, in s (default 5)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--strict", action="store_true", help="a warning gives exit status 1 too")
    add_config_arguments(parser)
    parser.add_argument(
        "--ros-args",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="...",
        help="last: what the fusion node gets, -r, -p and --params-file; parameters here go over the others",
    )


@needs_ros("sentryfuse check")
def run(args: argparse.Namespace) -> int:
    """Listen, judge, print; returns the exit status."""
    from sentryfuse_ros.check_node import CheckNode

    if not 0 < args.timeout <= 3600:
        raise ConfigError(f"--timeout {args.timeout:g}: give a time above 0, at most 3600 s")
    config = config_from(args)
    seen: dict[str, Any] = {}

    def make(stop: Stop) -> CheckNode:
        def end(node: CheckNode) -> None:
            seen.update(node.seen())
            stop.request()

        return CheckNode(config, timeout_s=args.timeout, on_end=end)

    asked = Stop()
    status = run_node(make, args=["--ros-args", *args.ros_args], stop=asked)
    if status:
        return status
    if asked.signalled or not seen:
        interrupt(asked.signalled or signal.SIGINT)
    lines = judge(model=_model(seen["config"]), memory_notes=shared_memory_notes(), **seen)
    status = exit_status(lines, strict=args.strict)
    if args.json:
        print(json.dumps({"status": status, "lines": [asdict(line) for line in lines]}, indent=2))  # noqa: T201
    else:
        _print(lines)
    return status


def _model(config: Config) -> ModelSeen:
    """Load what the fusion node would load; torch comes with it, so this is after listening."""
    from sentryfuse_core.runtime.load import load_bank, make_backend

    try:
        bank = load_bank(config.model)
    except (CheckpointError, BackendError) as error:  # no such weights, or not the level of model.max_level
        return ModelSeen(checkpoint_error=str(error))
    try:
        backend = make_backend(bank, config.model)
    except BackendError as error:
        return ModelSeen(identity=bank.identity, device_error=str(error))
    return ModelSeen(identity=bank.identity, pruning=bank.kind, device=backend.device, faults=backend.faults)


def _print(lines: list[Line]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "remedy"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("", "what"))
    for line in lines:
        verdict = f"[{_STYLES[line.verdict]}]{line.verdict.value}[/]"
        table.add_row(verdict, line.subject, escape(line.found), escape(line.remedy))
    Terminal(highlight=False).print(table)
    fails, warns = (sum(line.verdict is kind for line in lines) for kind in (Verdict.FAIL, Verdict.WARN))
    print(f"{fails} failed, {warns} warning{'s' if warns != 1 else ''}")  # noqa: T201
