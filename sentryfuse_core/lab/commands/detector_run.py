"""What training a detector has in common, in the synthetic world and on recordings: options, bar, table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sentryfuse_core.commands.options import check_device
from sentryfuse_core.commands.signals import interrupt, noted_signals, say_saved
from sentryfuse_core.errors import CheckpointError, ConfigError
from sentryfuse_core.lab.training.trainer import StepLog, Trainer, TrainOptions
from sentryfuse_core.model.checkpoint import Checkpoint, load_checkpoint
from sentryfuse_core.runtime.load import shipped_weights
from sentryfuse_core.types import ModalitySet

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from sentryfuse_core.lab.training.evaluate import Evaluation
    from sentryfuse_core.lab.training.grade import Grade

__all__ = [
    "LENGTH",
    "NO_WEIGHTS",
    "STATE",
    "check_length",
    "length_of",
    "options_of",
    "origin_of",
    "print_scores",
    "start_of",
    "train",
]

NO_WEIGHTS = "none"  # of --init
SHIPPED = "shipped"
_FROM_TRAINED = 5e-4  # learning rate from trained weights: a tenth or so of what random ones can take
STATE = ("state.safetensors", "curve.csv")  # what a run keeps in its folder

LENGTH = {
    "minutes": 60.0,
    "steps": 0,
    "batch": 32,
    "learning_rate": 3e-3,
    "evaluate": 512,
}


def check_length(args: argparse.Namespace) -> None:
    """Fill in what was not given; raises ConfigError for a value out of range or a missing device."""
    if args.learning_rate is None and args.init not in (None, NO_WEIGHTS):
        args.learning_rate = _FROM_TRAINED
    for name, value in LENGTH.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.device = args.device or "cpu"
    for name, least in (("minutes", 0), ("steps", 0), ("batch", 8), ("evaluate", 1)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} {getattr(args, name)} is below {least}")
    check_device(args.device)


def options_of(args: argparse.Namespace) -> TrainOptions:
    """The trainer's options, after `check_length`."""
    return TrainOptions(
        folder=args.state or args.out.with_suffix(""),
        minutes=args.minutes,
        steps=args.steps,
        batch=args.batch,
        seed=args.seed,
        device=args.device,
        learning_rate=args.learning_rate,
        save_every_s=args.save_every,
        bf16=args.bf16,
    )


def length_of(args: argparse.Namespace) -> str:
    """The options that say how long and how, as they are typed."""
    length = f"--steps {args.steps}" if args.steps else f"--minutes {args.minutes:g}"
    kind = " --bf16" if args.bf16 else ""
    kind += "" if args.device == "cpu" else f" --device {args.device}"
    return f"{length} --batch {args.batch} --seed {args.seed} --learning-rate {args.learning_rate:g}{kind}"


def start_of(init: str | None, *, labels: Sequence[str]) -> Checkpoint | None:
    """The weights that --init names; None for none. Raises CheckpointError when they know other classes."""
    if init is None or init == NO_WEIGHTS:
        return None
    checkpoint = load_checkpoint(shipped_weights() if init == SHIPPED else Path(init))
    known = checkpoint.manifest["labels"]
    if tuple(known) != tuple(labels):
        raise CheckpointError(
            f"{init} knows {', '.join(known)}, this training {', '.join(labels)}; "
            f"start from --init {NO_WEIGHTS}"
        )
    return checkpoint


def origin_of(start: Checkpoint | None) -> dict[str, str]:
    """What the weights came from, for the manifest and for `check_identity`."""
    return {"init": NO_WEIGHTS if start is None else start.identity}


def train(trainer: Trainer) -> None:
    """Train to the end, with a bar; SIGINT or SIGTERM end it after the step, once the state is saved."""
    if trainer.progress.step:
        print(f"resumed at step {trainer.progress.step}")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    with noted_signals() as caught, Progress(*columns) as bar:
        task = bar.add_task("training", total=1.0)

        def show(log: StepLog) -> None:
            text = f"step {log.step}: loss {log.loss_full:.2f}, {log.mask} {log.loss_masked:.2f}"
            bar.update(task, completed=log.progress, description=text)
            if caught:
                trainer.save()
                say_saved(trainer.options.folder)
                interrupt(caught[0])

        trainer.run(show)
        bar.update(task, completed=1.0)


def print_scores(evaluation: Evaluation, grades: Mapping[tuple[int, int], Grade]) -> None:
    """A line for each set of sensors and level."""
    print(f"{'sensors':<26} level  mAP    recall at 4 m    2 m    1 m  centre error")
    for (bits, level), score in evaluation.scores.items():
        print(
            f"{ModalitySet(bits)!s:<26} {level:5d}  {grades[bits, level].map:.3f}  "
            f"{score.recall_4m:13.3f}  {score.recall_2m:5.3f}  "
            f"{score.recall_1m:5.3f}  {score.centre_error_m:9.2f} m"
        )
