"""From options to a loaded bank and a backend that runs it."""

from __future__ import annotations

from pathlib import Path

import torch

import sentryfuse_core
from sentryfuse_core.clock import Clock, SteadyClock
from sentryfuse_core.config import ModelConfig
from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.checkpoint import load_checkpoint
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.fallback import FallbackBackend

__all__ = ["load_bank", "make_backend", "shipped_weights"]


def shipped_weights() -> Path:
    """The weights that come with the package."""
    return Path(sentryfuse_core.__file__).parent / "weights" / "world_v2.safetensors"


def load_bank(config: ModelConfig) -> Bank:
    """Load `config.checkpoint`, or the shipped weights; raises CheckpointError with the remedy."""
    path = Path(config.checkpoint).expanduser() if config.checkpoint else shipped_weights()
    return Bank(load_checkpoint(path))


def make_backend(bank: Bank, config: ModelConfig, *, clock: Clock | None = None) -> Backend:
    """The backend for `config.device`.

    An accelerator has the CPU behind it. One that was asked for and is not there is a standing fault
    of the CPU backend that runs instead; a name that is no device raises BackendError.
    """
    wanted = config.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(wanted).type
    except RuntimeError as error:
        raise BackendError(
            f"model.device = {wanted!r} is no device; give auto, cpu, cuda or cuda:N"
        ) from error
    if kind not in ("cpu", "cuda"):
        raise BackendError(f"model.device = {wanted!r} is not supported; give auto, cpu, cuda or cuda:N")
    cpu = EagerBackend(bank, device="cpu", threads=config.threads)
    if kind == "cpu":
        return cpu
    try:
        first = EagerBackend(bank, device=wanted)
    except BackendError as error:
        cpu.faults = (f"running on cpu: {error}",)
        return cpu
    return FallbackBackend(first, cpu, clock=clock or SteadyClock())
