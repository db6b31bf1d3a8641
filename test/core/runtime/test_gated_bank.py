"""A bank of weights with a gate: plans by presence and quality, told in words, run as they say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gated import CAMERA, LIDAR, SHAPE, gated_bank, measured_input
from networks import model_input, network

from sentryfuse_core.lab.bench.runtime.memory import live_bytes
from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint
from sentryfuse_core.preprocess.quality import MEASURES, quality
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.types import Modality, ModalitySet, PartLevels


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return gated_bank(tmp_path_factory.mktemp("gated"))


def test_gated_bank_plans_by_worth_and_says_so(bank: Bank) -> None:
    plan = bank.plan(CAMERA | LIDAR, 1, "a deadline")
    assert plan.kind == "gate"
    assert plan.parts == PartLevels(camera=2, trunk=1, head=1)
    assert plan.words == "camera at half width of half an image: the lidar sees; worth 0.2 points"
    assert plan.reason == "a deadline"
    assert bank.plan(CAMERA, 1, "").parts.camera == 0
    assert list(bank.levels) == sorted(bank.levels, reverse=True)
    assert bank.levels[0] == 1.0


def test_gated_bank_leaves_a_poor_sensor_out(bank: Bank) -> None:
    plan = bank.plan(CAMERA | LIDAR, 0, "", CAMERA)
    assert plan.mask == LIDAR
    assert plan.words == "camera off: its data is poor; gains 1.0 points"
    assert 0.0 < plan.ratio < 1.0


def test_gated_bank_runs_the_parts_of_the_plan(bank: Bank) -> None:
    inputs = model_input(batch=1).only(CAMERA | LIDAR)
    plan = bank.plan(CAMERA | LIDAR, 1, "")
    with torch.inference_mode():
        expected = bank.network(inputs, parts=plan.parts).heatmap
    found = EagerBackend(bank).run(inputs, plan).heatmap
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_bank_tells_no_trust_when_nothing_was_measured(bank: Bank) -> None:
    inputs = model_input(batch=1)
    assert bank.trust(inputs) == {}
    trust = bank.trust(replace(inputs, quality=torch.zeros(1, len(MEASURES))))
    assert set(trust) == set(Modality)
    assert all(value == pytest.approx(1.0) for value in trust.values())
    assert bank.gate.poor({Modality.CAMERA: 0.2, Modality.LIDAR: 0.9}) == CAMERA


def test_gated_bank_holds_less_than_two_networks_when_all_sub_networks_ran(tmp_path: Path) -> None:
    before = live_bytes("cpu")
    net = network(shape=SHAPE)
    one_model = live_bytes("cpu") - before
    del net
    inputs = measured_input()
    before = live_bytes("cpu")
    bank = gated_bank(tmp_path)
    backend = EagerBackend(bank)
    for plan in bank.sub_networks:
        backend.run(inputs.only(plan.mask), plan)
    assert len(bank.sub_networks) > len(ModalitySet.subsets())
    # Beside the weights parts keep constants, which weigh most in a network as small as this.
    assert live_bytes("cpu") - before <= 2.0 * one_model


def test_shipped_gate_never_spends_more_at_a_further_level_nor_less_on_a_camera_that_is_alone() -> None:
    shipped = Bank(load_checkpoint(SHIPPED))
    everything, camera = ModalitySet.all(), CAMERA | ModalitySet.of(Modality.IMU)
    together = [shipped.plan(everything, level, "") for level in shipped.loaded]
    alone = [shipped.plan(camera, level, "") for level in shipped.loaded]
    assert (together[0].mask, together[0].parts) == (everything, PartLevels())
    assert all(after.gmacs <= before.gmacs for before, after in itertools.pairwise(together))
    assert together[-1].gmacs < together[1].gmacs < together[0].gmacs
    assert together[1].words
    for one, both in zip(alone, together, strict=True):
        assert Modality.CAMERA not in both.mask or one.parts.camera <= both.parts.camera
    assert shipped.trust(measured_input(0)).keys() == set(Modality)


@pytest.mark.parametrize(
    ("turns_rad_s", "noise_rad_s", "trusted"),
    [((0.0, 0.0, 2.0), 0.02, True), ((0.0, 0.0, 0.0), 1.0, False), ((1.0, 1.0, 1.0), 0.02, False)],
    ids=["turns", "noisy", "biased"],
)
def test_shipped_weights_trust_the_imu_of_a_robot_that_turns_and_not_a_bad_one(
    turns_rad_s: tuple[float, float, float], noise_rad_s: float, *, trusted: bool
) -> None:
    moves = noise_rad_s * torch.randn(1, 32, 6, generator=torch.Generator().manual_seed(0))
    moves += torch.tensor([*turns_rad_s, 0.0, 0.0, 9.81])
    inputs = ModelInput(imu=moves)
    trust = Bank(load_checkpoint(SHIPPED)).trust(replace(inputs, quality=quality(inputs)))
    assert (trust[Modality.IMU] > 0.9) is trusted
