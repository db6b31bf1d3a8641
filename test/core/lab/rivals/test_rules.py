"""Every rule: budgets hold, results repeat, and the scores of two units are those of a hand calculation."""

from __future__ import annotations

import math
import sys
from functools import cache
from itertools import combinations

import pytest
import torch
from classifiers import copied_bytes
from networks import Fed
from torch import nn

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.rivals import RULES
from sentryfuse_core.lab.rivals.llm_pruner import coupled_saliency
from sentryfuse_core.lab.rivals.rule import Calibration
from sentryfuse_core.lab.rivals.scores import magnitude, michel, taylor, wanda_sp
from sentryfuse_core.lab.rivals.synflow import synflow
from sentryfuse_core.model.backbones import ClassifierShape, Stream, make_backbone
from sentryfuse_core.pruning.costs import UnitCosts, measure_costs
from sentryfuse_core.pruning.gate import Present
from sentryfuse_core.pruning.units import find_units, prefix, sliced

STREAMS = {"a": Stream(4, 3), "b": Stream(6, 2)}
MASKS = [frozenset(mask) for count in (1, 2) for mask in combinations(STREAMS, count)]
PLAIN = [name for name in RULES if name != "torch_pruning"]  # a library that a plain machine lacks


@cache
def world(backbone: str) -> tuple[nn.Module, dict[Present, Calibration], dict[Present, UnitCosts]]:
    torch.manual_seed(0)
    shape = ClassifierShape(
        backbone=backbone, dim=8, layers=1, own_layers=1, heads=4, kv_heads=2, ffn=12, ffn_block=3
    )
    network = make_backbone(shape, STREAMS, 3).eval()
    inputs = {name: torch.randn(12, stream.tokens, stream.features) for name, stream in STREAMS.items()}
    label = torch.randint(3, (12,))
    calibration = {mask: Calibration({name: inputs[name] for name in mask}, label) for mask in MASKS}
    costs = {
        mask: measure_costs(network, {name: inputs[name][:1] for name in STREAMS if name in mask})
        for mask in MASKS
    }
    return network, calibration, costs


@pytest.mark.parametrize("backbone", ["trunk", "branches", "bottleneck"])
@pytest.mark.parametrize("name", PLAIN)
def test_rule_stays_in_the_budget_when_any_sensors_are_present(name: str, backbone: str) -> None:
    network, calibration, costs = world(backbone)
    pruned = RULES[name].prepare(network, calibration, costs)
    for mask in MASKS:
        for ratio in (0.0, 0.25, 0.6, 0.95):
            assert costs[mask].of(pruned.kept(mask, ratio)) <= (1 - ratio) * costs[mask].prunable
        small = pruned.at(mask, 0.6)
        cost = measure_costs(small, {name: value[:1] for name, value in calibration[mask].inputs.items()})
        assert cost.prunable == costs[mask].of(pruned.kept(mask, 0.6))
        assert pruned.at(mask, 0.95)(calibration[mask].inputs).isfinite().all()


@pytest.mark.parametrize("name", PLAIN)
def test_rule_keeps_nothing_of_a_layer_when_its_sensor_is_absent(name: str) -> None:
    network, calibration, costs = world("branches")
    kept = RULES[name].prepare(network, calibration, costs).kept(frozenset({"a"}), 0.25)
    assert {layer for layer, units in kept.items() if layer.startswith("branch.b") and units} == set()
    assert any(units for layer, units in kept.items() if layer.startswith("branch.a"))


@pytest.mark.parametrize("name", PLAIN)
def test_rule_repeats_itself_and_leaves_the_network_alone_when_prepared_twice(name: str) -> None:
    network, calibration, costs = world("branches")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    outputs = []
    for _ in range(2):
        small = RULES[name].prepare(network, calibration, costs).at(MASKS[2], 0.5)
        outputs.append(small(calibration[MASKS[2]].inputs))
    assert torch.equal(*outputs)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(layer.watch is None and layer.gates is None for layer in find_units(network).values())


def test_taylor_static_keeps_one_order_when_masks_differ() -> None:
    network, calibration, costs = world("trunk")
    pruned = RULES["taylor_static"].prepare(network, calibration, costs)
    for first, second in combinations(MASKS, 2):
        for layer, units in pruned.kept(first, 0.5).items():
            other = set(pruned.kept(second, 0.5)[layer])
            assert set(units) <= other or other <= set(units)


def _two() -> Fed:
    """One token through two units of one channel: logits = gelu(x R') F."""
    made = Fed(2, channels=2, block=1)
    with torch.no_grad():
        made.feed.rise.copy_(torch.tensor([[1.0, 0.5], [-0.5, 2.0]]))
        made.feed.fall.copy_(torch.tensor([[1.0, -1.0], [0.25, 0.5]]))
    return made


POINTS = [[1.0, 2.0], [-1.0, 0.5]]
LABELS = [0, 1]
SAMPLE = Calibration({"a": torch.tensor(POINTS)[:, None]}, torch.tensor(LABELS))


def _by_hand() -> list[tuple[list[float], list[float], list[float]]]:
    """For each sample: pre-activations, hidden values and dL/dlogits, in plain arithmetic."""
    found = []
    for (x, y), label in zip(POINTS, LABELS, strict=True):
        rise = [x + 0.5 * y, -0.5 * x + 2 * y]
        hidden = [value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in rise]
        logits = [hidden[0] + 0.25 * hidden[1], -hidden[0] + 0.5 * hidden[1]]
        total = sum(math.exp(logit) for logit in logits)
        error = [math.exp(logit) / total - (index == label) for index, logit in enumerate(logits)]
        found.append((rise, hidden, error))
    return found


def _gates_by_hand() -> list[list[float]]:
    """dL/dxi of both units for each sample."""
    return [
        [hidden[0] * (error[0] - error[1]), hidden[1] * (0.25 * error[0] + 0.5 * error[1])]
        for _, hidden, error in _by_hand()
    ]


def test_magnitude_is_the_norm_of_all_rows_when_units_have_two_tensors() -> None:
    scores = magnitude(_two(), SAMPLE)["feed"]
    assert scores.tolist() == pytest.approx([math.sqrt(1.25 + 2.0), math.sqrt(4.25 + 0.3125)])


def test_taylor_and_michel_equal_the_hand_calculation_when_units_are_two() -> None:
    gates = _gates_by_hand()
    squares = [(gates[0][unit] ** 2 + gates[1][unit] ** 2) / 2 for unit in (0, 1)]
    sizes = [(abs(gates[0][unit]) + abs(gates[1][unit])) / 2 for unit in (0, 1)]
    length = math.hypot(*sizes)
    assert taylor(_two(), SAMPLE)["feed"].tolist() == pytest.approx(squares, rel=1e-5)
    assert michel(_two(), SAMPLE)["feed"].tolist() == pytest.approx(
        [size / length for size in sizes], rel=1e-5
    )


def test_wanda_equals_the_hand_calculation_when_units_are_two() -> None:
    norms = [math.hypot(*(hidden[unit] for _, hidden, _ in _by_hand())) for unit in (0, 1)]
    scores = wanda_sp(_two(), SAMPLE)["feed"]
    assert scores.tolist() == pytest.approx([2.0 * norms[0], 0.75 * norms[1]], rel=1e-5)


def test_llm_pruner_equals_the_hand_calculation_when_units_are_two() -> None:
    rise_weight, fall_weight = [[1.0, 0.5], [-0.5, 2.0]], [[1.0, -1.0], [0.25, 0.5]]
    expected = []
    for unit in (0, 1):
        gradients = []  # for each sample: of rise (2), its bias, fall (2)
        for (rise, hidden, error), point in zip(_by_hand(), POINTS, strict=True):
            value = rise[unit]
            slope = 0.5 * (1 + math.erf(value / math.sqrt(2)))
            slope += value * math.exp(-(value**2) / 2) / math.sqrt(2 * math.pi)
            back = slope * sum(w * e for w, e in zip(fall_weight[unit], error, strict=True))
            gradients.append([back * point[0], back * point[1], back, *(hidden[unit] * e for e in error)])
        weights = [*rise_weight[unit], 0.0, *fall_weight[unit]]
        total = 0.0
        for index, weight in enumerate(weights):
            first = (gradients[0][index] + gradients[1][index]) / 2
            second = (gradients[0][index] ** 2 + gradients[1][index] ** 2) / 2
            total += abs(first * weight - 0.5 * second * weight**2)
        expected.append(total)
    network = _two().requires_grad_(False)
    assert coupled_saliency(network, SAMPLE)["feed"].tolist() == pytest.approx(expected, rel=1e-5)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_sliced_network_copies_only_what_is_cut_out_when_units_are_not_the_first() -> None:
    network = _two()
    assert copied_bytes(network, sliced(network, prefix({"feed": 1}))) == 0
    assert copied_bytes(network, sliced(network, {"feed": [1]})) == 4 * (2 + 1 + 2)


def test_torch_pruning_names_the_package_when_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(ConfigError, match="pip install torch-pruning"):
        RULES["torch_pruning"].score(_two(), SAMPLE)


def test_every_rule_names_its_paper_when_listed() -> None:
    assert all(name == rule.name for name, rule in RULES.items())
    assert all("arXiv" in rule.source for name, rule in RULES.items() if name != "random")


def test_synflow_ranks_by_the_flow_through_absolute_weights_when_there_is_one_layer() -> None:
    network = Fed(4, channels=24, block=4)
    sample = Calibration({"a": torch.randn(3, 5, 4)}, torch.zeros(3, dtype=torch.long))
    feed = network.feed
    hidden = feed.rise.abs().sum(dim=1) + feed.rise_bias.abs()
    flow = (hidden * feed.fall.abs().sum(dim=1)).reshape(6, 4).sum(dim=1)
    assert synflow(network, sample)["feed"].argsort().tolist() == flow.argsort().tolist()
