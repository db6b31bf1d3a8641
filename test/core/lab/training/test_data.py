"""Training data: reproducible, never the held-out frames, and true to itself in a mirror."""

from __future__ import annotations

import pytest
import torch
from networks import TINY, labelled

from sentryfuse_core.lab.training.data import LabelledBatch, held_out, make_batch
from sentryfuse_core.lab.training.mirror import mirror
from sentryfuse_core.lab.training.pool import SamplePool
from sentryfuse_core.lab.world.config import world_v2
from sentryfuse_core.model.lift import ViewLift
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.types import ModalitySet


@pytest.fixture(scope="module")
def world_batch() -> LabelledBatch:
    return make_batch(world_v2(), batch=2, seed=0, step=5)


def test_world_batch_has_every_sensor_and_boxes_when_made(world_batch: LabelledBatch) -> None:
    assert world_batch.inputs.present == ModalitySet.all()
    assert world_batch.boxes.shape[::2] == (2, 7)
    assert (world_batch.classes >= 0).any()
    for tensor in (world_batch.inputs.camera, world_batch.inputs.lidar, world_batch.inputs.audio):
        assert tensor is not None
        assert bool(tensor.isfinite().all())
        assert tensor.std() > 0.01


def test_world_batch_repeats_only_when_seed_and_step_do(world_batch: LabelledBatch) -> None:
    again = make_batch(world_v2(), batch=2, seed=0, step=5)
    (unseen,) = held_out(world_v2(), batch=2, count=1)
    assert torch.equal(again.boxes, world_batch.boxes)
    assert again.inputs.camera is not None
    assert world_batch.inputs.camera is not None
    assert torch.equal(again.inputs.camera, world_batch.inputs.camera)
    assert not torch.equal(unseen.boxes, world_batch.boxes)


def test_mirror_returns_the_same_when_done_twice() -> None:
    batch, everyone = labelled(batch=3), torch.ones(3, dtype=torch.bool)
    twice = mirror(mirror(batch, everyone), everyone)
    assert torch.equal(twice.boxes, batch.boxes)
    assert twice.inputs.lidar is not None
    assert batch.inputs.lidar is not None
    assert torch.equal(twice.inputs.lidar, batch.inputs.lidar)


def test_mirror_keeps_boxes_where_the_camera_sees_them_when_turned() -> None:
    batch = labelled(batch=1)
    assert batch.inputs.camera_position is not None
    turned = mirror(batch, torch.tensor([True]))
    assert turned.inputs.camera_position is not None
    lift, level = ViewLift(TINY, GEOMETRY), torch.zeros(1, 2)
    before, _, _ = lift.project(batch.inputs.camera_position, batch.boxes[0, :, :2], level)
    after, _, _ = lift.project(turned.inputs.camera_position, turned.boxes[0, :, :2], level)
    # The cell's four sample points swap sides with the image.
    swapped = after[0].view(-1, 2, 2, 2, 2).flip(2).flatten(1, 3)
    across = GEOMETRY.image_width - before[0, ..., 0]
    torch.testing.assert_close(swapped[..., 0], across, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(swapped[..., 1], before[0, ..., 1], atol=1e-3, rtol=1e-4)


def test_mirror_turns_the_true_tilt_with_the_frames_when_it_is_known(world_batch: LabelledBatch) -> None:
    assert world_batch.attitude is not None
    turned = mirror(world_batch, torch.tensor([True, False])).attitude
    assert turned is not None
    roll, pitch = world_batch.attitude[0].tolist()
    assert turned[0].tolist() == [-roll, pitch]
    assert torch.equal(turned[1], world_batch.attitude[1])


def test_batch_rows_keep_the_true_tilt_when_some_are_taken(world_batch: LabelledBatch) -> None:
    taken = world_batch.rows(1, 2).attitude
    assert taken is not None
    assert world_batch.attitude is not None
    assert torch.equal(taken, world_batch.attitude[1:])


def test_pool_keeps_the_true_tilt_when_it_is_known(world_batch: LabelledBatch) -> None:
    kept = SamplePool(lambda _: world_batch, reuse=1)(0).attitude
    assert kept is not None
    assert world_batch.attitude is not None
    assert set(kept[:, 1].tolist()) <= set(world_batch.attitude[:, 1].tolist())


def test_mirror_touches_only_the_chosen_frames_when_some_are_chosen() -> None:
    batch = labelled(batch=2)
    turned = mirror(batch, torch.tensor([False, True]))
    assert torch.equal(turned.boxes[0], batch.boxes[0])
    assert torch.equal(turned.boxes[1, :, 1], -batch.boxes[1, :, 1])


def test_pool_makes_a_batch_every_few_steps_when_samples_are_reused() -> None:
    made: list[int] = []

    def make(step: int) -> LabelledBatch:
        made.append(step)
        return labelled(step, batch=4)

    pool = SamplePool(make, reuse=3)
    batches = [pool(step) for step in range(7)]
    assert made[-3:] == [0, 3, 6]
    assert len(set(made)) == len(made) == 12 + 3
    assert min(made[:12]) > 2**18
    assert all(len(batch.boxes) == 4 for batch in batches)
    assert not torch.equal(batches[0].boxes, batches[1].boxes)


def test_pool_draws_from_the_newest_batches_alone_when_more_were_made() -> None:
    pool = SamplePool(lambda number: labelled(number, batch=4), reuse=1, kept=2)
    drawn = [pool(step) for step in range(5)]
    made = [labelled(number, batch=4) for number in (3, 4)]
    newest = torch.cat([batch.boxes[..., 2] for batch in made])  # heights: the same in a mirror
    for height in drawn[-1].boxes[..., 2]:
        assert (newest == height).all(dim=1).any()
