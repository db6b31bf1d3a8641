"""`sentryfuse replay BAG BAG ...`: several recordings at once, a table of all of them, one junit.xml."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sentryfuse_core.commands.signals import INTERRUPTED, noted_signals
from sentryfuse_core.commands.verdicts import exit_status, print_failures
from sentryfuse_core.replay.cluster import run_on_cluster
from sentryfuse_core.replay.junit import write_junit
from sentryfuse_core.replay.many import Outcome, jobs_for, run_processes
from sentryfuse_core.replay.outputs import fresh_folder, write_json
from sentryfuse_core.replay.session import Job
from sentryfuse_core.text import number, printable

__all__ = ["replay_many"]


def replay_many(bags: Sequence[Path], common: Job, *, jobs: int, cluster: str | None, quiet: bool) -> int:
    """Replay all, write summary.json and junit.xml beside their folders; returns the exit status."""
    jobs_for(bags, common, out=Path())  # names that clash are said before a folder is made
    folder = fresh_folder(common.out, Path("bags"))
    queue = jobs_for(bags, common, out=folder)
    with noted_signals() as caught:
        if cluster is None:
            found = run_processes(queue, workers=jobs, stop=lambda: bool(caught))
        else:
            found = run_on_cluster(queue, address=cluster, workers=jobs, stop=lambda: bool(caught))
        outcomes = _collect(found, total=len(queue), quiet=quiet)
        outcomes.sort(key=lambda outcome: [job.bag for job in queue].index(outcome.bag))
        suites = [outcome.suite for outcome in outcomes]
        try:
            write_junit(folder / "junit.xml", suites)
            rows = [outcome.to_mapping() for outcome in outcomes]
            write_json(folder / "summary.json", {"recordings": rows})
        finally:  # what hours of replaying told is to be seen, also where the disk is full
            if not quiet:
                _print_table(outcomes)
            print_failures(suites)
    if not quiet:
        _print(f"summary: {folder / 'summary.json'}")
    if caught:
        return INTERRUPTED + caught[0]
    return exit_status(suites)


def _collect(found: Iterable[Outcome], *, total: int, quiet: bool) -> list[Outcome]:
    """All outcomes; a line on stderr as each comes."""
    from sentryfuse_core.commands.terminal import Terminal

    console = Terminal(stderr=True, highlight=False, markup=False, quiet=quiet, soft_wrap=True)
    outcomes = []
    for outcome in found:
        outcomes.append(outcome)
        what = outcome.suite.error or f"{outcome.metrics['sets']} sets in {outcome.metrics['wall_s']:.1f} s"
        console.print(f"{len(outcomes)} of {total}: {outcome.suite.name}: {what}")
    return outcomes


def _print(what: Any) -> None:
    from sentryfuse_core.commands.terminal import Terminal

    Terminal(highlight=False, markup=False).print(what, soft_wrap=isinstance(what, str))


def _print_table(outcomes: Sequence[Outcome]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("recording", "", "sets", "output", "silence", "mAP", "of clean", "noticed", "false"):
        table.add_column(title, no_wrap=True)
    for outcome in outcomes:
        row = outcome.to_mapping()
        output = row["output"] or {}
        table.add_row(
            outcome.suite.name,
            "passed" if row["passed"] else "FAILED",
            number(row["sets"], "d"),
            number(output.get("share"), ".1%"),
            number(output.get("longest_silence_s"), ".2f", " s"),
            number(row["map"], ".3f"),
            number(row["relative_map"], ".0%"),
            f"{row['faults_noticed']} of {row['faults']}" if row["faults"] else "-",
            number(row["false_alarms"], "d"),
        )
    _print(table)
    for note, names in _by_note(outcomes).items():
        of = "all" if len(names) == len(outcomes) else ", ".join(names)
        _print(f"note ({of}): {note}")


def _by_note(outcomes: Iterable[Outcome]) -> dict[str, list[str]]:
    """What was special about the runs, once, and the names of the recordings that it is true of."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        without = (f"{name} is not in the recording" for name in outcome.missing)
        for note in dict.fromkeys((*without, *outcome.notes)):
            found.setdefault(printable(note), []).append(outcome.suite.name)
    return found
