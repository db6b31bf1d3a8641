"""Meter: the multiply-accumulates of training equal those counted by hand, at every width and mask."""

from __future__ import annotations

import pytest
import torch
from classifiers import STREAMS, classifier, costs_of
from torch import Tensor, nn

from sentryfuse_core.lab.training.meter import Meter
from sentryfuse_core.pruning.units import find_units, prefix, sliced

DIM, FFN, BLOCK, CLASSES, BATCH = 16, 16, 4, 3, 5


def network_of() -> nn.Module:
    return classifier(classes=CLASSES, dim=DIM, kv_heads=2, ffn=FFN, ffn_block=BLOCK, sparsity="dense")


def inputs_of(mask: str, *, batch: int = BATCH) -> dict[str, Tensor]:
    return {name: torch.randn(batch, STREAMS[name].tokens, STREAMS[name].features) for name in mask}


def by_hand(mask: str, groups: int = 2, blocks: int = 4) -> int:
    """One sample, forward: a dense layer over the tokens of `mask` and a summary token."""
    tokens = 1 + 4 * len(mask)
    embedding = sum(4 * STREAMS[name].features * DIM for name in mask)
    rows = groups * 8  # 2 heads of 4 channels a group
    attention = 2 * tokens * DIM * rows + tokens * DIM * 2 * groups * 4 + 2 * tokens * tokens * rows
    return embedding + attention + 2 * tokens * DIM * blocks * BLOCK + DIM * CLASSES


@pytest.mark.parametrize("mask", ["a", "b", "ab"])
@pytest.mark.parametrize(("groups", "blocks"), [(2, 4), (1, 2), (0, 3), (0, 0)])
def test_meter_counts_three_forward_passes_when_a_network_is_trained(
    mask: str, groups: int, blocks: int
) -> None:
    network = network_of()
    meter = Meter(network, costs_of(network))
    meter(inputs_of(mask), {"trunk.layers.0.attend": groups, "trunk.layers.0.feed": blocks})
    assert meter.macs == 3 * BATCH * by_hand(mask, groups, blocks)


def test_meter_names_the_modalities_when_their_costs_were_not_measured() -> None:
    network = network_of()
    costs = {present: cost for present, cost in costs_of(network).items() if present != {"a"}}
    with pytest.raises(ValueError, match=r"no costs were measured for \['a'\]; measure them"):
        Meter(network, costs)(inputs_of("a"))


def test_meter_adds_up_when_passes_differ_in_size() -> None:
    network = network_of()
    meter = Meter(network, costs_of(network))
    meter(inputs_of("a", batch=2))
    meter(inputs_of("ab", batch=3), {"trunk.layers.0.feed": 1})
    assert meter.macs == 3 * (2 * by_hand("a") + 3 * by_hand("ab", 2, 1))


def test_logits_are_those_of_the_sub_network_when_widths_are_given() -> None:
    network = network_of()
    meter, inputs = Meter(network, costs_of(network)), inputs_of("ab")
    widths = dict.fromkeys(find_units(network), 1)
    logits = meter(inputs, widths)
    torch.testing.assert_close(logits, sliced(network, prefix(widths))(inputs))
    logits.sum().backward()
    gradient = network.get_parameter("trunk.layers.0.feed.rise").grad
    assert gradient is not None
    assert gradient.shape == (FFN, DIM)
    assert gradient[:BLOCK].any()
    assert not gradient[BLOCK:].any()
    assert all(layer.width is None for layer in find_units(network).values())
