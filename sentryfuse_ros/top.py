"""`sentryfuse top`: the live numbers of a running fusion node in the terminal."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.prompt import Prompt
from rich.text import Text

from sentryfuse_core.errors import ConfigError
from sentryfuse_ros import top_view
from sentryfuse_ros.spin import Stop, run_node
from sentryfuse_ros.without_ros import needs_ros

if TYPE_CHECKING:
    import argparse

    from sentryfuse_ros.top_node import TopNode
    from sentryfuse_ros.top_state import Snapshot

__all__ = ["add_arguments", "run"]

_NOTHING_CAME = 1
_LINE_EVERY = 4  # turns of the view for one plain line
_PLAIN_WIDTH = 120
_DIAGNOSED_WITHIN_S = 1.5  # after the first status, for the node's own percentiles
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
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _PLAIN_WIDTH)
    while True:
        choice: list[str] = []
        if args.once or args.json:
            status = _once(wanted, args, console, choice)
        else:
            with _view(console) as turn:
                status = _follow(wanted, turn, choice)
        if not choice:
            return status
        wanted = _ask(choice)


def _follow(wanted: str | None, turn: Callable[[TopNode], None], choice: list[str]) -> int:
    """Run the node; names of fusion nodes to choose from go to `choice`."""
    from sentryfuse_ros.top_node import TopNode

    def make(stop: Stop) -> TopNode:
        def several(names: Sequence[str]) -> None:
            choice.extend(names)
            stop.request()

        return TopNode(wanted, turn=turn, several=several)

    return run_node(make, args=[])


def _once(wanted: str | None, args: argparse.Namespace, console: Console, choice: list[str]) -> int:
    """Print one snapshot as soon as it is whole."""
    from sentryfuse_ros.top_node import TopNode

    shown: list[Snapshot] = []
    hint: list[str] = []
    began_s = time.monotonic()
    first_s: list[float] = []

    def make(stop: Stop) -> TopNode:
        def turn(node: TopNode) -> None:
            now_s = time.monotonic()
            snapshot = node.snapshot()
            if snapshot is not None:
                first_s.append(now_s)
                if node.diagnosed or now_s - first_s[0] > _DIAGNOSED_WITHIN_S:
                    shown.append(snapshot)
                    stop.request()
            elif now_s - began_s > args.timeout:
                hint.extend(node.hint())
                stop.request()

        def several(names: Sequence[str]) -> None:
            choice.extend(names)
            stop.request()

        return TopNode(wanted, turn=turn, several=several)

    status = run_node(make, args=[])
    if status or choice:
        return status
    if not shown:
        print(f"sentryfuse: {'; '.join(hint) or 'interrupted before a set came'}", file=sys.stderr)  # noqa: T201
        return _NOTHING_CAME
    if args.json:
        print(top_view.as_json(shown[-1]))  # noqa: T201
    else:
        console.print(top_view.render(shown[-1]))
    return 0


@contextmanager
def _view(console: Console) -> Iterator[Callable[[TopNode], None]]:
    """What to call on every turn: a live picture on a terminal, else a line a second."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=True) as live:

            def draw(node: TopNode) -> None:
                snapshot = node.snapshot()
                picture = top_view.waiting(node.hint()) if snapshot is None else top_view.render(snapshot)
                live.update(picture, refresh=True)

            yield draw
        return
    count, said = itertools.count(), [""]

    def tell(node: TopNode) -> None:
        if next(count) % _LINE_EVERY:
            return
        snapshot = node.snapshot()
        text = f"waiting: {'; '.join(node.hint())}" if snapshot is None else top_view.line(snapshot)
        if text != said[0]:
            said[0] = text
            console.print(Text(text), soft_wrap=True)

    yield tell


def _ask(names: Sequence[str]) -> str:
    """Which of several nodes; ConfigError where there is nobody to ask."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return Prompt.ask("several fusion nodes run; which one", choices=list(names))
    raise ConfigError(f"several fusion nodes run: {', '.join(names)}; choose one with --node")
