"""References on labelled batches: what is zeroed, what an oracle sees, what is levelled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import labelled, model_input, network
from worlds import conditioned

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.training.references import ZeroFilled, clustered, oracle, zero_filled
from sentryfuse_core.preprocess.tilt import to_level, upright
from sentryfuse_core.types import Modality, ModalitySet


def test_zeros_replace_only_absent_sensors_when_filled() -> None:
    inputs = replace(model_input(batch=2), tilt=torch.ones(2, 2))
    found = zero_filled(inputs, ModalitySet.of(Modality.LIDAR))
    assert found.present == ModalitySet.all()
    assert torch.equal(found.lidar, inputs.lidar)
    assert torch.equal(found.camera_position, inputs.camera_position)
    for tensor in (found.camera, found.imu, found.tilt, found.audio):
        assert not tensor.any()
    assert torch.equal(zero_filled(inputs, ModalitySet.all()).camera, inputs.camera)


def test_zeros_give_other_boxes_than_absence_when_run() -> None:
    net, batch = network(), conditioned(batch=2)
    mask = ModalitySet.of(Modality.LIDAR)
    with torch.inference_mode():
        found = ZeroFilled(net, [mask, ModalitySet.all()])(batch)
        full = net(batch.inputs)
        absent = net(batch.inputs.only(mask))
    assert set(found) == {("zeros lidar", 0), ("zeros camera+lidar+imu+audio", 0)}
    best = found["zeros camera+lidar+imu+audio", 0][0].scores.max()
    assert best == pytest.approx(full.heatmap[0].sigmoid().max().item(), abs=1e-5)
    zeros = found["zeros lidar", 0][0].scores.max()
    assert abs(zeros - absent.heatmap[0].sigmoid().max().item()) > 1e-5


def test_oracle_boxes_what_a_sensor_sees_when_asked() -> None:
    batch = conditioned(batch=4)
    found = oracle(batch)
    boxes = {name: sum(map(len, frames)) for (name, _), frames in found.items()}
    assert boxes["oracle camera"] <= boxes["oracle lidar"] == boxes["oracle camera+lidar"]
    assert all(frame.scores.tolist() == [1.0] * len(frame) for frame in found["oracle lidar", 0])
    with pytest.raises(EvaluationError, match="without visibility"):
        oracle(labelled())


def test_clusters_are_level_when_the_imu_knows_the_tilt() -> None:
    rng = np.random.default_rng(0)
    person = np.column_stack(
        [rng.uniform(24.7, 25.3, 60), rng.uniform(-0.3, 0.3, 60), rng.uniform(0, 1.7, 60)]
    )
    ground = np.column_stack([rng.uniform(20, 30, 400), rng.uniform(-8, 8, 400), np.zeros(400)])
    level = torch.tensor(np.concatenate([person, ground]), dtype=torch.float32)
    tilt = torch.tensor([[0.0, 0.03]])
    raw = to_level(upright(tilt).transpose(1, 2)[:, None], level[None])  # the vehicle's axes
    points = torch.cat([raw, torch.zeros_like(raw[..., :1])], dim=-1)
    batch = conditioned(batch=1)
    batch = replace(batch, points=points, inputs=replace(batch.inputs, tilt=tilt))
    found = clustered(batch)
    with_imu = found["clustering lidar+imu", 0][0]
    assert with_imu.classes.tolist() == [1]
    assert with_imu.boxes[0, :2] == pytest.approx([25.0, 0.0], abs=0.3)
    assert len(found["clustering lidar", 0][0]) != 1 or found["clustering lidar", 0][0].classes.tolist() != [
        1
    ]
    with pytest.raises(EvaluationError, match="without lidar points"):
        clustered(labelled())
