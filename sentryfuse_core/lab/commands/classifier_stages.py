"""The two stages of training a classifier, dense and nested, each saved and resumed where it was."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from sentryfuse_core.commands.signals import interrupt, noted_signals, say_saved
from sentryfuse_core.errors import CheckpointError, ConfigError
from sentryfuse_core.lab.bench.contest import Contest, Trained
from sentryfuse_core.lab.training.accelerate import Acceleration
from sentryfuse_core.lab.training.curve import Curve
from sentryfuse_core.lab.training.fit import FitOptions, Step, fit
from sentryfuse_core.lab.training.fit_state import Keeper, read_saved
from sentryfuse_core.lab.training.nest import Nested, NestOptions, nest
from sentryfuse_core.lab.training.stages import DenseStage, Dropout
from sentryfuse_core.lab.training.tensor_files import ROOM, write_tensors
from sentryfuse_core.pruning.gate import Design
from sentryfuse_core.text import reason_of

__all__ = ["FILES", "Run", "train"]

_CURVE = ("step", "stage", "progress", "learning_rate", "loss")  # steps count from 1 in each stage
_DENSE, _NESTED = "dense", "nested"  # as curve and state have them
FILES = ("state.safetensors", f"{_DENSE}.safetensors", "curve.csv")  # what a run keeps in its folder
_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(20),
    TextColumn("{task.percentage:.0f} % of budget,"),
    TimeRemainingColumn(),
    TextColumn("left"),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training: what to train, how, and where its state lies."""

    contest: Contest
    design: Design
    folder: Path
    resume: bool
    every_s: float
    speed: Acceleration

    @property
    def dense(self) -> Path:
        """The finished dense network."""
        return self.folder / f"{_DENSE}.safetensors"


@dataclass(eq=False)
class _Watch:
    """What the first process shows and logs, and the signals that end a run once its state is saved."""

    run: Run
    caught: list[int]
    curve: Curve | None = None
    bar: Progress | None = None

    def step(self, stage: str, log: Step) -> None:
        if not math.isfinite(log.loss):
            raise ConfigError(
                f"the loss became {log.loss} in {stage} step {log.step}; lower the recipe's learning rates"
            )
        if self.curve is not None and self.bar is not None:
            numbers = (f"{value:.5g}" for value in (log.progress, log.learning_rate, log.loss))
            self.curve.add([log.step, stage, *numbers])
            first = self.run.contest.recipe.first
            share = first * log.progress if stage == _DENSE else first + (1.0 - first) * log.progress
            text = f"{stage} step {log.step}: loss {log.loss:.3f}"
            self.bar.update(self.bar.task_ids[0], completed=share, description=text)

    def saving(self) -> None:
        if self.curve is not None:
            self.curve.flush()

    def saved(self) -> None:
        if self.caught:
            if self.curve is not None:
                say_saved(self.run.folder)
            interrupt(self.caught[0])


def train(run: Run) -> tuple[Nested[Any], float]:
    """Both stages, or what is left of them; the nested network and the seconds that training took in all.

    Raises:
        CheckpointError: a state to resume from that is damaged.
        OutputError: a state that cannot be written.
        ConfigError: learning rates at which the loss is no number any more.
    """
    with contextlib.ExitStack() as stack:
        watch = _Watch(run, stack.enter_context(noted_signals()))
        if run.speed.ranks.first:
            watch.curve = stack.enter_context(_curve(run))
            watch.bar = stack.enter_context(Progress(*_COLUMNS))
            watch.bar.add_task("training", total=1.0)
        base, seconds = _read_dense(run) or _dense(run, watch)
        keeper = _keeper(run, _NESTED, watch)
        nested = _nested(run, base.network, keeper, partial(watch.step, _NESTED))
        watch.saved()  # a signal may have come since
    return Nested(nested.network, nested.gate, base.macs + nested.macs), seconds + keeper.seconds


def _curve(run: Run) -> Curve:
    """The curve, as far as an earlier run had come when its state was saved."""
    saved = read_saved(run.folder) if run.resume else None
    finished = (_DENSE,) if run.resume and run.dense.exists() else ()
    stage = _NESTED if finished else _DENSE
    step = saved.step if saved is not None and saved.stage == stage else 0

    def keep(row: list[str]) -> bool:
        return row[1] in finished or (row[1] == stage and int(row[0]) <= step)

    return Curve(run.folder / "curve.csv", _CURVE, keep=keep)


def _dense(run: Run, watch: _Watch) -> tuple[Trained, float]:
    """Full width, the chance of a modality to be absent rising; its network is kept for a resumed run."""
    contest, recipe, keeper = run.contest, run.contest.recipe, _keeper(run, _DENSE, watch)
    network, macs = fit(
        contest.fresh(),
        DenseStage(dropout=Dropout(modalities=contest.modalities, last=recipe.dropout)),
        contest.train,
        contest.costs,
        _options(run, recipe.first, recipe.learning_rate, keeper),
        classes=contest.classes,
        on_step=partial(watch.step, _DENSE),
    )
    seconds = keeper.seconds
    if run.speed.ranks.first:
        facts = {"facts": json.dumps({"macs": macs, "seconds": seconds})}
        write_tensors(run.dense, network.state_dict(), facts, remedy=ROOM)
    return Trained(network, macs), seconds


def _nested(run: Run, base: nn.Module, keeper: Keeper, on_step: Callable[[Step], None]) -> Nested[Any]:
    """Units sorted, gate fitted to their saliency, sub-networks trained."""
    contest, recipe = run.contest, run.contest.recipe
    return nest(
        base,
        contest.train,
        contest.costs,
        Dropout(modalities=contest.modalities, first=recipe.dropout, last=recipe.dropout),
        NestOptions(
            design=run.design,
            ratios=recipe.ratios,
            to_teacher=recipe.to_teacher,
            temperature=recipe.temperature,
            samples=recipe.calibration,
        ),
        _options(run, 1.0 - recipe.first, recipe.nested_learning_rate, keeper),
        classes=contest.classes,
        on_step=on_step,
    )


def _options(run: Run, share: float, learning_rate: float, keeper: Keeper) -> FitOptions:
    return replace(run.contest.options(share, learning_rate), speed=run.speed, keeper=keeper)


def _keeper(run: Run, stage: str, watch: _Watch) -> Keeper:
    return Keeper(
        folder=run.folder,
        stage=stage,
        every_s=run.every_s,
        resume=run.resume,
        ranks=run.speed.ranks,
        wanted=lambda: bool(watch.caught),
        before=watch.saving,
        after=watch.saved,
    )


def _read_dense(run: Run) -> tuple[Trained, float] | None:
    """The dense network of an earlier run and the seconds it took, if that stage was finished."""
    if not (run.resume and run.dense.exists()):
        return None
    network = run.contest.fresh()
    try:
        network.load_state_dict(load_file(run.dense))
        with safe_open(run.dense, framework="pt") as opened:
            facts = json.loads(opened.metadata()["facts"])
        trained = Trained(network.requires_grad_(requires_grad=False).eval(), facts["macs"])
        return trained, facts["seconds"]
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"cannot resume from {run.dense}: {reason_of(error)}; train without --resume"
        ) from error
