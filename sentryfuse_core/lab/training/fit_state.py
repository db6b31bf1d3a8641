"""Interrupted training of a classifier: everything `fit` needs to go on to the bit, in one file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.lab.training.accelerate import Ranks
from sentryfuse_core.lab.training.tensor_files import ROOM, write_tensors
from sentryfuse_core.model.weights_files import under
from sentryfuse_core.text import reason_of

__all__ = ["FitState", "Keeper", "Saved", "read_saved"]

_FILE = "state.safetensors"


@dataclass(eq=False, kw_only=True)
class FitState:
    """What changes while a network is trained."""

    network: nn.Module
    average: nn.Module
    optimizer: Optimizer
    generator: torch.Generator
    step: int = 0
    macs: float = 0.0


@dataclass(frozen=True)
class Saved:
    """What a saved state says of itself."""

    stage: str
    step: int
    macs: float
    seconds: float  # of training this stage
    processes: int


@dataclass(kw_only=True)
class Keeper:
    """Saves the state of one stage's `fit` now and then, and at its end; puts back what was saved.

    Attributes:
        folder: where `state.safetensors` lies.
        stage: name of the stage; a state of another one is not put back.
        every_s: seconds between two savings.
        resume: put the saved state back at the start.
        ranks: the processes that train together; the first one writes.
        wanted: whether to save now, asked after every step; for signals.
        before: called before the state is written.
        after: called after it was, at the end of the stage too.
    """

    folder: Path
    stage: str
    every_s: float = 120.0
    resume: bool = False
    ranks: Ranks = field(default_factory=Ranks)
    wanted: Callable[[], bool] = lambda: False
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    _saved_s: float = field(init=False, default_factory=time.monotonic)
    _begun_s: float = field(init=False, default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long the stage was trained, earlier runs included."""
        return time.monotonic() - self._begun_s

    def begin(self, state: FitState) -> None:
        """Put the saved state of this stage back, if there is one and it is asked for.

        Raises CheckpointError when it does not fit.
        """
        earlier_s = 0.0
        if self.resume:
            saved = read_saved(self.folder)
            if saved is not None and saved.stage == self.stage:
                _restore(self.folder / _FILE, saved, state, self.ranks)
                earlier_s = saved.seconds
        self._saved_s = time.monotonic()
        self._begun_s = self._saved_s - earlier_s

    def after_step(self, state: FitState) -> None:
        """Save if it is time; all processes do or none."""
        due = time.monotonic() - self._saved_s >= self.every_s or self.wanted()
        device = next(state.network.parameters()).device
        if any(self.ranks.sums([float(due)], device)):
            self.save(state)

    def save(self, state: FitState) -> None:
        """Write the state in one move; raises OutputError when that fails."""
        device = next(state.network.parameters()).device
        generators = self.ranks.gather(state.generator.get_state(), device)
        if self.ranks.first:
            self.before()
            saved = Saved(self.stage, state.step, state.macs, self.seconds, self.ranks.count)
            facts = {"facts": json.dumps(vars(saved))}
            write_tensors(self.folder / _FILE, _tensors(state, generators), facts, remedy=ROOM)
        self._saved_s = time.monotonic()
        self.after()


def read_saved(folder: Path) -> Saved | None:
    """What the folder's state says of itself, or None; raises CheckpointError for a damaged one."""
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as opened:
            return Saved(**json.loads(opened.metadata()["facts"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(_unusable(path, error)) from error


def _tensors(state: FitState, generators: list[Tensor]) -> dict[str, Tensor]:
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in state.average.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    return tensors | {f"generator.{rank}": value for rank, value in enumerate(generators)}


def _restore(path: Path, saved: Saved, state: FitState, ranks: Ranks) -> None:
    if saved.processes != ranks.count:
        raise CheckpointError(
            f"{path} is of {saved.processes} processes, this run has {ranks.count}; "
            f"start with torchrun --nproc-per-node {saved.processes}, or train without --resume"
        )
    try:
        tensors = load_file(path)
        state.network.load_state_dict(under("network.", tensors))
        state.average.load_state_dict(under("average.", tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in under("optimizer.", tensors).items():
            index, moment = name.split(".")
            moments.setdefault(int(index), {})[moment] = value
        state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})
        state.generator.set_state(tensors[f"generator.{ranks.rank}"])
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(_unusable(path, error)) from error
    state.step, state.macs = saved.step, saved.macs


def _unusable(path: Path, error: Exception) -> str:
    return f"cannot resume from {path}: {reason_of(error)}; train without --resume"
