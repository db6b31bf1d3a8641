"""What training a detector has in common, in the synthetic world and on recordings: start, bar, table."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sentryfuse_core.commands.options import check_device, check_numbers
from sentryfuse_core.commands.signals import interrupt, noted_signals, say_saved
from sentryfuse_core.errors import CheckpointError, ConfigError
from sentryfuse_core.lab.commands.detector_options import LENGTH, check_length
from sentryfuse_core.lab.training.evaluate import evaluate
from sentryfuse_core.lab.training.grade import grade
from sentryfuse_core.lab.training.provenance import describe, evaluation_table
from sentryfuse_core.lab.training.run_identity import check_identity, start_anew
from sentryfuse_core.lab.training.trainer import StepLog, Trainer, TrainOptions
from sentryfuse_core.lab.training.worths import measure_worths, priced
from sentryfuse_core.model.checkpoint import SHIPPED, Checkpoint, load_checkpoint, save_checkpoint
from sentryfuse_core.pruning.part_gate import make_gate
from sentryfuse_core.types import ModalitySet

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sentryfuse_core.lab.training.data import LabelledBatch
    from sentryfuse_core.lab.training.trainer import BatchSource
    from sentryfuse_core.model.shape import ModelShape

__all__ = ["BATCH", "FEWEST", "described", "finish", "given_options", "options_of", "start_of", "train"]

BATCH = 16  # frames, to evaluate
FEWEST = 48  # frames to measure a gate on
_MEASURING = f"measuring a gate takes {FEWEST} frames with all four sensors that are not judged"
_NO_WEIGHTS, _SHIPPED = "none", "shipped"  # of --init
_SAME = ("seed", "batch", "learning_rate")  # options of every detector's training, all along
_FROM_TRAINED = 5e-4  # learning rate from trained weights: a tenth or so of what random ones can take


def options_of(args: argparse.Namespace) -> TrainOptions:
    """The trainer's options; what was not given is filled in.

    Raises ConfigError for a value out of range or a missing device.
    """
    if args.learning_rate is None and args.init not in (None, _NO_WEIGHTS):
        args.learning_rate = _FROM_TRAINED
    check_length(args)
    for name, value in LENGTH.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.device = args.device or "cpu"
    check_numbers(
        args,
        minutes=(0, 1_000_000),
        steps=(0, 1_000_000_000),
        batch=(8, 4096),
        learning_rate=(1e-12, 1.0),
        evaluate=(1, 1_000_000),
    )
    check_device(args.device)
    if not (args.minutes or args.steps or args.resume) and args.init in (None, _NO_WEIGHTS):
        raise ConfigError(
            "--minutes 0 of random weights trains nothing; give a time, --steps, --resume, or --init WEIGHTS"
        )
    return given_options(args)


def given_options(args: argparse.Namespace) -> TrainOptions:
    """The trainer's options as they were given.

    Raises ConfigError where torchrun started several processes: each would train by itself, into one folder.
    """
    count = os.environ.get("WORLD_SIZE", "1") if "TORCHELASTIC_RUN_ID" in os.environ else "1"
    if count != "1":
        raise ConfigError(
            f"torchrun started {count} processes, and a detector is trained by one; only a classifier takes "
            "several: leave torchrun out"
        )
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


def start_of(init: str | None, *, labels: Sequence[str] | None) -> tuple[Checkpoint | None, dict[str, Any]]:
    """The weights that --init names, None for none, and what the manifest says of them.

    Raises CheckpointError when they know as many classes as `labels`, but others: they would be mistaken.
    """
    if init is None or init == _NO_WEIGHTS:
        return None, {"init": _NO_WEIGHTS}
    checkpoint = load_checkpoint(SHIPPED if init == _SHIPPED else Path(init))
    known = checkpoint.manifest["labels"]
    if labels is not None and tuple(known) != tuple(labels) and len(known) == len(labels):
        raise CheckpointError(
            f"{init} knows {', '.join(known)}, this training {', '.join(labels)}; "
            f"start from --init {_NO_WEIGHTS}"
        )
    return checkpoint, {"init": checkpoint.identity}


def train(
    args: argparse.Namespace,
    options: TrainOptions,
    *,
    shape: ModelShape,
    labels: Sequence[str],
    start: Checkpoint | None,
    identity: Mapping[str, Any],
    source: BatchSource | None = None,
    keep_up: bool = False,
) -> Trainer:
    """Train to the end with a bar, from `start`, or from a state of the same `identity` and `_SAME` options.

    `keep_up`: the weights of `start` are also the teacher at full width, so that nothing they know is lost.
    SIGINT or SIGTERM end it after the step, once the state is saved.
    """
    identity = {**identity, **{name: getattr(options, name) for name in _SAME}}
    if args.resume:
        check_identity(options.folder, identity)
    teacher = start.network() if start is not None and keep_up else None
    trainer = Trainer(shape, options, labels=labels, source=source, resume=args.resume, teacher=teacher)
    if not args.resume:
        start_anew(options.folder, identity, old=("state.safetensors", "curve.csv"))
        if start is not None:
            fresh = trainer.start_from(start.tensors)
            print(f"from {start.identity}" + (f"; random at first: {', '.join(fresh)}" if fresh else ""))
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
                say_saved(options.folder)
                interrupt(caught[0])

        trainer.run(show)
        bar.update(task, completed=1.0)
    return trainer


def described(args: argparse.Namespace, trainer: Trainer, words: Sequence[str]) -> dict[str, Any]:
    """How weights were made, for their manifest; `words` are what was typed before these options."""
    options, progress = trainer.options, trainer.progress
    command = [*words, f"--steps {args.steps}" if args.steps else f"--minutes {args.minutes:g}"]
    command += [f"--batch {args.batch} --seed {args.seed} --learning-rate {args.learning_rate:g}"]
    command += ["--bf16"] if args.bf16 else []
    command += [] if args.device == "cpu" else [f"--device {args.device}"]
    return describe(
        command=" ".join(command),
        seed=options.seed,
        steps=progress.step,
        minutes=progress.elapsed_s / 60.0,
        world=options.world,
        device=options.device,
    )


def finish(
    args: argparse.Namespace,
    trainer: Trainer,
    *,
    words: Sequence[str],
    facts: Mapping[str, Any],
    sensors: ModalitySet,
    judged: Callable[[], Iterable[LabelledBatch]],
    fitted: Iterable[LabelledBatch],
    weighed: Iterable[LabelledBatch] | None = None,
) -> None:
    """Judge every set of the `sensors`, and the canvas alone, at every level; write weights and manifest.

    `words` are what was typed beside the options of every detector; scores are calibrated on the frames
    `fitted`. On those `weighed`, all sensors' raw data with them, the gate's table is measured; None: it is
    the one among the `facts`, and without that widths are uniform.
    """
    options, net = trainer.options, trainer.average.eval()
    masks = [ModalitySet(), *(mask for mask in ModalitySet.subsets() if mask & sensors == mask)]
    made = described(args, trainer, ["sentryfuse train", args.out.name, *words])
    if args.data is not None:
        del made["world_sha256"]  # not of the synthetic world
    made |= facts
    if weighed is not None and net.trust is not None:
        # Frames of recordings are read on the CPU, those of the world are made where the network is.
        own = net if args.data is None else copy.deepcopy(net).cpu()
        made["gate"] = priced(measure_worths(own, weighed, seed=options.seed), own).to_mapping()
    gate = make_gate(net.shape, made)
    grades = grade(net, judged=judged(), fitted=fitted, labels=made["labels"], masks=masks, gate=gate)
    found = evaluate(net, judged(), masks=masks, gate=gate)
    save_checkpoint(args.out, net, {**made, "evaluation": evaluation_table(found, grades)})
    print(f"{'sensors':<26} level  mAP    recall at 4 m    2 m    1 m  centre error")
    for (bits, level), score in found.scores.items():
        print(
            f"{ModalitySet(bits)!s:<26} {level:5d}  {grades[bits, level].map:.3f}  "
            f"{score.recall_4m:13.3f}  {score.recall_2m:5.3f}  "
            f"{score.recall_1m:5.3f}  {score.centre_error_m:9.2f} m"
        )
    if not found.boxes:
        print("note: the judged frames have no box in the detector's region, so that the scores say nothing")
    if "gate" not in made:
        print(f"note: widths are uniform: {_MEASURING}")
    elif "measured_on" in made["gate"]:
        print(f"note: the gate is that of {made['gate']['measured_on']}: {_MEASURING}")
    print(f"wrote {args.out} and its manifest")
