"""Measure SentryAttend against dense attention: python -m benchmarks.attention [--quick] [--trained-only].

cost: multiply-accumulates and wall-clock of one whole network (embeddings, four layers 256 wide with a
feed-forward part four times as wide, head) at N tokens. Networks are timed in turn, one pass of each a
round, on the threads that torch has; "dense" is the faster of torch's layer and ours.
accuracy: the same small network trained with either on real recordings (attention_accuracy.py says how).
What is trained already is read from runs/attention; all of it anew takes about 25 minutes of one core.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from benchmarks._ends import ended
from benchmarks.attention_accuracy import DATA, RUNS, TASKS, VARIANTS, Job, jobs_for, run, score
from benchmarks.attention_cost import DENSE, KINDS, SHAPE, Measured, measure
from sentryfuse_core.lab.bench.intervals import mean_interval
from sentryfuse_core.lab.bench.results import Figure, at_least, at_most, text_table, write
from sentryfuse_core.preprocess.threads import one_thread

__all__ = ["CHOSEN", "cost_figures", "loss_figures", "main"]

# What loses least on validation people, mean over masks, at both lengths; and its like in `KINDS`.
CHOSEN, CHOSEN_KIND = "pooled 4, 1 in 2 heads", "pooled 4, 4 KV groups"
_TARGETS = {256: -20.0, 512: -28.0, 1024: -38.0}  # % of MACs
_ROUNDS = {256: 60, 512: 40, 1024: 16, 2048: 6}
_FOLDS = {256: 5, 512: 3}
_SCORES = ("all sensors", "mean over masks")


def cost_figures(found: Mapping[int, Measured]) -> list[Figure]:
    """MACs and speed by number of tokens; targets only for the chosen kind."""
    figures = []
    for tokens, measured in found.items():
        for kind in KINDS:
            target = _TARGETS.get(tokens) if kind == CHOSEN_KIND else None
            what = f"N = {tokens}, {kind}"
            if kind not in DENSE:
                saved = measured.saved(kind)
                figures.append(
                    at_most(f"{what}: MACs of the whole network against dense", saved, "%", target)
                )
            least = None if target is None else 1.0
            figures.append(at_least(f"{what}: times as fast as dense", measured.speed(kind), "x", least))
    return figures


def loss_figures(tokens: int, results: Mapping[Job, Mapping[str, Any]]) -> list[Figure]:
    """Points of balanced accuracy that each variant loses to dense, paired by fold and seed."""
    figures = []
    by_variant = {
        variant: [result for job, result in results.items() if job.variant == variant] for variant in VARIANTS
    }
    dense = by_variant.pop("dense")
    for split in ("val", "test"):
        for index, name in enumerate(_SCORES):
            before = [score(result, split)[index] for result in dense]
            place = f"N = {tokens}, {split} people, {name}"
            figures.append(at_most(f"{place}: dense", statistics.fmean(before), "%"))
            for variant, own in by_variant.items():
                after = [score(result, split)[index] for result in own]
                lost = mean_interval(one - other for one, other in zip(before, after, strict=True))
                spread = f"{lost.low:+.1f} to {lost.high:+.1f}, {lost.runs} pairs"
                target = 0.5 if split == "test" and variant == CHOSEN else None
                what = f"{place}: lost by {variant} ({spread})"
                figures.append(at_most(what, lost.mean, "points", target))
    return figures


def _accuracy(data: Path, *, quick: bool, trained_only: bool) -> dict[int, dict[Job, dict[str, Any]]]:
    folder = RUNS
    jobs = [job for tokens, folds in _FOLDS.items() for job in jobs_for(tokens, range(folds))]
    if quick:
        task = replace(TASKS[256], steps=4, scored=40)
        jobs, folder = jobs_for(256, range(2), task=task), folder / "quick"
    if trained_only:
        missing = {(job.tokens, job.fold) for job in jobs if not job.path(folder).is_file()}
        jobs = [job for job in jobs if (job.tokens, job.fold) not in missing]
    found: dict[int, dict[Job, dict[str, Any]]] = {}
    with one_thread():
        for job in track(jobs, "training", console=Console(stderr=True), transient=True):
            found.setdefault(job.tokens, {})[job] = run(job, data=data, folder=folder)
    return found


def main() -> int:
    """Run both parts, print the table and write benchmarks/results/attention.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute; writes nothing")
    parser.add_argument("--data", type=Path, default=DATA, help="sp-sw-har.zip")
    parser.add_argument("--trained-only", action="store_true", help="leave out folds not yet trained in full")
    args = parser.parse_args()
    all_rounds = {256: 3} if args.quick else _ROUNDS
    found = {tokens: measure(tokens, rounds=rounds) for tokens, rounds in all_rounds.items()}
    trained = _accuracy(args.data, quick=args.quick, trained_only=args.trained_only)
    figures = cost_figures(found)
    figures += [one for tokens, results in trained.items() for one in loss_figures(tokens, results)]
    print(text_table(figures))
    if not args.quick:
        raw = {
            "threads": torch.get_num_threads(),
            "cost": {tokens: _plain(measured) for tokens, measured in found.items()},
            "accuracy": [result for results in trained.values() for result in results.values()],
        }
        tasks = {tokens: vars(TASKS[tokens]) for tokens in _FOLDS}
        print(write("attention", figures, raw=raw, config={"network": dict(SHAPE), "tasks": tasks}))
    return 0


def _plain(measured: Measured) -> dict[str, Any]:
    return {
        kind: {
            "gmacs": macs / 1e9,
            "median_ms": round(measured.median_ms(kind), 3),
            "fastest_ms": round(min(measured.took_ms[kind]), 3),
        }
        for kind, macs in measured.macs.items()
    }


if __name__ == "__main__":
    raise SystemExit(ended(main))
