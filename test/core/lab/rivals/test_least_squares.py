"""The least-squares refit: exact where kept units say what pruned ones said, and closer where they do not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from classifiers import copied_bytes
from networks import Fed
from torch import nn

from sentryfuse_core.lab.rivals import RULES
from sentryfuse_core.lab.rivals.least_squares import refit, refitted, ridge_fit
from sentryfuse_core.lab.rivals.rule import Calibration, Rule
from sentryfuse_core.model.backbones import ClassifierShape, Stream, make_backbone
from sentryfuse_core.pruning.costs import measure_costs

ALL = frozenset({"a"})


def _twins() -> Fed:
    """Three units, the last of which has the hidden values of the first and smaller outgoing weights."""
    made = Fed(4, channels=6, block=2)
    with torch.no_grad():
        made.feed.rise[4:] = made.feed.rise[:2]
        made.feed.fall[4:] *= 0.1
    return made


def _trunk() -> tuple[nn.Module, Calibration]:
    torch.manual_seed(0)
    shape = ClassifierShape(dim=8, layers=2, heads=4, kv_heads=4, ffn=16, ffn_block=2)
    network = make_backbone(shape, {"a": Stream(6, 3)}, 3).eval()
    return network, Calibration({"a": torch.randn(64, 6, 3)}, torch.randint(3, (64,)))


def test_refit_is_exact_when_a_pruned_unit_is_a_combination_of_kept_ones() -> None:
    network = _twins()
    sample = Calibration({"a": torch.randn(40, 3, 4)}, torch.zeros(40, dtype=torch.long))
    costs = {ALL: measure_costs(network, {"a": torch.zeros(1, 3, 4)})}
    rule = replace(RULES["magnitude"], mend=partial(refit, ridge=1e-9))
    pruned = rule.prepare(network, {ALL: sample}, costs)
    unseen = {"a": torch.randn(9, 3, 4)}
    assert pruned.kept(ALL, 0.3) == {"feed": [0, 1]}
    torch.testing.assert_close(pruned.at(ALL, 0.3)(unseen), network(unseen), atol=1e-5, rtol=1e-5)


def test_refit_changes_nothing_when_nothing_is_pruned() -> None:
    network, sample = _trunk()
    costs = {ALL: measure_costs(network, {"a": torch.zeros(1, 6, 3)})}
    small = RULES["lsq_taylor_per_mask"].prepare(network, {ALL: sample}, costs).at(ALL, 0.0)
    torch.testing.assert_close(small(sample.inputs), network(sample.inputs), atol=1e-5, rtol=1e-5)


def test_refit_comes_closer_to_the_full_network_when_units_are_pruned() -> None:
    network, sample = _trunk()
    costs = {ALL: measure_costs(network, {"a": torch.zeros(1, 6, 3)})}
    goal = network(sample.inputs).detach()

    def error(rule: Rule) -> float:
        small = rule.prepare(network, {ALL: sample}, costs).at(ALL, 0.5)
        return (small(sample.inputs).detach() - goal).square().mean().item()

    assert error(refitted(RULES["random"])) < error(RULES["random"])


def test_refit_needs_its_own_outgoing_matrices_when_memory_is_counted() -> None:
    network, sample = _trunk()
    costs = {ALL: measure_costs(network, {"a": torch.zeros(1, 6, 3)})}
    rule = refitted(RULES["random"])
    small = rule.prepare(network, {ALL: sample}, costs).at(ALL, 0.0)
    assert copied_bytes(network, small) == 2 * 4 * ((8 + 16) * 8 + 2 * 8)  # two layers, both outgoing maps


def test_ridge_fit_keeps_the_old_weights_when_the_ridge_is_huge() -> None:
    torch.manual_seed(0)
    hidden, target, old = torch.randn(30, 4), torch.randn(30, 2), torch.randn(4, 2)
    weight, bias = ridge_fit(hidden, target, old, ridge=1e9)
    torch.testing.assert_close(weight, old, atol=1e-5, rtol=0)
    torch.testing.assert_close(bias, target.mean(dim=0) - hidden.mean(dim=0) @ old, atol=1e-5, rtol=0)


def test_ridge_fit_finds_weights_and_bias_when_the_target_is_linear() -> None:
    torch.manual_seed(0)
    hidden, true = torch.randn(30, 4), torch.randn(4, 2)
    weight, bias = ridge_fit(hidden, hidden @ true + 3.0, torch.zeros(4, 2), ridge=1e-12)
    torch.testing.assert_close(weight, true, atol=1e-5, rtol=0)
    torch.testing.assert_close(bias, torch.full((2,), 3.0), atol=1e-5, rtol=0)


def test_ridge_fit_gives_the_mean_when_no_unit_is_left() -> None:
    target = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    _, bias = ridge_fit(torch.zeros(2, 0), target, torch.zeros(0, 2), ridge=1e-2)
    assert bias.tolist() == [2.0, 4.0]
