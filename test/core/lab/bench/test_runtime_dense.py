"""The dense reference: what it computes, and what it is made of."""

from __future__ import annotations

from dataclasses import replace

import torch
from networks import TINY, model_input, network

from sentryfuse_core.lab.bench.runtime.dense import KINDS, blind, dense_network, dense_shape
from sentryfuse_core.model.network import FULL_WIDTH
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.pruning.costs import measure_macs
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.types import ModalitySet


def test_dense_network_is_the_same_when_nothing_is_shared_or_pooled() -> None:
    plain = network(shape=dense_shape(TINY))
    inputs = model_input(batch=1)
    with torch.inference_mode():
        assert torch.allclose(
            dense_network(plain)(inputs).heatmap, plain(inputs).heatmap, rtol=1e-5, atol=1e-5
        )


def test_dense_network_keeps_what_both_have_when_made() -> None:
    ours = network()
    state = torch.random.get_rng_state()
    dense = dense_network(ours).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)  # whoever draws next draws what it would have
    kept = [name for name, tensor in ours.state_dict().items() if torch.equal(dense[name], tensor)]
    other = set(dense) - set(kept)
    assert other == {f"trunk.layers.{layer}.attend.key_value" for layer in range(TINY.layers)}


def test_dense_network_costs_what_the_formula_says_when_counted() -> None:
    for kind in KINDS:
        counted = measure_macs(dense_network(network(), kind), model_input(batch=1))
        formula = count_macs(dense_shape(TINY), GEOMETRY, ModalitySet.all(), FULL_WIDTH).total
        assert abs(counted / formula - 1) < 0.02
    assert formula > count_macs(TINY, GEOMETRY, ModalitySet.all(), FULL_WIDTH).total


def test_blind_sees_nothing_and_hears_everything_when_applied() -> None:
    inputs = model_input()
    seen = blind(inputs)
    assert seen.present == inputs.present
    assert seen.camera is not None
    assert not seen.camera.any()
    assert seen.audio is inputs.audio
    without = replace(inputs, camera=None, camera_position=None)
    assert blind(without) is without
