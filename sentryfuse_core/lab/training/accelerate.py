"""Acceleration: bfloat16, torch.compile and several processes for one training, each of them optional."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sentryfuse_core.errors import ConfigError

__all__ = ["Acceleration", "Ranks", "ranks"]

_SEED_STEP = 1_000_003  # between the random numbers of two processes
_GRAPHS = 4096  # what torch.compile may keep: one graph for each set of modalities and width


@dataclass(frozen=True)
class Ranks:
    """The processes that train one network together, as `torchrun` starts them; one by default."""

    rank: int = 0
    count: int = 1
    local: int = 0  # rank on this machine: which of its GPUs

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def sums(self, values: Sequence[float], device: torch.device) -> list[float]:
        """The sum over processes of each value."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=device)
        torch.distributed.all_reduce(total)
        found: list[float] = total.tolist()
        return found

    def combine(self, loss: float, before: float, after: float, device: torch.device) -> tuple[float, float]:
        """The mean loss of a step, and all MACs spent when this process counted from `before` to `after`."""
        if self.count == 1:
            return loss, after
        total, spent = self.sums([loss, after - before], device)
        return total / self.count, before + spent

    def gather(self, tensor: Tensor, device: torch.device) -> list[Tensor]:
        """The tensors of all processes, of the same shape, on the CPU."""
        if self.count == 1:
            return [tensor]
        own = tensor.to(device)
        parts = [torch.empty_like(own) for _ in range(self.count)]
        torch.distributed.all_gather(parts, own)
        return [part.cpu() for part in parts]

    def align(self, network: nn.Module) -> None:
        """Give every process the weights of the first."""
        if self.count > 1:
            for tensor in (*network.parameters(), *network.buffers()):
                torch.distributed.broadcast(tensor.detach(), src=0)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Set each gradient to the mean over processes; one that a process lacks counts as zeros there.

        Processes draw their own modalities, so that they lack different gradients. What all of them lack
        stays without one, and the optimiser leaves it alone as it does in one process.
        """
        if self.count == 1:
            return
        device = parameters[0].device
        there = torch.tensor([float(item.grad is not None) for item in parameters], device=device)
        parts = [torch.zeros_like(item) if item.grad is None else item.grad for item in parameters]
        flat = torch.cat([there, *(part.flatten() for part in parts)])
        torch.distributed.all_reduce(flat)
        used = flat[: len(parameters)].tolist()
        means = torch.split(flat[len(parameters) :].div_(self.count), [item.numel() for item in parameters])
        for item, count, mean in zip(parameters, used, means, strict=True):
            item.grad = mean.view_as(item) if count else None


@contextlib.contextmanager
def ranks(device: str) -> Iterator[Ranks]:
    """The processes that torchrun started, joined within the block; one if it started none.

    Raises ConfigError when torchrun's environment is there in parts, or names more GPUs than there are.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Ranks()
        return
    try:
        found = Ranks(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"torchrun's environment lacks {error}; start with torchrun --nproc-per-node N"
        ) from error
    cuda = torch.device(device).type == "cuda"
    if cuda and found.local >= torch.cuda.device_count():
        raise ConfigError(
            f"process {found.local} has no GPU of its own: there are {torch.cuda.device_count()}; "
            f"give torchrun --nproc-per-node {torch.cuda.device_count()}"
        )
    if cuda:
        torch.cuda.set_device(found.local)
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield found
    finally:
        torch.distributed.destroy_process_group()


@dataclass(frozen=True, kw_only=True)
class Acceleration:
    """How the passes of a training run; by default as plain PyTorch in one process.

    Attributes:
        bf16: the network and the losses run under autocast to bfloat16; weights stay float32.
        compiled: the network runs through torch.compile, one graph for each set of modalities and width.
        ranks: processes that share the training: each draws its own batches, gradients are averaged.
    """

    bf16: bool = False
    compiled: bool = False
    ranks: Ranks = field(default_factory=Ranks)

    @property
    def seed_offset(self) -> int:
        """Added to the seed of batches and modalities, so that no two processes draw the same."""
        return self.ranks.rank * _SEED_STEP

    def prepare(self, network: nn.Module) -> None:
        """Make ready to train `network` in place."""
        self.ranks.align(network)
        if self.compiled:
            _allow_graphs()
            network.compile(dynamic=False)

    def passes(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """The context in which losses are computed."""
        if self.bf16:
            return torch.autocast(device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()


def _allow_graphs() -> None:
    """Raise torch.compile's limits: beyond them it would silently run uncompiled."""
    from torch import _dynamo

    for name in ("recompile_limit", "accumulated_recompile_limit"):
        setattr(_dynamo.config, name, max(_GRAPHS, getattr(_dynamo.config, name)))
