"""A tiny problem for tests of a classifier's training: two modalities, networks, samples, costs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sentryfuse_core.lab.training.batches import Batch
from sentryfuse_core.model.backbones import ClassifierShape, Stream, make_backbone
from sentryfuse_core.model.units import Shrinkable
from sentryfuse_core.pruning.costs import UnitCosts, measure_costs
from sentryfuse_core.pruning.gate import Present, subsets

STREAMS = {"a": Stream(4, 3), "b": Stream(4, 2)}
BOTH = frozenset(STREAMS)
SETS = subsets(tuple(STREAMS))
_SIZES = {"dim": 16, "layers": 1, "heads": 4, "kv_heads": 4, "ffn": 16, "ffn_block": 4}


def generator_of(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def classifier(seed: int = 0, *, classes: int = 3, **sizes: Any) -> Shrinkable:
    """One of random weights; `sizes` are those of its shape that matter to the test."""
    torch.manual_seed(seed)
    return make_backbone(ClassifierShape(**{**_SIZES, **sizes}), STREAMS, classes)


def batch_of(size: int = 6, *, classes: int = 3, apart: float = 0.0, seed: int = 1) -> Batch:
    """Classes in turn, whose means lie `apart` in every modality."""
    generator, label = generator_of(seed), torch.arange(size) % classes
    inputs = {
        name: torch.randn(size, stream.tokens, stream.features, generator=generator)
        + apart * (label - (classes - 1) / 2)[:, None, None]
        for name, stream in STREAMS.items()
    }
    return Batch(inputs, label, torch.arange(size))


def costs_of(network: nn.Module) -> dict[Present, UnitCosts]:
    return {present: measure_costs(network, batch_of(1).only(present)) for present in SETS}


def copied_bytes(network: nn.Module, small: nn.Module) -> int:
    """Bytes of the smaller network that are not memory of `network`: what one more plan costs to keep."""
    shared = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    return sum(
        parameter.numel() * parameter.element_size()
        for parameter in small.parameters()
        if parameter.untyped_storage().data_ptr() not in shared
    )
