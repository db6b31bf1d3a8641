"""`sentryfuse view`: a replay's results in the rerun viewer, or as a file for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Open the results of `sentryfuse replay` in rerun (pip install 'sentryfuse-python[view]'): boxes, "
        "points, pictures, states and latencies on one timeline."
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a run's folder, or its results.mcap")
    parser.add_argument(
        "--save", type=Path, metavar="FILE.rrd", help="write a file instead of opening a window"
    )


def run(args: argparse.Namespace) -> int:
    """Show or save."""
    from sentryfuse_core.replay.viewer import show

    missing = show(args.results, save=args.save)
    if missing:
        print(f"sentryfuse: note: {missing}", file=sys.stderr)
    if args.save is not None:
        print(args.save)
    return 0
