"""Plans: MACs by formula are what torch counts, and levels keep what they say."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from networks import TINY, model_input, network
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.pruning.plan import plan_table
from sentryfuse_core.types import ModalitySet, PartLevels

APART = replace(TINY, camera_halved=(1.0, 0.5), audio_widths=(1.0, 0.5))


@pytest.mark.parametrize(
    "parts",
    [PartLevels(), TINY.uniform(1), PartLevels(camera=2, head=1), PartLevels(camera=3, lidar=1, audio=1)],
    ids=["full", "uniform", "half image", "apart"],
)
@pytest.mark.parametrize("bits", range(16))
def test_macs_equal_what_torch_counts_when_any_sensors_are_present(bits: int, parts: PartLevels) -> None:
    mask = ModalitySet(bits)
    # The fused CPU kernel is invisible to the counter; the plain one is two matrix products.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(shape=APART)(model_input(batch=1).only(mask), parts=parts)
    assert count_macs(APART, GEOMETRY, mask, parts).total == counter.get_total_flops() // 2


def test_plan_table_halves_every_prunable_unit_when_the_level_is_half() -> None:
    table = plan_table(TINY)
    assert len(table) == 32
    for (bits, level), plan in table.items():
        assert plan.mask == ModalitySet(bits)
        assert plan.kind == "uniform"
        assert plan.ratio == 0.0 if level == 0 else 0.5 <= plan.ratio < 0.8  # whole blocks of channels
        assert (plan.heads_kept, plan.heads_total) == ((8, 8), (4, 8))[level]
        assert (plan.channels_kept, plan.channels_total) == ((128, 128), (64, 128))[level]


def test_plan_table_costs_less_when_sensors_are_absent() -> None:
    table = plan_table(TINY)
    everything = table[ModalitySet.all().bits, 0].gmacs
    assert all(table[bits, 0].gmacs < everything for bits in range(15))
    assert all(table[bits, 1].gmacs < table[bits, 0].gmacs for bits in range(16))


def test_plan_table_has_every_level_of_the_manifest_when_there_are_more_than_two() -> None:
    table = plan_table(replace(TINY, widths=(1.0, 0.75, 0.5, 0.25, 0.1)))
    plans = [table[ModalitySet.all().bits, level] for level in range(5)]
    assert len(table) == 16 * 5
    assert [plan.channels_kept for plan in plans] == [128, 96, 64, 32, 32]  # at least one block a layer
    assert [plan.heads_kept for plan in plans] == [8, 8, 4, 4, 4]  # whole groups, at least one a layer
    assert all(wide.gmacs >= narrow.gmacs for wide, narrow in itertools.pairwise(plans))
