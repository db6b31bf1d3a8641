"""`sentryfuse replay`: the pipeline over a recording, with a progress bar, a summary and a report."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.commands.options import (
    add_config_arguments,
    check_numbers,
    check_unheeded,
    config_from,
)
from sentryfuse_core.commands.signals import INTERRUPTED, noted_signals
from sentryfuse_core.commands.verdicts import exit_status, print_failures
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.shipped import or_shipped
from sentryfuse_core.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sentryfuse_core.replay.session import Job, JobResult

__all__ = ["add_arguments", "run"]

_LONGEST_S = 1e9  # 30 years; more nanoseconds than this do not fit a stamp

_DESCRIPTION = """\
Run the robot's pipeline over a recording, on the recording's own time: nothing is skipped and nothing
waits, so the sets do not depend on this machine's speed (unless budget.latency_ms sets a limit: the
network's level then follows the milliseconds measured here; and another backend rounds otherwise).
Reads .mcap, .db3 and ROS 1 .bag files and rosbag2 folders. One topic of each sensor is found by its
type; sensors that are not in the recording are left out. Where a labels.jsonl lies beside the
recording, boxes are scored against it, and with a scenario they are compared with those of a second run
without it (in clean/).

Writes into a new folder:
  results.mcap   detections, markers, status of every set, diagnostics (opens in rerun and Foxglove)
  sets.jsonl     one line per set; the same run writes the same bytes
  metrics.json   accuracy, coverage, reactions to faults, false alarms, latency percentiles in ms
  junit.xml      one test case for each criterion
  manifest.json  hashes of recording, checkpoint and configuration, versions, machine
  report.html    all of it for a person, in one file
Of several recordings each has a folder of its own; summary.json and one junit.xml lie beside them.
"""
_EXAMPLES = """\
examples:
  sentryfuse replay drive.mcap
  sentryfuse replay drive/ --topic camera=/cam/front --out results/drive
  sentryfuse replay walk.db3 --set audio.sample_rate_hz=48000 --set audio.channels=1
  sentryfuse replay drive.mcap --scenario camera_freezes --seconds 20
  sentryfuse replay drive.mcap --scenario lidar_cable_loose --criteria config/criteria.yaml
  sentryfuse replay monday.mcap tuesday.mcap --jobs 2 --criteria config/criteria.yaml

exit status: 0 done, 1 a criterion failed, 2 error (one line says which), also where one of several
recordings was not played to its end; 130 or 143 interrupted (what was written is readable)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    import argparse

    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "bags", type=Path, metavar="BAG", nargs="+", help="recording: file or rosbag2 folder; or several"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="new or empty folder for the results (default: replay_BAG_001, _002, ...; of several recordings "
        "replay_bags_001 with a folder for each)",
    )
    parser.add_argument(
        "--topic",
        action="append",
        default=[],
        metavar="SENSOR=TOPIC",
        help="use this topic for a sensor (camera, lidar, imu, audio, or as the parameter `sensors` "
        "names it) or for odometry instead of the one found; repeatable",
    )
    parser.add_argument(
        "--scenario",
        metavar="FILE|NAME",
        help="faults to inject: a YAML file, or the name of a shipped scenario",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="true boxes, a labels.jsonl as `sentryfuse world record` writes (default: the one beside BAG)",
    )
    parser.add_argument(
        "--no-clean", action="store_true", help="with a scenario: do not also replay without its faults"
    )
    parser.add_argument(
        "--criteria",
        type=or_shipped,
        metavar="FILE",
        help="what a run must reach, YAML; config/criteria.yaml is one that comes with the package",
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="replay only the first S seconds")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="of several recordings, N at a time (default 1)"
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="run several recordings on a Ray cluster; `local`: on this machine alone, with --jobs cores",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Replay, write everything, print a summary; returns the exit status."""
    if args.seconds is not None and not 0 < args.seconds <= _LONGEST_S:
        raise ConfigError(f"--seconds {args.seconds:g}: give a time above 0 and up to {_LONGEST_S:g}")
    check_numbers(args, jobs=(1, 1024))
    if args.scenario is None:
        check_unheeded(args, ("no_clean",), "is of the faults of --scenario; give that, too, or leave it out")
    config = config_from(args)
    from sentryfuse_core.bags import topics
    from sentryfuse_core.bags.readers import BagReader
    from sentryfuse_core.faults import scenario, scenario_files
    from sentryfuse_core.replay import criteria

    overrides, config = topics.parse_overrides(args.topic, config)
    story = None if args.scenario is None else scenario_files.find_scenario(args.scenario)
    if story is not None:
        scenario.load_scenario(story, kinds=config.kinds)
    limits = () if args.criteria is None else criteria.load_criteria(args.criteria)
    several = len(args.bags) > 1 or args.cluster is not None
    if several and args.labels is not None:
        raise ConfigError("--labels is for one recording; of several, put a labels.jsonl beside each")
    if not several:
        with BagReader(args.bags[0]) as reader:  # what can be wrong with it is said before torch is loaded
            topics.select(reader.topics(), overrides, config=config)
    from sentryfuse_core.replay.session import Job
    from sentryfuse_core.runtime.beside import spare_cores

    job = Job(
        bag=args.bags[0],
        out=args.out,
        config=config,
        topics=overrides,
        scenario=story,
        seconds=args.seconds,
        labels=args.labels,
        criteria=limits,
        clean=not args.no_clean,
        command=tuple(sys.argv),
        beside=not args.cluster and spare_cores(min(args.jobs, len(args.bags))),
    )
    if several:
        from sentryfuse_core.commands.replay_many import replay_many

        return replay_many(args.bags, job, jobs=args.jobs, cluster=args.cluster, quiet=args.quiet)
    return _replay(job, quiet=args.quiet)


def _replay(job: Job, *, quiet: bool) -> int:
    from sentryfuse_core.replay.session import run_job

    with noted_signals() as caught, _bar(quiet=quiet) as progress:
        done = run_job(job, progress=progress, stop=lambda: bool(caught))
    if not quiet:
        _print_summary(done)
    damage = done.result.damage
    if damage is not None:
        raise type(damage)(f"{damage}; the results up to there are in {done.folder}")
    if caught:
        return INTERRUPTED + caught[0]
    print_failures([done.suite])
    return exit_status([done.suite])


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Any]:
    """A progress bar on stderr for each run; updated at most a few times a second."""
    if quiet:
        yield lambda _what, _done_s, _total_s, _sets: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from sentryfuse_core.commands.terminal import Terminal

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f} of {task.total:.1f} s, {task.fields[sets]} sets"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Terminal(stderr=True), refresh_per_second=5)
    runs: dict[str, Any] = {}

    def update(what: str, done_s: float, total_s: float, sets: int) -> None:
        bar.start()  # not sooner: what goes wrong before the first message is to be the only line
        if what not in runs:
            runs[what] = bar.add_task(what, total=total_s, sets=0)
        bar.update(runs[what], completed=min(done_s, total_s), sets=sets)

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


def _print_summary(done: JobResult) -> None:
    from rich.table import Table

    from sentryfuse_core.commands.terminal import Terminal
    from sentryfuse_core.replay.finish import summary_rows

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in summary_rows(done.folder, done.result):
        table.add_row(name, printable(value))
    if verdicts := done.suite.verdicts:
        met = sum(verdict.passed for verdict in verdicts)
        table.add_row("criteria", f"{met} of {len(verdicts)} met")
    Terminal(highlight=False, markup=False).print(table)
