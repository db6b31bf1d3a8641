"""The two stages of training a classifier, dense and nested, each saved and resumed where it was."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from sentryfuse_core.errors import CheckpointError, ConfigError
from sentryfuse_core.lab.bench.contest import Contest, Trained
from sentryfuse_core.lab.training.accelerate import Acceleration
from sentryfuse_core.lab.training.fit import FitOptions, Step, fit
from sentryfuse_core.lab.training.fit_state import Keeper, read_saved, write_tensors
from sentryfuse_core.lab.training.nest import Nested, NestOptions, nest
from sentryfuse_core.lab.training.stages import DenseStage, Dropout
from sentryfuse_core.pruning.gate import Design

__all__ = ["DENSE", "FILES", "NESTED", "Place", "Run", "Watcher", "place_of", "train"]

DENSE, NESTED = "dense", "nested"  # as curve and state have them
FILES = ("state.safetensors", f"{DENSE}.safetensors", "curve.csv")  # what a run keeps in its folder


class Watcher(Protocol):
    """Who is told of a training."""

    def step(self, stage: str, log: Step) -> None:
        """A step was taken."""
        ...

    def saving(self) -> None:
        """The state is about to be written."""
        ...

    def saved(self) -> None:
        """The state was written; may raise to end the run."""
        ...

    def stop_wanted(self) -> bool:
        """Whether to save now."""
        ...


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
        return self.folder / f"{DENSE}.safetensors"


@dataclass(frozen=True)
class Place:
    """How far an earlier run had come when its state was saved."""

    finished: tuple[str, ...] = ()
    stage: str = DENSE
    step: int = 0


def place_of(run: Run) -> Place:
    """Where `train` will start; raises CheckpointError for a damaged state."""
    saved = read_saved(run.folder) if run.resume else None
    finished = (DENSE,) if run.resume and run.dense.exists() else ()
    stage = NESTED if finished else DENSE
    return Place(finished, stage, saved.step if saved is not None and saved.stage == stage else 0)


def train(run: Run, watcher: Watcher) -> tuple[Nested[Any], float]:
    """Both stages, or what is left of them; the nested network and the seconds that training took in all.

    Raises:
        CheckpointError: a state to resume from that is damaged.
        OutputError: a state that cannot be written.
        ConfigError: learning rates at which the loss is no number any more.
    """
    base, seconds = _read_dense(run) or _dense(run, watcher)
    keeper = _keeper(run, NESTED, watcher)
    nested = _nested(run, base.network, keeper, _told(watcher, NESTED))
    return Nested(nested.network, nested.gate, base.macs + nested.macs), seconds + keeper.seconds


def _dense(run: Run, watcher: Watcher) -> tuple[Trained, float]:
    """Full width, the chance of a modality to be absent rising; its network is kept for a resumed run."""
    contest, recipe, keeper = run.contest, run.contest.recipe, _keeper(run, DENSE, watcher)
    network, macs = fit(
        contest.fresh(),
        DenseStage(dropout=Dropout(modalities=contest.modalities, last=recipe.dropout)),
        contest.train,
        contest.costs,
        _options(run, recipe.first, recipe.learning_rate, keeper),
        classes=contest.classes,
        on_step=_told(watcher, DENSE),
    )
    seconds = keeper.seconds
    if run.speed.ranks.first:
        write_tensors(run.dense, network.state_dict(), {"macs": macs, "seconds": seconds})
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


def _keeper(run: Run, stage: str, watcher: Watcher) -> Keeper:
    return Keeper(
        folder=run.folder,
        stage=stage,
        every_s=run.every_s,
        resume=run.resume,
        ranks=run.speed.ranks,
        wanted=watcher.stop_wanted,
        before=watcher.saving,
        after=watcher.saved,
    )


def _told(watcher: Watcher, stage: str) -> Callable[[Step], None]:
    def tell(log: Step) -> None:
        if not math.isfinite(log.loss):
            raise ConfigError(
                f"the loss became {log.loss} in {stage} step {log.step}; lower the recipe's learning rates"
            )
        watcher.step(stage, log)

    return tell


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
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"cannot resume from {run.dense}: {reason}; train without --resume") from error
