"""Nesting: from a dense network to one set of weights in which every planned sub-network is a prefix."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.lab.training.batches import Batch, Batches
from sentryfuse_core.lab.training.fit import FitOptions, Step, fit
from sentryfuse_core.lab.training.stages import Dropout, NestedStage, even_passes
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import Design, Present, SentryGate, shared_order
from sentryfuse_core.pruning.saliency import gate_gradients
from sentryfuse_core.pruning.units import inferring, sort_units

__all__ = ["NestOptions", "Nested", "measure_saliency", "nest", "sorted_units", "teacher_logits"]

_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class NestOptions:
    """How sub-networks are planned and trained.

    Attributes:
        design: how the gate plans, see `Design`; not faithful, which needs no nesting.
        ratios: shares of the units' MACs that are removed, rising.
        passes: how often each of them, and 0, is trained in a step; None for `even_passes`.
        one_set: all passes of a step have the same modalities.
        to_teacher: weight of the divergence from the first network with all modalities present.
        temperature: of that divergence.
        samples: of the training split from which saliency is measured.
    """

    design: Design = "uniform"
    ratios: Sequence[float] = (0.25, 0.5, 0.75, 0.9)
    passes: Mapping[float, float] | None = None
    one_set: bool = False
    to_teacher: float = 0.5
    temperature: float = 1.0
    samples: int = 256


@dataclass(frozen=True, eq=False)
class Nested(Generic[_Network]):
    """One set of weights, the gate that plans on it, and the multiply-accumulates that its training took."""

    network: _Network
    gate: SentryGate
    macs: float


def nest(
    base: _Network,
    samples: Batch,
    costs: Mapping[Present, UnitCosts],
    dropout: Dropout,
    options: NestOptions,
    fit_options: FitOptions,
    *,
    classes: int,
    on_step: Callable[[Step], None] = lambda _: None,
) -> Nested[_Network]:
    """Sort the units of a trained network, fit a gate to their saliency, and train its plans.

    Args:
        base: trained with modality dropout; it stays as it is and is the teacher.
        samples: the training split.
        costs: what units cost, for every set of modalities.
        dropout: which modalities are absent how often.
        options: plans and losses.
        fit_options: budget and schedule.
        classes: K.
        on_step: called after every step.

    Raises:
        ValueError: the faithful design, whose sub-networks are no prefixes, or ratios that cannot be planned.
    """
    if options.design == "faithful":
        raise ValueError(
            "design 'faithful' keeps units in any order; nest one of uniform, shared, conditioned"
        )
    sets = list(costs)
    generator = torch.Generator().manual_seed(fit_options.seed)
    probe = Batches(samples, classes=classes, generator=generator).draw(options.samples)
    saliency = measure_saliency(base, probe, sets)
    network, order = sorted_units(base, saliency), shared_order(saliency.values())
    gate = SentryGate(dropout.modalities, costs, design=options.design)
    gate.align(
        {
            present: {name: values[order[name]] for name, values in found.items()}
            for present, found in saliency.items()
        }
    )
    stage = NestedStage(
        dropout=dropout,
        table={
            (present, ratio): gate.plan(present, ratio).widths for present in sets for ratio in options.ratios
        },
        passes=even_passes(options.ratios) if options.passes is None else options.passes,
        one_set=options.one_set,
        teacher=teacher_logits(base, samples) if options.to_teacher else None,
        to_teacher=options.to_teacher,
        temperature=options.temperature,
    )
    average, macs = fit(
        network.requires_grad_(requires_grad=True),
        stage,
        samples,
        costs,
        fit_options,
        classes=classes,
        on_step=on_step,
    )
    taught = len(samples) * costs[frozenset(dropout.modalities)].total if options.to_teacher else 0
    return Nested(average, gate, macs + taught)


def measure_saliency(
    network: nn.Module, samples: Batch, sets: Sequence[Present]
) -> dict[Present, dict[str, Tensor]]:
    """T_u(m): the mean over `samples` of g_u^2, for every set of present modalities: {layer: [units]}."""
    found = {}
    for present in sets:
        inputs = samples.only(present)

        def losses(inputs: Mapping[str, Tensor] = inputs) -> Tensor:
            return functional.cross_entropy(network(inputs), samples.label, reduction="none")

        gradients = gate_gradients(network, losses, samples=len(samples))
        found[present] = {name: (gradient**2).mean(dim=0) for name, gradient in gradients.items()}
    return found


def sorted_units(network: _Network, saliency: Mapping[Present, Mapping[str, Tensor]]) -> _Network:
    """A copy of `network` that computes the same, the units of every layer in one order, best first."""
    copied = copy.deepcopy(network)
    sort_units(copied, shared_order(saliency.values()))
    return copied


def teacher_logits(network: nn.Module, samples: Batch, *, batch: int = 1024) -> Tensor:
    """Logits [n, K] of all samples with all modalities present."""
    with inferring(network), torch.inference_mode():
        parts = [
            network({name: item[start : start + batch] for name, item in samples.inputs.items()})
            for start in range(0, len(samples), batch)
        ]
    return torch.cat(parts).clone()
