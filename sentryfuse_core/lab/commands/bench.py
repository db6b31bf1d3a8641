"""`sentryfuse bench prune`: the pruning benchmark, on recordings or your own arrays, resumable by job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.commands.options import check_numbers, check_unheeded
from sentryfuse_core.errors import ConfigError, DatasetError
from sentryfuse_core.lab.commands import bench_detector, bench_runtime, bench_world
from sentryfuse_core.lab.commands.bench_world import names_of, seeds_of
from sentryfuse_core.shipped import or_shipped
from sentryfuse_core.whole_files import new_folders

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from sentryfuse_core.lab.bench.data import Source
    from sentryfuse_core.lab.bench.jobs import Task
    from sentryfuse_core.lab.bench.recipe import Recipe

__all__ = ["add_arguments", "run"]

_DESCRIPTION = """\
Compare SentryFuse's pruning with its rivals: dense network, nested training, faithful gate, published
pruning rules (SynFlow among them), least-squares refits, DynaBERT, MatFormer, LayerDrop and small networks,
on the backbones trunk, branches and bottleneck, for every set of present modalities and several ratios.

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

the encoders, trunk and head of the robot's own detector, where SentryGate plans against Taylor, magnitude,
FLAP and SynFlow at the same MACs, nothing fine-tuned; writes OUT/prune_detector.json:

  sentryfuse bench prune --detector --weights mine.safetensors --frames 192 --out runs/detector
"""
_FRAMES = 96  # of --detector
_OF_DETECTOR = ("weights", "frames")
_OF_RUNS = (
    *("data", "har", "digits", "recipe", "device", "backbones", "seeds", "methods", "ablations"),
    "workers",
)


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
    option = prune.add_argument
    option("--out", type=Path, required=True, metavar="OUT", help="folder for records and report")
    option("--data", type=Path, action="append", default=[], metavar="FILE", help=".npz of yours")
    option("--har", type=Path, metavar="ZIP", help="the SP-SW-HAR recordings, as published")
    option("--digits", type=Path, metavar="DIR", help="folder of MNIST t10k, fsdd.zip and airwriting.zip")
    option("--recipe", type=or_shipped, metavar="FILE", help="sizes and budgets (default: built in)")
    option("--device", help="cpu or cuda (default: the recipe's, cpu)")
    option("--backbones", metavar="A,B", help="only these (default: the recipe's)")
    option("--seeds", metavar="0,1,2", help="only these (default: the recipe's)")
    option("--methods", metavar="A,B", help="only these methods")
    option("--ablations", action="store_true", help="also what ours is without each of its parts")
    option("--workers", type=int, metavar="N", help="runs at once (default 1)")
    option("--report-only", action="store_true", help="only judge the records that are there")
    option("--detector", action="store_true", help="instead the gate against rules on the whole detector")
    option("--weights", type=Path, metavar="FILE", help="of --detector (default: those that ship)")
    frames = "of --detector, held out, rounded up to a multiple of 16 (default 96)"
    option("--frames", type=int, metavar="N", help=frames)
    bench_world.add_parser(actions)
    bench_runtime.add_parser(actions)


def run(args: argparse.Namespace) -> int:
    """Run what is pending, then judge and report."""
    with new_folders(args.out, remedy="choose another --out"):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    if args.action == "runtime":
        return bench_runtime.run(args)
    if args.action == "world":
        bench_world.run_jobs(args)
    else:
        check_numbers(args, workers=(1, 1024), frames=(1, 2**20))
        _check_foreign(args)
        if args.detector:
            args.frames = args.frames or _FRAMES
            bench_detector.run_detector(args)
            return 0
        if not args.report_only:
            _run_jobs(args)
    _report(args.out)
    return 0


def _check_foreign(args: argparse.Namespace) -> None:
    """Raises ConfigError for an option that what is asked for does not heed."""
    if args.detector:
        remedy = "is of the benchmark on recordings and arrays; leave out --detector"
        check_unheeded(args, (*_OF_RUNS, "report_only"), remedy)
        return
    if args.methods:
        check_unheeded(
            args, ("ablations",), "adds to all methods; --methods names those to run, put them there"
        )
    check_unheeded(args, _OF_DETECTOR, "is of --detector; give that, too, or leave it out")
    if args.report_only:
        check_unheeded(
            args, _OF_RUNS, "is of runs; --report-only judges all the records of --out, leave it out"
        )


def _run_jobs(args: argparse.Namespace) -> None:
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from functools import partial
    from multiprocessing import get_context

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from sentryfuse_core.lab.bench.entrants import absent_methods
    from sentryfuse_core.lab.bench.jobs import chosen_methods, tasks
    from sentryfuse_core.lab.datasets.arrays import not_judged

    sources, recipe, methods = _sources(args), _recipe(args), names_of(args.methods)
    chosen_methods(recipe, ablations=args.ablations, only=methods)
    for source in sources:
        for note in not_judged(source.load(recipe.seeds[0])):  # complain before an hour has passed
            print(f"note: {note}")
    for name, remedy in ({} if methods else absent_methods()).items():
        print(f"{name} is left out, its library is not installed; for it: {remedy}")
    found = [task for source in sources for task in tasks(source, recipe, args.out)]
    found.sort(key=lambda task: task.seed)
    work = partial(_run_task, recipe=recipe, ablations=args.ablations, methods=methods)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        shown = bar.add_task("runs", total=len(found))

        def tell(line: str) -> None:
            bar.console.print(line)
            bar.advance(shown)

        if args.workers in (None, 1):
            for task in found:
                tell(work(task, on_job=lambda name: bar.update(shown, description=name)))
            return
        with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
            try:
                for future in as_completed([pool.submit(work, task) for task in found]):
                    tell(future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # else it would run all that is left
                raise


def _run_task(
    task: Task,
    *,
    recipe: Recipe,
    ablations: bool,
    methods: Sequence[str],
    on_job: Callable[[str], None] = lambda _: None,
) -> str:
    """All pending methods of one run, on one thread; a line about it."""
    import torch

    from sentryfuse_core.lab.bench.jobs import run_task

    if recipe.device == "cpu":
        torch.set_num_threads(1)
    started_s = time.monotonic()
    count = len(list(run_task(task, recipe, ablations=ablations, only=methods, on_job=on_job)))
    return f"{task.name}: {count} jobs in {time.monotonic() - started_s:.0f} s"


def _sources(args: argparse.Namespace) -> list[Source]:
    from sentryfuse_core.lab.bench.data import digits, har, own_data

    sources = [own_data(path) for path in args.data]
    if args.har:
        sources.append(har(args.har))
    if args.digits:
        sources.append(digits(args.digits))
    if not sources:
        raise DatasetError("no data; give --data FILE.npz, --har ZIP or --digits DIR")
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two data sets are called {name!r}; rename one, results lie under their names")
    return sources


def _recipe(args: argparse.Namespace) -> Recipe:
    from dataclasses import replace

    from sentryfuse_core.lab.bench.recipe import Recipe, read_recipe

    recipe = read_recipe(args.recipe) if args.recipe else Recipe()
    change: dict[str, Any] = {}
    if args.device:
        change["device"] = args.device
    if args.backbones:
        change["backbones"] = names_of(args.backbones)
    if args.seeds:
        change["seeds"] = seeds_of(args.seeds)
    recipe = replace(recipe, **change)
    recipe.check()
    return recipe


def _report(folder: Path) -> None:
    from sentryfuse_core.lab.bench import report, results
    from sentryfuse_core.lab.bench.records import load_records
    from sentryfuse_core.lab.bench.study import arrange
    from sentryfuse_core.lab.bench.summary import raw_of, summarise, text_of

    summary = summarise(arrange(load_records(folder)))
    print(text_of(summary))
    path = results.write("prune", summary.figures, raw=raw_of(summary), folder=folder)
    report.write(folder / "report.html", summary)
    print(f"wrote {path} and {folder / 'report.html'}")
