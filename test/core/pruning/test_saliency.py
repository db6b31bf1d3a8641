"""Saliency of units: the gradients with respect to gates are what autograd and differences say by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.backbones import ClassifierShape, Stream, make_backbone
from sentryfuse_core.model.fusion import FeedForward
from sentryfuse_core.pruning.saliency import gate_gradients
from sentryfuse_core.pruning.units import find_units, gated

STREAMS = {"a": Stream(5, 3), "b": Stream(4, 2)}


def network_of(backbone: str = "branches") -> nn.Module:
    torch.manual_seed(0)
    shape = ClassifierShape(
        backbone=backbone, dim=16, layers=1, own_layers=1, heads=4, kv_heads=2, ffn=16, ffn_block=4
    )
    return make_backbone(shape, STREAMS, 3).double().eval()


def inputs_of(*names: str, batch: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(
            batch, STREAMS[name].tokens, STREAMS[name].features, generator=generator, dtype=torch.float64
        )
        for name in names
    }


LABEL = torch.tensor([0, 2, 1])


@pytest.mark.parametrize("backbone", ["trunk", "branches", "bottleneck"])
def test_gradients_equal_finite_differences_when_each_gate_is_moved(backbone: str) -> None:
    network, inputs, small = network_of(backbone), inputs_of("a", "b"), 1e-5

    def losses() -> Tensor:
        return functional.cross_entropy(network(inputs), LABEL, reduction="none")

    found = gate_gradients(network, losses, samples=3)
    layers = find_units(network)
    assert found.keys() == layers.keys()
    for name, layer in layers.items():
        assert found[name].shape == (3, layer.units)
        unit = layer.units - 1
        moved = []
        for step in (small, -small):
            gates = torch.ones(layer.units, dtype=torch.float64)
            gates[unit] += step
            with torch.no_grad(), gated(network, {name: gates}):
                moved.append(losses())
        expected = (moved[0] - moved[1]) / (2 * small)
        torch.testing.assert_close(found[name][:, unit].double(), expected, atol=1e-6, rtol=1e-4)


def test_gradients_equal_the_inner_product_with_what_a_unit_gives_when_the_layer_is_alone() -> None:
    torch.manual_seed(0)
    layer = FeedForward(4, channels=6, block=2)
    tokens, aim = torch.randn(5, 3, 4), torch.randn(5, 3, 4)

    def losses() -> Tensor:
        return (layer(tokens) * aim).sum(dim=(1, 2))

    found = gate_gradients(layer, losses, samples=5)[""]
    hidden = functional.gelu(tokens @ layer.rise.t() + layer.rise_bias)
    for unit in range(3):
        rows = slice(2 * unit, 2 * unit + 2)
        given = hidden[..., rows] @ layer.fall[rows]
        torch.testing.assert_close(found[:, unit], (given * aim).sum(dim=(1, 2)), atol=1e-5, rtol=1e-5)


def test_gradients_of_one_sample_are_the_same_when_others_stand_beside_it() -> None:
    network, inputs = network_of().float(), {name: item.float() for name, item in inputs_of("a", "b").items()}

    def gradients(rows: slice) -> dict[str, Tensor]:
        part, label = {name: item[rows] for name, item in inputs.items()}, LABEL[rows]
        return gate_gradients(
            network,
            lambda: functional.cross_entropy(network(part), label, reduction="none"),
            samples=len(label),
        )

    together, alone = gradients(slice(0, 3)), gradients(slice(1, 2))
    for name, values in alone.items():
        torch.testing.assert_close(values[0], together[name][1], atol=1e-6, rtol=1e-4)


def test_gradients_are_zero_when_the_layer_does_not_run() -> None:
    network, inputs = network_of().float(), {"a": inputs_of("a")["a"].float()}
    found = gate_gradients(network, lambda: functional.cross_entropy(network(inputs), LABEL), samples=3)
    for name, values in found.items():
        assert bool((values == 0).all()) == (".b." in name)


def test_network_is_left_as_it_was_when_saliency_was_measured() -> None:
    network, inputs = network_of().float(), {"a": inputs_of("a")["a"].float()}
    network.requires_grad_(requires_grad=False)
    with torch.no_grad():  # whoever measures during evaluation
        found = gate_gradients(network, lambda: functional.cross_entropy(network(inputs), LABEL), samples=3)
    assert any(bool(values.any()) for values in found.values())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(layer.gates is None for layer in find_units(network).values())


def test_gradients_are_those_of_inference_when_the_network_is_in_training() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(5), FeedForward(8, channels=8, block=2), nn.Dropout(0.5)
    )
    tokens = torch.randn(4, 5, 3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def found() -> Tensor:
        return gate_gradients(network, lambda: network(tokens).square().sum(dim=(1, 2)), samples=4)["2"]

    in_training = found()
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    network.eval()
    torch.testing.assert_close(in_training, found())


def test_gradients_are_zero_when_no_layer_runs() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.feed = FeedForward(3, channels=8, block=2)
            self.head = nn.Linear(3, 3)

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            tokens = self.feed(inputs["a"]) if "a" in inputs else inputs["b"]
            output: Tensor = self.head(tokens.mean(dim=1))
            return output

    network, inputs = Around().requires_grad_(requires_grad=False), {"b": torch.randn(3, 4, 3)}
    found = gate_gradients(network, lambda: functional.cross_entropy(network(inputs), LABEL), samples=3)
    assert found["feed"].tolist() == [[0.0] * 4] * 3


def test_gradients_are_about_the_same_when_the_network_is_in_half_precision() -> None:
    network, inputs = network_of().float(), {name: item.float() for name, item in inputs_of("a", "b").items()}
    halves = {name: item.bfloat16() for name, item in inputs.items()}

    def gradients(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return gate_gradients(
            network, lambda: functional.cross_entropy(network(inputs).float(), LABEL), samples=3
        )

    exact = gradients(inputs)
    network.bfloat16()
    for name, values in gradients(halves).items():
        assert values.dtype == torch.float32
        assert float((values - exact[name]).norm()) < 0.1 * float(exact[name].norm())
