"""Spoilt frames: one sensor alone is another, and measures tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import labelled

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.datasets.driving import LabelledFrame
from sentryfuse_core.lab.training.data import LabelledBatch, make_batch
from sentryfuse_core.lab.training.frame_table import tables_of
from sentryfuse_core.lab.training.mirror import mirror
from sentryfuse_core.lab.training.pool import SamplePool
from sentryfuse_core.lab.training.spoiling import spoilt, spoilt_at_random
from sentryfuse_core.lab.world.config import world_v2
from sentryfuse_core.preprocess.audio import bearing_features
from sentryfuse_core.preprocess.lidar import pillars
from sentryfuse_core.preprocess.tensors import UNSEEN
from sentryfuse_core.types import Modality

TENSORS = {
    Modality.CAMERA: {"camera"},
    Modality.LIDAR: {"lidar"},
    Modality.IMU: {"imu", "tilt"},
    Modality.AUDIO: {"audio"},
}


@pytest.fixture(scope="module")
def batch() -> LabelledBatch:
    return make_batch(world_v2(), batch=3, seed=1, step=7, ages_s=(0.5, 0.5))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("sensor", list(Modality))
def test_spoilt_frames_differ_in_one_sensor_and_its_measures_when_a_fault_is_drawn(
    batch: LabelledBatch, sensor: Modality
) -> None:
    found = spoilt_at_random(batch, sensor, generator())
    for name in ("camera", "lidar", "imu", "tilt", "audio"):
        same = torch.equal(getattr(found, name), getattr(batch.inputs, name))
        assert same == (name not in TENSORS[sensor])
    assert found.quality is not None
    assert batch.inputs.quality is not None
    assert not torch.equal(found.quality, batch.inputs.quality)
    again = spoilt_at_random(batch, sensor, generator())
    assert torch.equal(found.quality, again.quality)  # chance comes from the generator alone


def test_spoilt_frames_raise_when_their_raw_data_was_not_kept() -> None:
    with pytest.raises(EvaluationError, match="ages_s"):
        spoilt(labelled(), Modality.CAMERA, "black", 1, generator())


def test_pool_keeps_raw_data_that_gives_the_same_tensors_when_it_packs_them(batch: LabelledBatch) -> None:
    drawn = SamplePool(lambda _: batch, reuse=100, kept=14)(0)
    assert drawn.raw is not None
    assert drawn.raw.points is not None
    assert drawn.raw.pcm is not None
    assert drawn.inputs.lidar is not None
    assert drawn.inputs.audio is not None
    again = pillars(drawn.raw.points)
    assert float((again - drawn.inputs.lidar).abs().mean()) < 0.01
    assert float((bearing_features(drawn.raw.pcm, 0.4) - drawn.inputs.audio).abs().mean()) < 0.02


def test_mirror_turns_raw_data_with_the_tensors_made_from_it(batch: LabelledBatch) -> None:
    turned = mirror(batch, torch.ones(3, dtype=torch.bool))
    assert turned.raw is not None
    assert turned.raw.points is not None
    assert turned.raw.pcm is not None
    assert turned.inputs.lidar is not None
    # Points that lie on the edge of two cells may fall to the other side.
    assert float((pillars(turned.raw.points) - turned.inputs.lidar).abs().mean()) < 0.01
    torch.testing.assert_close(bearing_features(turned.raw.pcm, 0.4), turned.inputs.audio, atol=1e-3, rtol=0)
    assert torch.equal(turned.raw.image, turned.inputs.camera)
    assert torch.equal(turned.raw.tilt, turned.inputs.tilt)


def test_partial_view_goes_with_the_image_through_pool_mirror_table_and_faults(batch: LabelledBatch) -> None:
    seen = torch.ones(3, 1, 32, 96)
    seen[..., :20] = 0.0
    partly = replace(batch, inputs=replace(batch.inputs, camera_seen=seen))
    pooled = SamplePool(lambda step: partly if step % 2 else batch, reuse=100, kept=14)(0).inputs.camera_seen
    assert pooled is not None
    assert {float(row.mean()) for row in pooled} <= {1.0, float(seen[0].mean())}
    turned = mirror(partly, torch.ones(3, dtype=torch.bool)).inputs.camera_seen
    assert torch.equal(turned, seen.flip(3))
    dark = spoilt(partly, Modality.CAMERA, "black", 1, generator())
    assert torch.equal(dark.camera_seen, seen)
    assert dark.camera is not None
    assert (dark.camera[..., :80] == UNSEEN).all()
    assert not dark.camera[..., 80:].any()
    frames = [
        LabelledFrame(item.rows(0, 1).inputs, item.boxes[:1], item.classes[:1]) for item in (batch, partly)
    ]
    rows = tables_of(frames)[0].rows(torch.tensor([0, 1])).inputs.camera_seen
    assert torch.equal(rows, torch.cat((torch.ones_like(seen[:1]), seen[:1])))
