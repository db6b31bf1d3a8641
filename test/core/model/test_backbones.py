"""The three classifiers: an absent input cannot change an output, and any subset of inputs is answered."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.model.backbones import BACKBONES, ClassifierShape, Stream, make_backbone
from sentryfuse_core.model.units import Kept, Shrinkable, find_units

STREAMS = {"a": Stream(6, 3), "b": Stream(5, 2), "c": Stream(4, 4)}
MASKS = [mask for size in range(1, len(STREAMS) + 1) for mask in itertools.combinations(STREAMS, size)]
CLASSES = 4
every_backbone = pytest.mark.parametrize("backbone", list(BACKBONES))


def network_of(backbone: str, seed: int = 0, *, streams: Sequence[str] = tuple(STREAMS)) -> Shrinkable:
    """A small classifier with random weights."""
    torch.manual_seed(seed)
    shape = ClassifierShape(
        backbone=backbone, dim=16, layers=2, own_layers=1, heads=4, kv_heads=2, ffn=32, ffn_block=8
    )
    return make_backbone(shape, {name: STREAMS[name] for name in streams}, CLASSES).eval()


def inputs_of(mask: Sequence[str], seed: int = 0, *, batch: int = 3) -> dict[str, Tensor]:
    """Random features [B, T, F] of the modalities in `mask`, the same for a modality whatever the mask."""
    found = {}
    for place, name in enumerate(STREAMS):
        generator = torch.Generator().manual_seed(100 * seed + place)
        values = torch.randn(batch, STREAMS[name].tokens, STREAMS[name].features, generator=generator)
        if name in mask:
            found[name] = values
    return found


@dataclass(frozen=True)
class PlanOf:
    """A plan by hand."""

    kept: Kept


@every_backbone
@settings(max_examples=20)
@given(order=st.permutations(list(STREAMS)), size=st.integers(1, 3), seed=st.integers(0, 3))
def test_logits_are_the_same_when_the_mapping_names_modalities_in_another_order(
    backbone: str, order: list[str], size: int, seed: int
) -> None:
    network, chosen = network_of(backbone), order[:size]
    inputs = inputs_of(chosen, seed)
    assert torch.equal(network(inputs), network({name: inputs[name] for name in chosen}))


@every_backbone
@pytest.mark.parametrize("mask", MASKS, ids="".join)
def test_absent_modality_cannot_change_the_logits_when_its_own_weights_are_ruined(
    backbone: str, mask: tuple[str, ...]
) -> None:
    network, inputs = network_of(backbone), inputs_of(mask)
    before = network(inputs)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            owners = set(name.split(".")) & set(STREAMS)
            if owners and not owners & set(mask):
                parameter.fill_(float("nan"))
    assert torch.equal(network(inputs), before)


@every_backbone
@pytest.mark.parametrize("mask", MASKS, ids="".join)
def test_logits_equal_those_of_a_network_without_the_modality_when_it_is_absent(
    backbone: str, mask: tuple[str, ...]
) -> None:
    network, alone = network_of(backbone), network_of(backbone, 1, streams=mask)
    known = network.state_dict()
    alone.load_state_dict({name: known[name] for name in alone.state_dict()})
    assert torch.equal(alone(inputs_of(mask)), network(inputs_of(mask)))


@every_backbone
@pytest.mark.parametrize("mask", MASKS, ids="".join)
def test_logits_are_finite_and_depend_on_every_input_when_any_subset_is_present(
    backbone: str, mask: tuple[str, ...]
) -> None:
    network, inputs = network_of(backbone), inputs_of(mask)
    logits = network(inputs)
    assert logits.shape == (3, CLASSES)
    assert torch.isfinite(logits).all()
    for name in mask:
        changed = {**inputs, name: inputs[name] + 1.0}
        assert not torch.allclose(network(changed), logits)


@every_backbone
def test_sample_is_answered_alone_when_it_stands_in_a_batch(backbone: str) -> None:
    network, inputs = network_of(backbone), inputs_of("abc")
    one = network({name: values[1:2] for name, values in inputs.items()})
    torch.testing.assert_close(network(inputs)[1:2], one)


@every_backbone
def test_network_names_the_modality_when_it_is_unknown_or_none_is_given(backbone: str) -> None:
    network = network_of(backbone)
    with pytest.raises(ValueError, match=r"unknown modalities \['sonar'\]; there are a, b, c"):
        network({**inputs_of("a"), "sonar": torch.zeros(3, 6, 3)})
    with pytest.raises(ValueError, match="no modality present"):
        network({})


def test_make_backbone_lists_the_known_ones_when_the_name_is_unknown() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'tree'; there are trunk, branches, bottleneck"):
        make_backbone(ClassifierShape(backbone="tree"), STREAMS, CLASSES)


@every_backbone
def test_shape_makes_the_same_network_when_read_back_from_its_mapping(backbone: str) -> None:
    shape = ClassifierShape(backbone=backbone, dim=16, layers=1, heads=2, kv_heads=2, ffn=32)
    again = ClassifierShape(**shape.to_mapping())  # type: ignore[arg-type]
    assert again == shape
    names = [list(make_backbone(one, STREAMS, 2).state_dict()) for one in (shape, again)]
    assert names[0] == names[1]


@every_backbone
def test_network_at_a_plan_is_smaller_and_leaves_the_whole_alone_when_asked(backbone: str) -> None:
    network, inputs = network_of(backbone), inputs_of("ab")
    before = network(inputs)
    kept = {name: range(1) for name in find_units(network)}
    small = network.at(PlanOf(kept))
    assert type(small) is type(network)
    assert {layer.units for layer in find_units(small).values()} == {1}
    assert not torch.allclose(small(inputs), before)
    assert torch.equal(network(inputs), before)


def test_network_of_ones_own_gives_sub_networks_when_it_is_shrinkable() -> None:
    class Mine(Shrinkable):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network_of("trunk")
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            logits: Tensor = self.inner(inputs) * self.scale
            return logits

    network, inputs = Mine(), inputs_of("abc")
    kept = {name: range(1) for name in find_units(network)}
    inner = {name.removeprefix("inner."): units for name, units in kept.items()}
    expected = network.inner.at(PlanOf(inner))(inputs) * 2.0
    assert torch.equal(network.at(PlanOf(kept))(inputs), expected)


@pytest.mark.parametrize("name", ["acc.x", "keys", "type"])
def test_backbone_says_so_when_a_modality_has_a_name_that_torch_refuses(name: str) -> None:
    with pytest.raises(DatasetError, match=r"rename its array"):
        make_backbone(ClassifierShape(dim=16, heads=2, kv_heads=2, ffn=32), {name: Stream(2, 3)}, 2)
