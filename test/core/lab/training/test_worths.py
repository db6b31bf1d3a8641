"""The gate's table and the policies that use it, measured on a few frames of a small network."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gated import CAMERA, LIDAR, SHAPE
from networks import network

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.evaluation.matching import match_frames
from sentryfuse_core.lab.scoring.resample import map_of
from sentryfuse_core.lab.training.data import LabelledBatch, make_batch
from sentryfuse_core.lab.training.detections import frames_of, truth_of
from sentryfuse_core.lab.training.fault_table import fault_table
from sentryfuse_core.lab.training.foretold import Narrowing, rank_agreement
from sentryfuse_core.lab.training.losses import detection_loss, frame_losses
from sentryfuse_core.lab.training.part_runner import PartRunner
from sentryfuse_core.lab.training.part_saliency import part_saliency
from sentryfuse_core.lab.training.policies import POLICIES, outcomes, run_plans
from sentryfuse_core.lab.training.targets import make_targets
from sentryfuse_core.lab.training.worths import measure_worths, priced, shrunk
from sentryfuse_core.lab.world.config import world_v2
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.pruning.part_gate import Cell, PartGate
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

EVERYTHING = ModalitySet.all()


@pytest.fixture(scope="module")
def batch() -> LabelledBatch:
    return make_batch(world_v2(), batch=12, seed=2, step=3, ages_s=(0.2, 0.2))


@pytest.fixture(scope="module")
def net(batch: LabelledBatch) -> SentryFuseNet:
    """A network that takes dark images for poor ones."""
    made = network(shape=SHAPE)
    assert made.trust is not None
    assert batch.inputs.quality is not None
    made.trust.centre.copy_(batch.inputs.quality.mean(dim=0))
    with torch.no_grad():
        made.trust.hidden.weight.zero_()
        made.trust.hidden.weight[0, 2] = 100.0  # camera.dark
        made.trust.trust.weight[0, 0] = -100.0
    return made


def test_runner_answers_as_the_network_does_when_parts_are_mixed(
    net: SentryFuseNet, batch: LabelledBatch
) -> None:
    with torch.inference_mode():
        runner = PartRunner(net, batch.inputs, batch=12)
        for mask in (EVERYTHING, CAMERA, LIDAR | ModalitySet.of(Modality.IMU)):
            for parts in (PartLevels(), PartLevels(camera=2, trunk=1), net.shape.narrowest):
                wanted = net(batch.inputs.only(mask), parts=parts)
                torch.testing.assert_close(runner(mask, parts).heatmap, wanted.heatmap)


def test_frame_losses_add_up_to_the_loss_that_is_trained(net: SentryFuseNet, batch: LabelledBatch) -> None:
    targets = make_targets(batch.boxes, batch.classes, class_count=3)
    with torch.inference_mode():
        output = net(batch.inputs)
        each = frame_losses(output, targets)
    assert each.shape == (12,)
    torch.testing.assert_close(each.mean(), detection_loss(output, targets))


def test_worths_are_points_lost_with_good_and_poor_sensors(
    net: SentryFuseNet, batch: LabelledBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentryfuse_core.lab.training.worths._LEAST_FRAMES", 1)
    monkeypatch.setattr("sentryfuse_core.lab.training.worths._SURE_FRAMES", 0)
    worths = measure_worths(net, [batch, batch])
    good = worths.cells[Cell(CAMERA | LIDAR)]
    assert set(good) == {"camera", "lidar", "trunk", "head"}
    assert [len(good[name]) for name in ("camera", "lidar", "trunk")] == [3, 2, 2]
    assert all(row[0] == 0.0 for row in good.values())
    assert any(cell.poor == CAMERA for cell in worths.cells)  # some of the spoilt images were dark
    assert all(cell.poor & CAMERA == cell.poor for cell in worths.cells)
    truth = [*truth_of(batch.boxes, batch.classes)] * 2
    mask = CAMERA | LIDAR | ModalitySet.of(Modality.IMU)
    with torch.inference_mode():
        runner = PartRunner(net, batch.inputs, batch=12)
        full, narrow = (
            100.0 * map_of(match_frames(truth, [*frames_of(runner(mask, parts), ())] * 2, class_count=3))
            for parts in (PartLevels(), PartLevels(trunk=1))
        )
    assert good["trunk"][1] == pytest.approx(max(0.0, full - narrow), abs=1e-6)


def test_worths_of_few_frames_are_what_the_loss_says_elsewhere() -> None:
    measured = {"many": (2.0, 0.1, 10**6), "few": (-30.0, 0.2, 1)}
    found = shrunk(measured, slope=20.0)
    assert found["many"] == pytest.approx(2.0, abs=0.01)
    assert found["few"] == pytest.approx(4.0, abs=0.4)


def test_worths_raise_when_there_are_too_few_frames(net: SentryFuseNet) -> None:
    with pytest.raises(EvaluationError, match="too few"):
        measure_worths(net, [], spoil=False)


def test_prices_rise_and_less_runs_when_shares_fall(net: SentryFuseNet, batch: LabelledBatch) -> None:
    worths = priced(measure_worths(net, [batch], spoil=False), net, shares=(1.0, 0.7, 0.6))
    assert worths.prices[0] == 0.0
    assert list(worths.prices) == sorted(worths.prices)
    gate = PartGate(SHAPE, worths)
    costs = [gate.choose(EVERYTHING, level).gmacs for level in range(3)]
    assert costs == sorted(costs, reverse=True)


def test_policies_are_compared_on_the_same_frames(net: SentryFuseNet, batch: LabelledBatch) -> None:
    gate = PartGate(SHAPE, priced(measure_worths(net, [batch], spoil=False), net, shares=(1.0, 0.6)))
    masks = [EVERYTHING, CAMERA]
    run = run_plans(net, gate, [batch], masks=masks)
    found = outcomes(net, gate, run, masks=masks, classes=3)
    assert {outcome.policy for outcome in found} == set(POLICIES)
    assert {outcome.matches.frames for outcome in found} == {12}
    by_key = {(outcome.policy, outcome.level, outcome.present): outcome for outcome in found}
    full = by_key["uniform", 0, EVERYTHING]
    assert by_key["presence", 0, EVERYTHING].gmacs == full.gmacs
    assert by_key["presence", 1, EVERYTHING].gmacs < full.gmacs
    assert by_key["oracle", 0, EVERYTHING].gmacs <= full.gmacs


def test_saliency_foretells_nothing_of_half_an_image_and_more_of_more_channels(batch: LabelledBatch) -> None:
    shape = replace(SHAPE, lidar_channels=(24, 32), widths=(1.0, 0.5, 0.25))
    targets = make_targets(batch.boxes, batch.classes, class_count=3)
    found = part_saliency(network(shape=shape), batch.inputs, targets)
    assert set(found) == {"camera", "lidar", "trunk", "head"}
    assert found["lidar"][0] == 0.0
    assert 0.0 < found["lidar"][1] <= found["lidar"][2]
    assert found["trunk"][1] > 0.0
    half = replace(SHAPE, camera_halved=(1.0,))
    assert math.isnan(part_saliency(network(shape=half), batch.inputs, targets)["camera"][2])


def test_ranks_agree_when_saliency_orders_parts_as_what_was_measured() -> None:
    rows = [Narrowing("a", 1, 0.1, 3.0), Narrowing("b", 1, 0.2, 5.0), Narrowing("c", 1, 0.3, 700.0)]
    untold = Narrowing("camera", 2, 9.0, math.nan)
    assert rank_agreement([*rows, untold]) == pytest.approx(1.0)
    assert rank_agreement([replace(one, saliency=-one.saliency) for one in rows]) == pytest.approx(-1.0)
    assert math.isnan(rank_agreement([*rows[:2], untold]))


def test_fault_table_sets_a_bad_sensor_against_its_absence(net: SentryFuseNet, batch: LabelledBatch) -> None:
    rows = fault_table(net, lambda _: [batch], classes=3, severities=(3,))
    dark = next(row for row in rows if row.fault == "black")
    clean = next(row for row in rows if row.fault == "turned" and row.sensor is Modality.LIDAR)
    assert dark.sensor is Modality.CAMERA
    assert dark.trust < 0.01
    assert clean.trust > 0.99
    assert dark.bad.frames == dark.without.frames == dark.clean.frames == 12


def test_fault_table_leaves_out_what_health_finds_frozen_when_a_gate_decides_as_on_the_robot(
    net: SentryFuseNet, batch: LabelledBatch
) -> None:
    gate = PartGate(SHAPE, priced(measure_worths(net, [batch], spoil=False), net, shares=(1.0,)))
    rows = fault_table(net, lambda _: [batch], classes=3, severities=(3,), gate=gate)
    frozen = [row for row in rows if row.fault == "freeze"]
    assert {row.sensor for row in frozen} == {Modality.CAMERA, Modality.LIDAR}
    for row in frozen:
        np.testing.assert_array_equal(row.bad.scores, row.without.scores)
        assert not np.array_equal(row.bad.scores, row.clean.scores)
        assert math.isnan(row.trust)
