"""Measure time and trust against their targets: python -m benchmarks.sync [--quick] [--only ROW].

Streams are simulated with seeds (benchmarks/sync_streams.py says how), and deadlines fire at their own
simulated times: what is measured is what the software decides, not how fast this machine is. CPU times are
those of the thread. message_filters runs on the same arrivals where it can be imported; what it did
otherwise is quoted from an earlier measurement and marked so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks import sync_clocks, sync_cost, sync_losses, sync_replay
from benchmarks._ends import ended
from benchmarks.sync_rivals import load
from benchmarks.sync_streams import Found
from sentryfuse_core.config import Config, to_mapping
from sentryfuse_core.lab.bench.results import text_table, write

__all__ = ["ROWS", "main", "measure"]

Measure = Callable[..., Found]
ROWS: Mapping[str, Measure] = {
    "one_lost": sync_losses.one_lost,
    "any_subset": sync_losses.any_subset_lost,
    "wait": sync_losses.dead_stream_wait,
    "silence": sync_losses.silence,
    "lost": sync_losses.lost_declared,
    "offset": sync_clocks.constant_offset,
    "loop": sync_clocks.bag_loop,
    "poison": sync_clocks.poison,
    "add": sync_cost.add_cost,
    "add_named": sync_cost.add_cost_of_eight,
    "duty": sync_losses.duty_cycle,
    "raises": sync_replay.callback_raises,
    "replay": sync_replay.replay_hash,
    "share": sync_cost.health_share,
    "memory": sync_cost.memory,
}
_QUICK: Mapping[str, Mapping[str, Any]] = {
    "one_lost": {"seconds": 15.0},
    "any_subset": {"seconds": 60.0},
    "wait": {"seconds": 8.0, "trials": 1},
    "silence": {"trials": 2},
    "lost": {"trials": 1},
    "offset": {"seconds": 3.0, "trials": 1, "offsets": (0.75, 2.0)},
    "loop": {"seconds": 8.0},
    "poison": {"seconds": 6.0},
    "add": {"seconds": 3.0},
    "add_named": {"seconds": 3.0},
    "duty": {"seconds": 10.0, "periods_s": (2.0,)},
    "raises": {"seconds": 3.0},
    "replay": {"seconds": 3.0, "whole": False},
    "share": {"seconds": 3.0},
    "memory": {"hours": 0.05, "full_hours": 0.005},
}


def measure(
    names: Iterable[str], rival: Any, *, quick: bool = False, done: Callable[[], None] = lambda: None
) -> dict[str, Found]:
    """The findings by row name; `done` is told after each."""
    found = {}
    for name in names:
        found[name] = ROWS[name](rival, **(_QUICK[name] if quick else {}))
        done()
    return found


def main() -> int:
    """Run the rows, print the table and write benchmarks/results/sync.json (all rows at full length only)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, seconds in all; writes nothing")
    parser.add_argument(
        "--only",
        choices=ROWS,
        action="append",
        metavar="ROW",
        help=f"{', '.join(ROWS)}; repeatable; writes nothing",
    )
    parser.add_argument("--message-filters", type=Path, metavar="DIR", help="folder with message_filters/")
    args = parser.parse_args()
    if args.message_filters is not None:
        sys.path.append(str(args.message_filters))
    rival = load()
    names = args.only or list(ROWS)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=len(names))
        found = measure(names, rival, quick=args.quick, done=lambda: progress.advance(task))
    print(table(found))
    if args.quick or args.only:
        return 0
    figures = [figure for item in found.values() for figure in item.figures]
    raw = {
        "message_filters": "measured" if rival is not None else "quoted",
        **{name: {"message_filters": item.rival, "raw": item.raw} for name, item in found.items()},
    }
    print(write("sync", figures, raw=raw, config=to_mapping(Config())))
    return 0


def table(found: Mapping[str, Found]) -> str:
    """What was reached, and below the first figure of a row what message_filters does."""
    figures = []
    for name, item in found.items():
        notes = () if item.rival == "-" else (f"message_filters: {item.rival}",)
        first, *others = (replace(figure, what=f"{name}: {figure.what}") for figure in item.figures)
        figures += [replace(first, notes=notes), *others]
    return text_table(figures)


if __name__ == "__main__":
    raise SystemExit(ended(main))
