"""Plans: MACs by formula are what torch counts, and levels keep what they say."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from networks import TINY, model_input, network
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.pruning.part_gate import Choice, UniformGate
from sentryfuse_core.pruning.plan import kind_of, make_plan
from sentryfuse_core.types import Modality, ModalitySet, PartLevels, Plan

APART = replace(TINY, canvas_pool=4, camera_halved=(1.0, 0.5), audio_widths=(1.0, 0.5))


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


def plan(shape: ModelShape, bits: int, level: int) -> Plan:
    mask, gate = ModalitySet(bits), UniformGate(shape)
    return make_plan(shape, gate.choose(mask, level), present=mask, level=level, kind=kind_of(gate))


@pytest.mark.parametrize("bits", range(16))
def test_plan_halves_every_prunable_unit_when_the_level_is_half(bits: int) -> None:
    full, half = (plan(TINY, bits, level) for level in (0, 1))
    assert full.mask == half.mask == ModalitySet(bits)
    assert full.kind == "uniform"
    assert full.ratio == 0.0
    assert 0.5 <= half.ratio < 0.8  # whole blocks of channels
    assert (full.heads_kept, full.heads_total) == (8, 8)
    assert (half.heads_kept, half.heads_total) == (4, 8)
    assert (half.channels_kept, half.channels_total) == (64, 128)
    assert half.gmacs < full.gmacs
    assert full.gmacs <= plan(TINY, 15, 0).gmacs


def test_plan_is_of_every_level_of_the_manifest_when_there_are_more_than_two() -> None:
    shape = replace(TINY, widths=(1.0, 0.75, 0.5, 0.25, 0.1))
    plans = [plan(shape, 15, level) for level in range(5)]
    assert [plan.channels_kept for plan in plans] == [128, 96, 64, 32, 32]  # at least one block a layer
    assert [plan.heads_kept for plan in plans] == [8, 8, 4, 4, 4]  # whole groups, at least one a layer
    assert all(wide.gmacs >= narrow.gmacs for wide, narrow in itertools.pairwise(plans))


def test_plan_says_what_was_left_of_all_sensors_when_the_gate_leaves_one_out() -> None:
    everything, lidar = ModalitySet.all(), ModalitySet.of(Modality.LIDAR)
    choice = Choice(lidar, PartLevels(lidar=1), 0.0, 0.0, "camera off: its data is poor")
    made = make_plan(TINY, choice, present=everything, level=0, kind="gate")
    assert (made.mask, made.parts, made.words) == (lidar, PartLevels(lidar=1), choice.words)
    assert made.ratio > 0.5  # of what all sensors at full width would take
