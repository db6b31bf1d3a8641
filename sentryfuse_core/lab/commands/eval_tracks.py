"""`sentryfuse eval --tracks`: identities, speeds and phantoms on held-out drives and in blackouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sentryfuse_core.commands.terminal import Terminal
from sentryfuse_core.lab.bench.results import Figure, at_least, at_most, text_table, write
from sentryfuse_core.lab.commands.eval_report import rounded, table, wide_terminal
from sentryfuse_core.lab.scoring.track_drives import FIRST_SCORED, RATE_HZ, TrackDrive, make_drive
from sentryfuse_core.lab.scoring.track_runs import (
    ALL,
    BLACKOUT,
    LIDAR_GONE,
    RunScores,
    judge_runs,
    masks_of,
    scripts,
)
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.runtime.bank import Bank

__all__ = ["SECONDS", "figures", "judge_tracks", "run_tracks"]

SECONDS = 30.0  # a drive: the lidar is gone from 10 to 20 s
_SEEDS = 2**20  # drives of one --seed


def run_tracks(
    checkpoint: Checkpoint,
    *,
    named: Path | None,
    drives: int,
    seconds: float,
    seed: int,
    device: str,
    out: Path | None,
) -> int:
    """Drive, follow, print, write; `named` is the file that the weights were given as."""
    runs = judge_tracks(Bank(checkpoint), drives=drives, seconds=seconds, seed=seed, device=device)
    print_runs(runs, checkpoint.manifest["labels"])
    if out is not None:
        words = [f"--drives {drives} --seconds {seconds:g} --seed {seed} --device {device}"]
        words += [f"--weights {named.name}"] if named else []
        config = {
            "weights": checkpoint.identity,
            "sha256": checkpoint.manifest["sha256"],
            "drives": drives,
            "seconds": seconds,
            "seed": seed,
        }
        path = write(
            "tracks",
            figures(runs),
            raw=rounded({"runs": [run.to_mapping() for run in runs]}),
            config=config,
            folder=out,
            command=" ".join(["sentryfuse eval --tracks", *words, f"--out {out.name}"]),
        )
        print(f"wrote {path}")
    return 0


def judge_tracks(
    bank: Bank, *, drives: int, seconds: float, seed: int, device: str = "cpu"
) -> list[RunScores]:
    """All runs over `drives` held-out drives, with a progress bar."""
    script = scripts(seconds)
    masks, first = masks_of(script), FIRST_SCORED + seed * _SEEDS
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Terminal(stderr=True)) as bar:
        task = bar.add_task("moments of drives", total=drives * round(seconds * RATE_HZ))
        made: list[TrackDrive] = [
            make_drive(
                bank,
                masks,
                seed=first + number,
                seconds=seconds,
                device=device,
                on_moments=lambda count: bar.advance(task, count),
            )
            for number in range(drives)
        ]
        bar.add_task("following", total=None)
        return judge_runs(made, script, labels=bank.labels, recall=lambda sensors: bank.found(sensors, 0))


def print_runs(runs: Sequence[RunScores], labels: Sequence[str]) -> None:
    """A line a run, then the figures."""
    rows = []
    for run in runs:
        speeds = run.motion.velocity_error_m_s
        scores = (run.tracks.hota, run.tracks.mota, run.tracks.idf1, run.recall)
        rows.append(
            (
                run.name,
                *(f"{100 * value:.1f}" for value in scores),
                str(run.tracks.switches),
                f"{run.motion.mave_m_s:.2f}",
                " / ".join(f"{speeds[kind]:.2f}" if kind in speeds else "-" for kind in range(len(labels))),
                f"{100 * run.motion.straight:.1f}",
                f"{run.phantoms} of {run.every}",
                "-" if run.false_boxes is None else str(run.false_boxes),
                f"{run.kept} of {run.followed}" if run.followed else "-",
            )
        )
    columns = ("run", "HOTA", "MOTA", "IDF1", "recall", "switches", "mAVE", "by class", "straight")
    caption = (
        f"per cent; velocity errors in m/s, by class: {' / '.join(labels)}; straight: headings within 15 "
        "degrees; false boxes: of the detections alone, at the recall of the tracks"
    )
    wide_terminal(156).print(
        table(
            "tracks on held-out drives",
            (*columns, "phantoms", "false boxes", "kept"),
            rows,
            caption=caption,
        )
    )
    print(text_table(figures(runs)))


def figures(runs: Sequence[RunScores]) -> list[Figure]:
    """What is aimed at, then HOTA of every run."""
    by_name: Mapping[str, RunScores] = {run.name: run for run in runs}
    whole, blind, deaf = by_name[str(ALL)], by_name[BLACKOUT], by_name[LIDAR_GONE]
    more = deaf.tracks.switches / max(1, whole.tracks.switches)
    return [
        at_least(
            "identities kept when all perceiving sensors are gone for 1 s", 100 * blind.kept_share, "%", 95.0
        ),
        at_most("identity switches with the lidar gone for 10 s, against none gone", more, "x", 1.2),
        at_most("mAVE, all sensors, moving ego with odometry", whole.motion.mave_m_s, "m/s", 0.4),
        at_least(
            "headings within 15 degrees, of what moves faster than 1 m/s",
            100 * whole.motion.straight,
            "%",
            90.0,
        ),
        at_least("false boxes for a phantom track, at equal recall", whole.phantoms_fewer, "x", 5.0),
        *(at_least(f"HOTA, {run.name}", 100 * run.tracks.hota, "%") for run in runs),
    ]
