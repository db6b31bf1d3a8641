"""`sentryfuse bench prune`: the pruning benchmark, on recordings or your own arrays, resumable by job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.errors import ConfigError, DatasetError, OutputError
from sentryfuse_core.lab.commands import bench_runtime, bench_world
from sentryfuse_core.shipped import or_shipped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.progress import Progress

    from sentryfuse_core.lab.bench.data import Source
    from sentryfuse_core.lab.bench.jobs import Task
    from sentryfuse_core.lab.bench.recipe import Recipe

__all__ = ["add_arguments", "run"]

_DESCRIPTION = """\
Compare SentryFuse's pruning with its rivals: dense network, nested training, faithful gate, published
pruning rules, least-squares refits, DynaBERT, MatFormer, LayerDrop and small networks, on the backbones
trunk, branches and bottleneck, for every set of present modalities and several pruning ratios.

Every job (one method on one data set, backbone and seed) writes one JSON record into
OUT/<data>/<backbone>/s<seed>/; an interrupted benchmark goes on where it was. At the end it writes

  OUT/prune.json    every figure with its interval, and whether its target is reached
  OUT/report.html   tables and pictures, in one file
"""
_EXAMPLES = """\
data of your own: an .npz file with one array a modality [n, ...], `label` [n], and `split` [n] of train,
val and test; nothing is tuned by hand for it:

  sentryfuse bench prune --data mine.npz --out runs/mine
  sentryfuse bench prune --har sp-sw-har.zip --digits digits/ --out runs/prune --workers 2
  sentryfuse bench prune --out runs/prune --report-only
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    import argparse

    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    prune = actions.add_parser(
        "prune",
        help="the pruning benchmark",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prune.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder for records and report")
    prune.add_argument("--data", type=Path, action="append", default=[], metavar="FILE", help=".npz of yours")
    prune.add_argument("--har", type=Path, metavar="ZIP", help="the SP-SW-HAR recordings, as published")
    prune.add_argument(
        "--digits", type=Path, metavar="DIR", help="folder of MNIST t10k, fsdd.zip and airwriting.zip"
    )
    prune.add_argument(
        "--recipe", type=or_shipped, metavar="FILE", help="sizes and budgets (default: built in)"
    )
    prune.add_argument("--device", help="cpu or cuda (default: the recipe's, cpu)")
    prune.add_argument("--backbones", metavar="A,B", help="only these (default: the recipe's)")
    prune.add_argument("--seeds", metavar="0,1,2", help="only these (default: the recipe's)")
    prune.add_argument("--methods", metavar="A,B", help="only these methods")
    prune.add_argument("--ablations", action="store_true", help="also what ours is without each of its parts")
    prune.add_argument("--workers", type=int, default=1, metavar="N", help="runs at once (default 1)")
    prune.add_argument("--report-only", action="store_true", help="only judge the records that are there")
    bench_world.add_parser(actions)
    bench_runtime.add_parser(actions)


def run(args: argparse.Namespace) -> int:
    """Run what is pending, then judge and report."""
    if args.action == "world":
        _check_place(args.out)
        bench_world.run_jobs(args)
        _report(args.out)
        return 0
    if args.action == "runtime":
        _check_place(args.out)
        return bench_runtime.run(args)
    if args.workers < 1:
        raise ConfigError(f"--workers {args.workers} is below 1")
    if not args.report_only:
        _run_jobs(args)
    _report(args.out)
    return 0


def _run_jobs(args: argparse.Namespace) -> None:
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from sentryfuse_core.lab.bench.entrants import absent_methods
    from sentryfuse_core.lab.bench.jobs import chosen_methods, tasks

    sources, recipe, methods = _sources(args), _recipe(args), tuple(_names(args.methods))
    chosen_methods(recipe, ablations=args.ablations, only=methods)
    _check_place(args.out)
    for source in sources:
        source.arrays(recipe.seeds[0])  # complain before an hour has passed
    for name, remedy in ({} if methods else absent_methods()).items():
        print(f"{name} is left out, its library is not installed; for it: {remedy}")
    found = [task for source in sources for task in tasks(source, recipe, args.out)]
    found.sort(key=lambda task: task.seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        shown = bar.add_task("runs", total=len(found))
        if args.workers == 1:
            for task in found:
                line = _run_task(task, recipe, ablations=args.ablations, methods=methods, bar=bar)
                bar.console.print(line)
                bar.advance(shown)
            return
        with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
            futures = [
                pool.submit(_run_task, task, recipe, ablations=args.ablations, methods=methods)
                for task in found
            ]
            try:
                for future in as_completed(futures):
                    bar.console.print(future.result())
                    bar.advance(shown)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # else it would run all that is left
                raise


def _run_task(
    task: Task, recipe: Recipe, *, ablations: bool, methods: Sequence[str], bar: Progress | None = None
) -> str:
    """All pending methods of one run, on one thread; a line about it."""
    import torch

    from sentryfuse_core.lab.bench.jobs import run_task

    if recipe.device == "cpu":
        torch.set_num_threads(1)
    started_s, count = time.monotonic(), 0
    line = bar.add_task(task.name, total=None) if bar else None

    def show(job: str) -> None:
        if bar is not None and line is not None:
            bar.update(line, description=job)

    for _ in run_task(task, recipe, ablations=ablations, only=methods, on_job=show):
        count += 1
    if bar is not None and line is not None:
        bar.remove_task(line)
    return f"{task.name}: {count} jobs in {time.monotonic() - started_s:.0f} s"


def _sources(args: argparse.Namespace) -> list[Source]:
    from sentryfuse_core.lab.bench.data import Digits, Har, OwnData

    sources: list[Source] = [OwnData(path) for path in args.data]
    if args.har:
        sources.append(Har(args.har))
    if args.digits:
        sources.append(Digits(args.digits))
    if not sources:
        raise DatasetError("no data; give --data FILE.npz, --har ZIP or --digits DIR")
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two data sets are called {name!r}; rename one, results lie under their names")
    return sources


def _check_place(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error


def _recipe(args: argparse.Namespace) -> Recipe:
    from dataclasses import replace

    from sentryfuse_core.lab.bench.recipe import Recipe, read_recipe

    recipe = read_recipe(args.recipe) if args.recipe else Recipe()
    change: dict[str, Any] = {}
    if args.device:
        change["device"] = args.device
    if args.backbones:
        change["backbones"] = tuple(_names(args.backbones))
    if args.seeds:
        try:
            change["seeds"] = tuple(int(seed) for seed in _names(args.seeds))
        except ValueError as error:
            raise ConfigError(f"--seeds {args.seeds!r} are not whole numbers separated by commas") from error
    recipe = replace(recipe, **change)
    recipe.check()
    return recipe


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _report(folder: Path) -> None:
    import json

    from sentryfuse_core.lab.bench import report
    from sentryfuse_core.lab.bench.records import load_records
    from sentryfuse_core.lab.bench.study import arrange
    from sentryfuse_core.lab.bench.summary import summarise, text_table, to_mapping

    summary = summarise(arrange(load_records(folder)))
    print(text_table(summary.figures))
    try:
        (folder / "prune.json").write_text(json.dumps(to_mapping(summary)) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; make it writable") from error
    report.write(folder / "report.html", summary)
    print(f"wrote {folder / 'prune.json'} and {folder / 'report.html'}")
