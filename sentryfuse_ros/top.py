"""`sentryfuse top`: the live numbers of a running fusion node in the terminal."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.prompt import Prompt

from sentryfuse_core.commands.terminal import Terminal
from sentryfuse_core.errors import ConfigError
from sentryfuse_ros import top_view
from sentryfuse_ros.live import showing
from sentryfuse_ros.spin import Stop, run_node
from sentryfuse_ros.without_ros import needs_ros

if TYPE_CHECKING:
    import argparse

    from sentryfuse_ros.node_state import Snapshot
    from sentryfuse_ros.top_node import TopNode

__all__ = ["add_arguments", "run"]

_NOTHING_CAME = 1
_LINE_EVERY = 4  # turns of the view for one plain line
_PLAIN_WIDTH = 120
_WHOLE_WITHIN_S = 1.5  # after the first status, for the node's own percentiles and its boxes
_DESCRIPTION = """\
Show what a running fusion node says of itself: sensors, mask, pruning level and why, backend, budget, and
where the latency of a set goes. Percentiles are the node's own, of its last 30 s, as in /diagnostics.
Listens only; changes nothing. Without a terminal it prints a line a second.
"""
_EXAMPLES = """\
examples:
  sentryfuse top
  sentryfuse top --node /robot_2/sentryfuse
in a script:
  sentryfuse top --once
  sentryfuse top --json | jq .latency_ms.e2e.p95

exit status: 0 ended by Ctrl-C, or a snapshot was printed; 1 nothing came within --timeout; 2 error
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    import argparse

    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--node", metavar="NAME", help="full name of the node (default: the only one, else it asks)"
    )
    parser.add_argument("--once", action="store_true", help="print one snapshot and end")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.add_argument(
        "--timeout",
        type=float,
        default=10.0,
        metavar="S",
        help="longest time that --once and --json wait for a set, in s (default 10)",
    )


@needs_ros("sentryfuse top")
def run(args: argparse.Namespace) -> int:
    """Show the node until interrupted, or once; returns the exit status."""
    if not 0 < args.timeout <= 3600:
        raise ConfigError(f"--timeout {args.timeout:g}: give a time above 0, at most 3600 s")
    wanted = None if args.node is None else f"/{args.node.strip('/')}"
    console = Terminal(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _PLAIN_WIDTH)
    while True:
        if args.once or args.json:
            status, several = _once(wanted, args, console)
        else:
            with showing(console, picture=_picture, line=_line, every=_LINE_EVERY, screen=True) as show:

                def turn(node: TopNode, stop: Stop, show: Callable[[TopNode], None] = show) -> None:
                    show(node)
                    if console.quiet:  # nobody reads any more
                        stop.request()

                status, several = _follow(wanted, turn)
        if not several:
            return status
        wanted = _ask(several)


def _follow(wanted: str | None, turn: Callable[[TopNode, Stop], None]) -> tuple[int, Sequence[str]]:
    """Run the node; its exit status, and the names of fusion nodes where there are several to choose from."""
    from sentryfuse_ros.top_node import TopNode

    several: list[str] = []

    def make(stop: Stop) -> TopNode:
        def choose(names: Sequence[str]) -> None:
            several.extend(names)
            stop.request()

        return TopNode(wanted, turn=lambda node: turn(node, stop), several=choose)

    asked = Stop()
    status = run_node(make, args=[], stop=asked)
    return status, [] if asked.signalled else several


def _once(wanted: str | None, args: argparse.Namespace, console: Console) -> tuple[int, Sequence[str]]:
    """Print one snapshot as soon as it is whole."""
    shown: Snapshot | None = None
    hint = ["interrupted before a set came"]
    began_s, first_s = time.monotonic(), math.inf

    def turn(node: TopNode, stop: Stop) -> None:
        nonlocal shown, first_s, hint
        now_s, snapshot = time.monotonic(), node.snapshot()
        if snapshot is not None:
            first_s = min(first_s, now_s)
            whole = node.diagnosed and snapshot.detections is not None
            if whole or now_s - first_s > _WHOLE_WITHIN_S:
                shown = snapshot
                stop.request()
        elif now_s - began_s > args.timeout:
            hint = node.hint()
            stop.request()

    status, several = _follow(wanted, turn)
    if status or several:
        return status, several
    if shown is None:
        print(f"sentryfuse: {'; '.join(hint)}", file=sys.stderr)  # noqa: T201
        return _NOTHING_CAME, several
    if args.json:
        print(top_view.as_json(shown))  # noqa: T201
    else:
        console.print(top_view.render(shown))
    return 0, several


def _picture(node: TopNode) -> RenderableType:
    snapshot = node.snapshot()
    return top_view.waiting(node.hint()) if snapshot is None else top_view.render(snapshot)


def _line(node: TopNode) -> str:
    snapshot = node.snapshot()
    return f"waiting: {'; '.join(node.hint())}" if snapshot is None else top_view.line(snapshot)


def _ask(names: Sequence[str]) -> str:
    """Which of several nodes; ConfigError where there is nobody to ask."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return Prompt.ask("several fusion nodes run; which one", choices=list(names))
    raise ConfigError(f"several fusion nodes run: {', '.join(names)}; choose one with --node")
