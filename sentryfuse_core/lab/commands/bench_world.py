"""`sentryfuse bench world`: the pruning benchmark on the robot's own detector, trunk only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.errors import ConfigError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_parser", "names_of", "run_jobs", "seeds_of"]

_DESCRIPTION = """\
Prune the trunk of the detector that the robot runs, and measure recall at 4 m for every set of sensors.
Frames of the synthetic world are rendered and encoded once by the weights' own encoders, which stay as they
are. Every method trains trunk and head further from these weights for one budget, or prunes the network that
was so trained: dense, ours (nested), MatFormer, Taylor for each set of sensors, its least-squares refit,
magnitude. Records, prune.json and report.html are those of `bench prune`; what has a record is not run again.
"""


def add_parser(actions: Any) -> None:
    """Declare the command and its options."""
    import argparse

    world = actions.add_parser(
        "world",
        help="the pruning benchmark on the robot's detector",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    world.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder for records and report")
    world.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (default: the shipped ones)")
    world.add_argument(
        "--frames", type=int, metavar="N", help="frames to train on (default: 1024; 0.2 MB each)"
    )
    world.add_argument("--test", type=int, metavar="N", help="frames to score (default: 192)")
    world.add_argument("--steps", type=int, metavar="N", help="budget in dense steps (default: 300)")
    world.add_argument("--seeds", metavar="0,1", help="only these (default: 0,1)")
    world.add_argument("--methods", metavar="A,B", help="only these methods")


def run_jobs(args: argparse.Namespace) -> None:
    """Render, then run what is pending, on one thread."""
    import torch
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from sentryfuse_core.lab.bench.world import render_splits
    from sentryfuse_core.lab.bench.world_jobs import chosen_methods, run_seed
    from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint

    recipe, methods = _recipe(args), [one.name for one in chosen_methods(names_of(args.methods))]
    checkpoint = load_checkpoint(args.checkpoint or SHIPPED)
    torch.set_num_threads(1)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        rendered = bar.add_task("frames", total=recipe.frames + recipe.val + recipe.test)
        frames = render_splits(checkpoint, recipe, on_frames=lambda count: bar.advance(rendered, count))
        jobs = bar.add_task("jobs", total=len(recipe.seeds) * len(methods))
        for seed in recipe.seeds:
            done = run_seed(
                checkpoint,
                recipe,
                frames,
                seed=seed,
                folder=args.out,
                methods=methods,
                on_job=lambda name: bar.update(jobs, description=name),
            )
            for _ in done:
                bar.advance(jobs)


def _recipe(args: argparse.Namespace) -> Any:
    from dataclasses import replace

    from sentryfuse_core.lab.bench.world import WorldRecipe

    names = ("frames", "test", "steps")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(args, name)) is not None}
    if args.seeds:
        given["seeds"] = seeds_of(args.seeds)
    recipe = replace(WorldRecipe(), **given)
    recipe.check()
    return recipe


def seeds_of(text: str) -> tuple[int, ...]:
    """The value of --seeds; raises ConfigError for anything but whole numbers."""
    try:
        return tuple(int(seed) for seed in names_of(text))
    except ValueError as error:
        raise ConfigError(f"--seeds {text!r:.60}: give whole numbers separated by commas") from error


def names_of(text: str | None) -> tuple[str, ...]:
    """The words of an option, separated by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
