"""What is timed against each other: sub-networks on their backends, and dense networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from sentryfuse_core.lab.bench.runtime.dense import KINDS, blind
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["ALL", "BLIND", "NO_CAMERA", "Arm", "dense_arms", "dense_arms_of", "dense_in", "planned_arms"]

ALL = ModalitySet.all()
NO_CAMERA = ALL - ModalitySet.of(Modality.CAMERA)
BLIND = ", camera zero-filled"  # after the name of a kind of dense network


@dataclass(frozen=True, eq=False)
class Arm:
    """One thing to be timed: a network at a level with a set of sensors."""

    name: str  # of the backend, or of a kind of dense network
    mask: ModalitySet
    level: int
    run: Callable[[ModelInput], object]
    feed: Callable[[ModelInput], ModelInput]  # from a set of all sensors to what it is given; not timed


def dense_in(backend: str) -> str:
    """Name of the dense network in the deploy form on a backend."""
    return f"{KINDS[0]}, in {backend}"


def planned_arms(name: str, bank: Bank, backend: Backend) -> list[Arm]:
    """Every sub-network, its plan looked up before each run."""

    def planned(mask: ModalitySet, level: int) -> Callable[[ModelInput], HeadOutput]:
        return lambda inputs: backend.run(inputs, bank.plan(mask, level, "benchmark"))

    return [
        Arm(name, mask, level, planned(mask, level), _only(bank.plan(mask, level, "").mask))
        for mask in ModalitySet.subsets()
        for level in range(len(bank.levels))
    ]


def dense_arms(networks: Mapping[str, SentryFuseNet], device: str) -> list[Arm]:
    """The dense networks by kind, as they are trained: the first with every set of sensors."""
    arms = []
    for kind, network in networks.items():
        run = _dense(network, device)
        masks = ModalitySet.subsets() if kind == KINDS[0] else (ALL, NO_CAMERA)
        arms += [Arm(kind, mask, 0, run, _only(mask)) for mask in masks]
        arms.append(Arm(f"{kind}{BLIND}", ALL, 0, run, blind))
    return arms


def dense_arms_of(name: str, bank: Bank, backend: Backend) -> list[Arm]:
    """The dense network in the deploy form on the backend `name`, which `bank` holds alone."""
    found = [replace(arm, name=dense_in(name)) for arm in planned_arms(name, bank, backend)]
    whole = next(arm for arm in found if arm.mask == ALL)
    return [*found, replace(whole, name=f"{whole.name}{BLIND}", feed=blind)]


def _only(mask: ModalitySet) -> Callable[[ModelInput], ModelInput]:
    return lambda inputs: inputs.only(mask)


def _dense(network: SentryFuseNet, device: str) -> Callable[[ModelInput], HeadOutput]:
    """As the eager backend runs its network."""

    def run(inputs: ModelInput) -> HeadOutput:
        with torch.inference_mode():
            output: HeadOutput = network(inputs.to(device))
            evidence = {modality: logits.cpu() for modality, logits in output.evidence.items()}
            return replace(output, heatmap=output.heatmap.cpu(), boxes=output.boxes.cpu(), evidence=evidence)

    return run
