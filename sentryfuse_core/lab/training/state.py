"""Interrupted training: everything needed to go on, as safetensors and JSON (nothing is unpickled)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.optim import Optimizer

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.lab.training.tensor_files import ROOM, write_tensors
from sentryfuse_core.model.weights_files import under
from sentryfuse_core.text import reason_of

__all__ = ["Progress", "load_state", "save_state"]


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    elapsed_s: float = 0.0
    seed: int = 0


def save_state(
    folder: Path, *, net: nn.Module, average: nn.Module, optimizer: Optimizer, progress: Progress
) -> None:
    """Write weights, their running average, the optimiser's moments and the progress in one move.

    Raises OutputError when that fails.
    """
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    facts = {"progress": json.dumps(asdict(progress))}
    write_tensors(folder / "state.safetensors", tensors, facts, remedy=ROOM)


def load_state(folder: Path, *, net: nn.Module, average: nn.Module, optimizer: Optimizer) -> Progress:
    """Put a saved state back; raises CheckpointError if there is none or it is of another network."""
    path = folder / "state.safetensors"
    try:
        tensors = load_file(path)
        net.load_state_dict(under("net.", tensors))
        average.load_state_dict(under("average.", tensors))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot resume from {path}: {reason_of(error)}; train without --resume"
        ) from error
    moments: dict[int, dict[str, Any]] = {}
    for name, value in under("optimizer.", tensors).items():
        index, moment = name.split(".")
        moments.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return _progress(path)


def _progress(path: Path) -> Progress:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as opened:
        return Progress(**json.loads(opened.metadata()["progress"]))
