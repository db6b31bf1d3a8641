"""Counted multiply-accumulates: torch's count equals formulae written by hand, for every mask and width."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from sentryfuse_core.model.attention import Segment, SentryAttend
from sentryfuse_core.model.backbones import ClassifierShape, Stream, make_backbone
from sentryfuse_core.model.fusion import FeedForward
from sentryfuse_core.model.sparsity import SPARSITIES, BlockTopK, Sparsity, Window
from sentryfuse_core.pruning.costs import UnitCosts, measure_costs, measure_macs
from sentryfuse_core.pruning.units import find_units, narrowed, prefix, sliced

# a and b divide by the pool, c does not: 4 + 3 + 3 keys.
STREAMS = {"a": Stream(16, 3), "b": Stream(12, 5), "c": Stream(10, 2)}
KEYS = {"a": 4, "b": 3, "c": 3}
CLASSES, DIM, LAYERS, OWN, POOL, MEET = 7, 24, 2, 1, 4, 3
GROUPS, GROUP_CHANNELS, HEAD = 3, 8, 4  # 3 groups of 2 heads of 4 channels
BLOCKS, BLOCK = 4, 8
MASKS = [mask for size in range(1, len(STREAMS) + 1) for mask in itertools.combinations(STREAMS, size)]


def network_of(backbone: str) -> nn.Module:
    torch.manual_seed(0)
    shape = ClassifierShape(
        backbone=backbone,
        dim=DIM,
        layers=LAYERS,
        own_layers=OWN,
        heads=GROUPS * GROUP_CHANNELS // HEAD,
        kv_heads=GROUPS,
        ffn=BLOCKS * BLOCK,
        ffn_block=BLOCK,
        pool=POOL,
        bottlenecks=MEET,
    )
    return make_backbone(shape, STREAMS, CLASSES).eval()


def inputs_of(mask: Sequence[str]) -> dict[str, Tensor]:
    return {name: torch.randn(1, STREAMS[name].tokens, STREAMS[name].features) for name in mask}


def layer_macs(tokens: int, keys: int, groups: int = GROUPS, blocks: int = BLOCKS) -> int:
    """By hand: query, keys and values, two products, output; then both maps of the feed-forward part."""
    channels = groups * GROUP_CHANNELS
    attention = (
        tokens * DIM * channels
        + keys * DIM * groups * 2 * HEAD
        + tokens * keys * channels
        + tokens * keys * channels
        + tokens * channels * DIM
    )
    return attention + tokens * DIM * blocks * BLOCK + tokens * blocks * BLOCK * DIM


def by_hand(backbone: str, mask: Sequence[str], groups: int = GROUPS, blocks: int = BLOCKS) -> int:
    tokens = {name: STREAMS[name].tokens for name in mask}
    embedding = sum(tokens[name] * STREAMS[name].features * DIM for name in mask)
    all_tokens, all_keys = 1 + sum(tokens.values()), 1 + sum(KEYS[name] for name in mask)
    trunk = LAYERS * layer_macs(all_tokens, all_keys, groups, blocks)
    branches = OWN * sum(layer_macs(tokens[name], KEYS[name], groups, blocks) for name in mask)
    meeting = LAYERS * sum(
        layer_macs(MEET + tokens[name], MEET + KEYS[name], groups, blocks) for name in mask
    )
    body = {"trunk": trunk, "branches": branches + trunk, "bottleneck": branches + meeting}[backbone]
    return embedding + body + DIM * CLASSES


@pytest.mark.parametrize("mask", MASKS, ids="".join)
@pytest.mark.parametrize("backbone", ["trunk", "branches", "bottleneck"])
def test_measured_macs_equal_the_formula_when_modalities_are_absent(
    backbone: str, mask: tuple[str, ...]
) -> None:
    network, inputs = network_of(backbone), inputs_of(mask)
    costs = measure_costs(network, inputs)
    assert measure_macs(network, inputs) == by_hand(backbone, mask)
    assert costs.total == by_hand(backbone, mask)
    assert costs.fixed == by_hand(backbone, mask, groups=0, blocks=0)


@pytest.mark.parametrize("mask", [("b",), ("a", "c")], ids="".join)
@pytest.mark.parametrize("backbone", ["trunk", "branches", "bottleneck"])
@pytest.mark.parametrize(("groups", "blocks"), [(0, 0), (1, 3), (2, 1), (3, 0)])
def test_measured_macs_equal_the_formula_when_layers_are_narrowed_or_sliced(
    backbone: str, mask: tuple[str, ...], groups: int, blocks: int
) -> None:
    network, inputs = network_of(backbone), inputs_of(mask)
    costs = measure_costs(network, inputs)
    widths = {
        name: groups if isinstance(layer, SentryAttend) else blocks
        for name, layer in find_units(network).items()
    }
    expected = by_hand(backbone, mask, groups, blocks)
    assert costs.of(prefix(widths)) + costs.fixed == expected
    assert measure_macs(sliced(network, prefix(widths)), inputs) == expected
    with narrowed(network, widths):
        assert measure_macs(network, inputs) == expected


def test_costs_of_a_sliced_network_are_measured_when_layers_keep_different_units() -> None:
    network, inputs = network_of("branches"), inputs_of(("a", "c"))
    costs = measure_costs(network, inputs)
    generator = torch.Generator().manual_seed(1)
    kept = {}
    for name, layer in find_units(network).items():
        count = int(torch.randint(layer.units + 1, (), generator=generator))
        kept[name] = torch.randperm(layer.units, generator=generator)[:count].tolist()
    assert measure_macs(sliced(network, kept), inputs) == costs.of(kept) + costs.fixed
    assert costs.of({}) == costs.prunable == costs.total - costs.fixed


def test_units_of_an_absent_modality_cost_nothing_when_it_has_layers_of_its_own() -> None:
    network = network_of("bottleneck")
    costs = measure_costs(network, inputs_of(("a",)))
    absent = [name for name in costs.macs if ".b." in name or ".c." in name]
    assert absent
    assert {costs.macs[name] for name in absent} == {0}
    assert min(costs.macs[name] for name in costs.macs if ".a." in name) > 0


@pytest.mark.parametrize(
    "sparsity", [*SPARSITIES, Window(size=8, stride=4), BlockTopK(blocks=2, block=8)], ids=str
)
@pytest.mark.parametrize(
    "segments",
    [
        [Segment(1, 1), Segment(256, 4), Segment(130, 4)],
        [Segment(77, 2)],
        [Segment(9, 1)],
        [Segment(5, 1), Segment(3, 4), Segment(0, 4), Segment(20, 2)],
    ],
    ids=["long", "alone", "summary", "short"],
)
def test_units_of_attention_are_all_that_is_measured_when_keys_are_sparse(
    sparsity: str | Sparsity, segments: list[Segment]
) -> None:
    layer = SentryAttend(16, heads=4, kv_heads=2, sparsity=sparsity)
    tokens = sum(segment.length for segment in segments)
    inputs = torch.randn(1, tokens, 16)
    costs = measure_costs(layer, inputs, segments)
    assert costs.fixed == 0
    assert costs.total == 2 * layer.unit_macs(tokens, segments) == measure_macs(layer, inputs, segments)


def test_pairs_of_a_window_are_counted_by_hand() -> None:
    layer = SentryAttend(8, heads=2, kv_heads=1, sparsity=Window(size=8, stride=4))
    # Segments of 2 and 20: windows of 8, 8 and 4 tokens; 2 + 5 pooled keys, of which 2, 2 and 1 make room.
    pairs = 2 * 7 + 8 * (8 + 5) + 8 * (8 + 5) + 4 * (4 + 6)
    projections = 22 * 8 * 8 + 22 * 8 * 8 + 22 * 8 * 8
    assert layer.unit_macs(22, [Segment(2, 1), Segment(20, 4)]) == projections + 2 * pairs * 8


def test_segments_given_by_name_count_when_a_network_passes_them_so() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = SentryAttend(16, heads=4, kv_heads=2)

        def forward(self, tokens: Tensor) -> Tensor:
            output: Tensor = self.attend(tokens, segments=[Segment(12, 4)])
            return self.attend(tokens=output, segments=[Segment(12, 4)])  # type: ignore[no-any-return]

    assert measure_costs(Named(), torch.randn(1, 12, 16)).fixed == 0


def test_units_that_run_on_every_window_of_a_sample_are_counted_for_each() -> None:
    class Windowed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = SentryAttend(16, heads=4, kv_heads=2)
            self.feed = FeedForward(16, channels=8, block=4)

        def forward(self, tokens: Tensor) -> Tensor:
            windows = self.attend(tokens.unflatten(1, (3, 4)).flatten(0, 1), [Segment(4, 2)])
            fed: Tensor = self.feed(windows.mean(dim=1))
            return fed

    costs = measure_costs(Windowed(), torch.randn(1, 12, 16))
    assert costs.fixed == 0
    assert costs.macs["attend"] == 3 * SentryAttend(16, heads=4, kv_heads=2).unit_macs(4, [Segment(4, 2)])


def test_torchs_own_attention_is_counted_when_its_fast_path_would_hide_it() -> None:
    class Theirs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(DIM, 4, batch_first=True)

        def forward(self, tokens: Tensor) -> Tensor:
            output: Tensor = self.attend(tokens, tokens, tokens, need_weights=False)[0]
            return output

    was_fast = torch.backends.mha.get_fastpath_enabled()
    found = measure_macs(Theirs().eval(), torch.randn(1, 10, DIM))
    assert found == 4 * 10 * DIM * DIM + 2 * 10 * 10 * DIM
    assert torch.backends.mha.get_fastpath_enabled() == was_fast


def test_costs_are_of_inference_and_change_nothing_when_the_network_is_in_training() -> None:
    class Pooler(nn.Module):
        """Queries that are learned, handed to a layer as they are, and a norm over samples."""

        def __init__(self) -> None:
            super().__init__()
            self.queries = nn.Parameter(torch.randn(1, 4, DIM))
            self.ask = nn.Linear(DIM, DIM)
            self.feed = FeedForward(DIM, channels=16, block=8)
            self.norm = nn.BatchNorm1d(DIM)
            self.frozen = nn.Linear(DIM, CLASSES).requires_grad_(requires_grad=False).eval()

        def forward(self, tokens: Tensor) -> Tensor:
            mixed = (self.ask(self.queries) @ tokens.transpose(1, 2)) @ tokens
            output: Tensor = self.frozen(self.norm(self.feed(mixed).mean(dim=1)))
            return output

    network = Pooler()
    network.ask.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    learning = [parameter.requires_grad for parameter in network.parameters()]
    costs = measure_costs(network, torch.randn(1, 10, DIM))
    assert costs.fixed == 4 * DIM * DIM + 2 * 4 * 10 * DIM + DIM * CLASSES
    assert [module.training for module in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == learning
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_macs_are_counted_when_the_network_was_made_in_inference_mode() -> None:
    with torch.inference_mode():
        network = nn.Linear(DIM, CLASSES)
    assert measure_macs(network, torch.randn(2, DIM)) == 2 * DIM * CLASSES


def test_costs_add_up_when_some_units_stay() -> None:
    macs: Mapping[str, int] = {"x": 10, "y": 3}
    costs = UnitCosts(macs, {"x": 4, "y": 2}, fixed=5)
    assert costs.prunable == 46
    assert costs.total == 51
    assert costs.of({"x": [0, 3]}) == 2 * 10 + 2 * 3
