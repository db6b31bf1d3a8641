"""FLAP: the metric by hand, and biases that make up exactly for units that never change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import Fed
from torch import nn

from sentryfuse_core.lab.rivals import RULES
from sentryfuse_core.lab.rivals.flap import fluctuation, standardised
from sentryfuse_core.lab.rivals.rule import Calibration
from sentryfuse_core.pruning.costs import measure_costs

ALL = frozenset({"a"})


def _feed() -> Fed:
    """Three units of two channels, the last two of which give constants."""
    made = Fed(3, channels=6, block=2)
    with torch.no_grad():
        made.feed.rise[2:] = 0.0
        made.feed.rise_bias.copy_(torch.randn(6))
    return made


def _sample(seed: int) -> Calibration:
    generator = torch.Generator().manual_seed(seed)
    return Calibration({"a": torch.randn(16, 5, 3, generator=generator)}, torch.zeros(16, dtype=torch.long))


def test_flap_is_exact_when_pruned_hidden_values_are_constant() -> None:
    network = _feed()
    costs = {ALL: measure_costs(network, {"a": torch.zeros(1, 5, 3)})}
    pruned = RULES["flap"].prepare(network, {ALL: _sample(1)}, costs)
    unseen = _sample(2).inputs
    assert pruned.kept(ALL, 0.6) == {"feed": [0]}
    torch.testing.assert_close(pruned.at(ALL, 0.6)(unseen), network(unseen))
    bare = replace(RULES["flap"], mend=None).prepare(network, {ALL: _sample(1)}, costs).at(ALL, 0.6)
    assert (bare(unseen) - network(unseen)).abs().max() > 0.01


def test_flap_scores_standardised_variance_times_power_when_computed_by_hand() -> None:
    network, sample = _feed(), _sample(1)
    feed = network.feed
    hidden = nn.functional.gelu(sample.inputs["a"] @ feed.rise.T + feed.rise_bias).reshape(-1, 6)
    channels = []
    for index in range(6):
        values = hidden[:, index].tolist()
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        channels.append(variance * sum(weight**2 for weight in feed.fall[index].tolist()))
    mean = sum(channels) / 6
    spread = (sum((channel - mean) ** 2 for channel in channels) / 5) ** 0.5
    level = [(channel - mean) / spread for channel in channels]
    expected = [(level[2 * unit] + level[2 * unit + 1]) / 2 for unit in range(3)]
    assert fluctuation(network, sample)["feed"].tolist() == pytest.approx(expected, rel=1e-4)


def test_standardised_is_zero_when_all_channels_are_alike() -> None:
    assert standardised(torch.ones(4), 2).tolist() == [0.0, 0.0]
