"""`sentryfuse train`: train in the synthetic world, evaluate, write the checkpoint with its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.model.checkpoint import save_checkpoint
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.training.data import held_out
from sentryfuse_core.training.evaluate import Evaluation, evaluate
from sentryfuse_core.training.provenance import describe, evaluation_table
from sentryfuse_core.training.trainer import StepLog, Trainer, TrainOptions
from sentryfuse_core.types import ModalitySet

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]

_EVALUATION_BATCH = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "out", type=Path, help="weights to write, ending in .safetensors; the manifest goes beside them"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to train (default %(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="how many steps to train instead of a time")
    parser.add_argument("--batch", type=int, default=16, help="frames a step (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and world (default %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="at its peak (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: leave it to torch")
    parser.add_argument(
        "--state", type=Path, help="folder for state and curve.csv (default: OUT without its ending)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the state; with --minutes 0 only evaluate and write it",
    )
    parser.add_argument(
        "--evaluate",
        type=int,
        default=512,
        metavar="FRAMES",
        help="held-out frames to score (default %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Train, evaluate, write."""
    _check(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    options = TrainOptions(
        folder=args.state or args.out.with_suffix(""),
        minutes=args.minutes,
        steps=args.steps,
        batch=args.batch,
        seed=args.seed,
        device=args.device,
        learning_rate=args.learning_rate,
    )
    trainer = Trainer(ModelShape(), options, resume=args.resume)
    _train(trainer)
    facts = describe(
        command=_command(args),
        seed=options.seed,
        steps=trainer.progress.step,
        minutes=trainer.progress.elapsed_s / 60.0,
        world=options.world,
        device=options.device,
    )
    scores = _evaluate(trainer, options, frames=args.evaluate)
    save_checkpoint(args.out, trainer.average, {**facts, "evaluation": evaluation_table(scores)})
    _print(scores)
    print(f"wrote {args.out} and its manifest")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.out.suffix != ".safetensors":
        raise ConfigError(f"{args.out} does not end in .safetensors")
    for name, least in (
        ("minutes", 0),
        ("steps", 0),
        ("batch", 8),
        ("evaluate", 1),
        ("threads", 0),
        ("seed", 0),
    ):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} {getattr(args, name)} is below {least}")


def _command(args: argparse.Namespace) -> str:
    """The command that makes the same weights elsewhere, without this machine's paths."""
    length = f"--steps {args.steps}" if args.steps else f"--minutes {args.minutes:g}"
    return (
        f"sentryfuse train {args.out.name} {length} --batch {args.batch} --seed {args.seed} "
        f"--learning-rate {args.learning_rate:g}"
    )


def _train(trainer: Trainer) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=1.0)

        def show(log: StepLog) -> None:
            text = f"step {log.step}: loss {log.loss_full:.2f}, {log.mask} {log.loss_masked:.2f}"
            bar.update(task, completed=log.progress, description=text)

        trainer.run(show)
        bar.update(task, completed=1.0)


def _evaluate(trainer: Trainer, options: TrainOptions, *, frames: int) -> Evaluation:
    count = -(-frames // _EVALUATION_BATCH)
    batches = held_out(options.world, batch=_EVALUATION_BATCH, count=count, device=options.device)
    return evaluate(trainer.average.eval(), batches)


def _print(evaluation: Evaluation) -> None:
    print(f"{'sensors':<26} level  recall at 4 m    2 m    1 m  centre error")
    for (bits, level), score in evaluation.scores.items():
        print(
            f"{ModalitySet(bits)!s:<26} {level:5d}  {score.recall_4m:13.3f}  {score.recall_2m:5.3f}  "
            f"{score.recall_1m:5.3f}  {score.centre_error_m:9.2f} m"
        )
