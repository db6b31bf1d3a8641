"""Units of a network: gated, narrowed, sliced and sorted networks compute the same where they should."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sentryfuse_core.model.backbones import BACKBONES, ClassifierShape, Stream, make_backbone
from sentryfuse_core.model.units import Shrinkable
from sentryfuse_core.pruning.costs import measure_costs
from sentryfuse_core.pruning.gate import SentryGate, subsets
from sentryfuse_core.pruning.units import (
    Kept,
    find_units,
    gated,
    narrowed,
    prefix,
    sliced,
    sort_units,
    watched,
)

STREAMS = {"a": Stream(6, 3), "b": Stream(5, 2)}
every_backbone = pytest.mark.parametrize("backbone", list(BACKBONES))


def network_of(backbone: str, seed: int = 0) -> Shrinkable:
    """A small classifier: 4 attention groups and 4 blocks a layer; biases are random too."""
    torch.manual_seed(seed)
    shape = ClassifierShape(
        backbone=backbone, dim=16, layers=1, own_layers=1, heads=8, kv_heads=4, ffn=16, ffn_block=4
    )
    network = make_backbone(shape, STREAMS, 3).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.normal_()
    return network


def inputs_of(mask: Sequence[str] = tuple(STREAMS), *, batch: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randn(batch, STREAMS[name].tokens, STREAMS[name].features, generator=generator)
        for name in mask
    }


def ones_of(network: Shrinkable, kept: Kept) -> dict[str, Tensor]:
    """Gates that are 1 for the units `kept` and 0 for the others."""
    gates = {}
    for name, layer in find_units(network).items():
        gates[name] = torch.zeros(layer.units)
        gates[name][list(kept[name])] = 1.0
    return gates


NETWORKS = {backbone: network_of(backbone) for backbone in BACKBONES}
UNITS = 4  # of every layer


def choices(backbone: str) -> st.SearchStrategy[dict[str, list[int]]]:
    """Any units of each layer, in any order, also none."""
    one = st.tuples(st.permutations(range(UNITS)), st.integers(0, UNITS)).map(lambda pair: pair[0][: pair[1]])
    return st.fixed_dictionaries(dict.fromkeys(find_units(NETWORKS[backbone]), one))


@every_backbone
@settings(max_examples=25)
@given(data=st.data(), mask=st.sampled_from([("a",), ("b",), ("a", "b")]))
def test_sliced_network_equals_the_gated_one_when_any_units_stay(
    backbone: str, data: st.DataObject, mask: tuple[str, ...]
) -> None:
    network, inputs = NETWORKS[backbone], inputs_of(mask)
    kept = data.draw(choices(backbone))
    with torch.no_grad(), gated(network, ones_of(network, kept)):
        expected = network(inputs)
    torch.testing.assert_close(sliced(network, kept)(inputs), expected, atol=1e-6, rtol=1e-5)


@every_backbone
@settings(max_examples=25)
@given(data=st.data(), mask=st.sampled_from([("a",), ("b",), ("a", "b")]))
def test_narrowed_network_equals_the_gated_and_the_sliced_one_when_the_first_units_stay(
    backbone: str, data: st.DataObject, mask: tuple[str, ...]
) -> None:
    network, inputs = NETWORKS[backbone], inputs_of(mask)
    widths = {name: data.draw(st.integers(0, UNITS)) for name in find_units(network)}
    kept = prefix(widths)
    with torch.no_grad(), gated(network, ones_of(network, kept)):
        by_gates = network(inputs)
    with torch.no_grad(), narrowed(network, widths):
        by_widths = network(inputs)
    torch.testing.assert_close(by_widths, by_gates, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(sliced(network, kept)(inputs), by_widths, atol=1e-6, rtol=1e-5)


@every_backbone
@pytest.mark.parametrize("width", range(UNITS + 1))
def test_prefix_is_a_view_that_equals_a_copy_to_the_bit_when_units_are_the_first(
    backbone: str, width: int
) -> None:
    network, inputs = NETWORKS[backbone], inputs_of()
    view = sliced(network, prefix(dict.fromkeys(find_units(network), width)))
    storages = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    for name, layer in find_units(view).items():
        whole = find_units(network)[name]
        for tensor, rows in layer.unit_rows.items():
            part = layer.get_parameter(tensor)
            assert part.is_contiguous()
            assert len(part) == width * rows
            assert part.data_ptr() == whole.get_parameter(tensor).data_ptr() or not width
    assert all(parameter.untyped_storage().data_ptr() in storages for parameter in view.parameters())
    with torch.no_grad():
        outputs = view(inputs)
        copied = sliced(network, prefix(dict.fromkeys(find_units(network), width)))
        for layer in find_units(copied).values():
            for tensor in layer.unit_rows:
                setattr(layer, tensor, torch.nn.Parameter(layer.get_parameter(tensor).clone()))
        assert torch.equal(copied(inputs), outputs)


def test_prefix_follows_the_whole_when_its_weights_change() -> None:
    network, inputs = network_of("trunk"), inputs_of()
    view = sliced(network, prefix(dict.fromkeys(find_units(network), 2)))
    before = view(inputs)
    with torch.no_grad():
        network.get_parameter("trunk.layers.0.feed.rise").mul_(2.0)
    assert not torch.allclose(view(inputs), before)


def test_sliced_network_copies_when_units_are_not_the_first() -> None:
    network = NETWORKS["trunk"]
    small = sliced(network, {"trunk.layers.0.feed": [1, 2]})
    part = small.get_parameter("trunk.layers.0.feed.rise")
    whole = network.get_parameter("trunk.layers.0.feed.rise")
    assert part.untyped_storage().data_ptr() != whole.untyped_storage().data_ptr()
    assert torch.equal(part, whole[4:12])
    query = "trunk.layers.0.attend.query"
    assert small.get_parameter(query).data_ptr() == network.get_parameter(query).data_ptr()


@every_backbone
def test_sliced_network_leaves_the_whole_alone_when_it_is_converted(backbone: str) -> None:
    network, inputs = network_of(backbone), inputs_of()
    network.register_buffer("mean", torch.ones(3))
    with torch.no_grad():
        before = network(inputs)
        small = sliced(network, prefix(dict.fromkeys(find_units(network), 2))).double()
        assert {tensor.dtype for tensor in small.state_dict().values()} == {torch.float64}
        assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
        assert torch.equal(network(inputs), before)


def test_sub_network_takes_no_gradients_when_the_whole_learns() -> None:
    network = network_of("trunk")
    small = sliced(network, prefix({"trunk.layers.0.feed": 2}))
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(parameter.requires_grad for parameter in small.parameters())


def test_network_is_sliced_when_it_was_made_in_inference_mode() -> None:
    with torch.inference_mode():
        network = network_of("trunk")
    small = sliced(network, prefix(dict.fromkeys(find_units(network), 2)))
    assert torch.isfinite(small(inputs_of())).all()


def test_sub_network_is_sliced_again_when_it_is_a_network_itself() -> None:
    network, inputs = NETWORKS["branches"], inputs_of()
    layers = find_units(network)
    half = sliced(network, prefix(dict.fromkeys(layers, 2)))
    again = sliced(half, prefix(dict.fromkeys(layers, 1)))
    assert torch.equal(again(inputs), sliced(network, prefix(dict.fromkeys(layers, 1)))(inputs))


@every_backbone
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_sorting_leaves_the_function_as_it_is_when_units_move(backbone: str, seed: int) -> None:
    network, inputs = network_of(backbone), inputs_of()
    generator = torch.Generator().manual_seed(seed)
    order = {
        name: torch.randperm(layer.units, generator=generator).tolist()
        for name, layer in find_units(network).items()
    }
    with torch.no_grad():
        before = network(inputs)
        small = sliced(network, {name: units[:2] for name, units in order.items()})(inputs)
        sort_units(network, order)
        torch.testing.assert_close(network(inputs), before, atol=1e-5, rtol=1e-5)
        with narrowed(network, dict.fromkeys(order, 2)):
            torch.testing.assert_close(network(inputs), small, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 1, 2, 2], [1, 2, 3, 4], [0, 1, 2, 3, 4]], ids=str)
def test_sorting_names_the_layer_when_the_order_is_no_permutation(order: list[int]) -> None:
    network = network_of("trunk")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"no order of the 4 units of trunk\.layers\.0\.feed"):
        sort_units(network, {"trunk.layers.0.feed": order})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@every_backbone
def test_network_is_finite_and_equal_in_every_form_when_no_unit_is_left(backbone: str) -> None:
    network, inputs = NETWORKS[backbone], inputs_of()
    none = dict.fromkeys(find_units(network), 0)
    with torch.no_grad(), narrowed(network, none):
        expected = network(inputs)
    assert torch.isfinite(expected).all()
    torch.testing.assert_close(sliced(network, prefix(none))(inputs), expected, atol=1e-6, rtol=1e-5)


def test_gates_act_sample_by_sample_when_they_have_rows() -> None:
    network, inputs = NETWORKS["branches"], inputs_of()
    gates = {name: torch.rand(3, layer.units) for name, layer in find_units(network).items()}
    with torch.no_grad():
        with gated(network, gates):
            together = network(inputs)
        for sample in range(3):
            one = {name: values[sample : sample + 1] for name, values in inputs.items()}
            with gated(network, {name: values[sample] for name, values in gates.items()}):
                torch.testing.assert_close(network(one)[0], together[sample], atol=1e-6, rtol=1e-5)


def test_layers_are_as_before_when_the_block_fails() -> None:
    network, inputs = NETWORKS["trunk"], inputs_of()
    before = network(inputs)
    layers = find_units(network)
    seen: list[str] = []
    for block in (
        gated(network, {name: torch.zeros(layer.units) for name, layer in layers.items()}),
        narrowed(network, dict.fromkeys(layers, 1)),
        watched(network, lambda name, _: seen.append(name)),
    ):
        with contextlib.suppress(ZeroDivisionError), block:
            network(inputs)
            raise ZeroDivisionError
    assert set(seen) == set(layers)
    assert torch.equal(network(inputs), before)
    assert len(seen) == len(layers)


def test_watched_hidden_values_are_those_of_the_narrow_network_when_both_are_asked_for() -> None:
    network, inputs = NETWORKS["trunk"], inputs_of()
    sizes: dict[str, int] = {}
    with (
        narrowed(network, {"trunk.layers.0.feed": 3}),
        watched(network, lambda name, h: sizes.update({name: h.shape[2]})),
    ):
        network(inputs)
    assert sizes == {"trunk.layers.0.attend": 16, "trunk.layers.0.feed": 12}


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ({"trunk.layers.9.feed": [0]}, r"no prunable layer 'trunk\.layers\.9\.feed'; there are trunk"),
        ({"trunk.layers.0.feed": [0, 4]}, r"trunk\.layers\.0\.feed has 4 units; it cannot keep \[0, 4\]"),
        ({"trunk.layers.0.feed": [-1]}, "cannot keep"),
        ({"trunk.layers.0.feed": [1, 1]}, "cannot keep"),
        ({"trunk.layers.0.feed": range(5)}, "cannot keep"),
    ],
    ids=str,
)
def test_slicing_names_the_layer_when_units_are_not_there(kept: Kept, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        sliced(NETWORKS["trunk"], kept)


@pytest.mark.parametrize("width", [-1, 5])
def test_narrowing_names_the_width_when_the_layer_is_not_as_wide(width: int) -> None:
    network = NETWORKS["trunk"]
    with (
        pytest.raises(ValueError, match=f"width {width} of trunk.layers.0.feed must be 0 to its 4 units"),
        narrowed(network, {"trunk.layers.0.feed": width}),
    ):
        pass
    assert all(layer.width is None for layer in find_units(network).values())


def test_every_way_names_the_layer_when_it_is_not_there() -> None:
    network = NETWORKS["trunk"]
    for block in (gated(network, {"nope": torch.ones(4)}), narrowed(network, {"nope": 1})):
        with pytest.raises(ValueError, match="no prunable layer 'nope'"), block:
            pass
    with pytest.raises(ValueError, match="no prunable layer 'nope'"):
        sort_units(network, {"nope": [0]})


@every_backbone
def test_network_at_a_gates_plan_equals_the_narrowed_one_when_planned_for_any_mask(backbone: str) -> None:
    network = NETWORKS[backbone]
    costs = {
        present: measure_costs(network, inputs_of(sorted(present), batch=1)) for present in subsets("ab")
    }
    gate = SentryGate("ab", costs)
    for present, ratio in itertools.product(costs, (0.0, 0.5, 0.9)):
        plan = gate.plan(present=present, ratio=ratio)
        inputs = inputs_of(sorted(present))
        with torch.no_grad(), narrowed(network, plan.widths):
            expected = network(inputs)
        assert torch.equal(network.at(plan)(inputs), expected)
