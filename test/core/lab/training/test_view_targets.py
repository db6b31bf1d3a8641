"""View targets: boxes turn up in the image where the camera sees them, at their distance."""

from __future__ import annotations

import pytest
import torch
from networks import boxes

from sentryfuse_core.lab.training.losses import horizon_loss, view_loss
from sentryfuse_core.lab.training.view_targets import ViewTargets, make_view_targets
from sentryfuse_core.model.features import CameraView
from sentryfuse_core.model.ground import Ground
from sentryfuse_core.model.horizon import Horizon
from sentryfuse_core.model.lift import depth_weights
from sentryfuse_core.preprocess.geometry import GEOMETRY

SIZE = (GEOMETRY.image_height // 4, GEOMETRY.image_width // 4)
BINS = 40
POSITION = torch.tensor([[0.5, 0.0, 1.5]])
CAR = (12.5, 3.0, 0.75, 4.0, 1.8, 1.5, 0.0)


def targets_of(*rows: tuple[float, ...], classes: list[int], tilt: torch.Tensor | None = None) -> ViewTargets:
    return make_view_targets(
        boxes(*rows),
        torch.tensor([classes]),
        position=POSITION,
        tilt=tilt,
        ground=Ground(GEOMETRY, SIZE),
        class_count=3,
        bins=BINS,
    )


def peak(heat: torch.Tensor) -> tuple[float, float]:
    """Row and column of the image in the middle of the largest value's pixel."""
    index = int(heat.flatten().argmax())
    return 4 * (index // SIZE[1] + 0.5), 4 * (index % SIZE[1] + 0.5)


def test_view_targets_peak_where_the_box_projects_to_when_it_is_seen() -> None:
    targets = targets_of(CAR, classes=[1])
    row, column = peak(targets.heatmap[0, 1])
    assert targets.heatmap[0, 1].max() == 1.0
    assert targets.heatmap[0, [0, 2]].max() == 0.0
    assert column == pytest.approx(GEOMETRY.image_cx - GEOMETRY.image_fx * 3.0 / 12.0, abs=6.0)
    assert row == pytest.approx(GEOMETRY.image_cy + GEOMETRY.image_fy * 0.75 / 12.0, abs=4.0)
    used = targets.weight[0] > 0
    distance = targets.distance[0][:, used].mean(dim=1)
    torch.testing.assert_close(distance, depth_weights(torch.tensor(12.0), BINS), atol=1e-5, rtol=0.0)
    assert targets.weight.sum().item() == pytest.approx(1.0)


def test_view_targets_move_up_when_the_vehicle_pitches_down() -> None:
    level = peak(targets_of(CAR, classes=[0]).heatmap[0, 0])
    nose_down = torch.tensor([[0.0, 0.1]])  # positive pitch: the nose goes down
    pitched = peak(targets_of(CAR, classes=[0], tilt=nose_down).heatmap[0, 0])
    assert pitched[0] < level[0] - 0.05 * GEOMETRY.image_fy


def test_view_targets_give_a_pixel_to_the_nearer_box_when_two_overlap() -> None:
    near, far = CAR, (25.0, 6.0, *CAR[2:])
    both = targets_of(near, far, classes=[0, 0])
    alone = targets_of(near, classes=[0])
    covered = alone.weight[0] > 0
    torch.testing.assert_close(both.distance[0][:, covered], alone.distance[0][:, covered])


@pytest.mark.parametrize(
    ("row", "class_id"),
    [
        (CAR, -1),  # padding
        ((-8.0, *CAR[1:]), 0),  # behind
        ((6.0, 14.0, *CAR[2:]), 0),  # beside
    ],
)
def test_view_targets_are_empty_when_the_camera_cannot_see_the_box(
    row: tuple[float, ...], class_id: int
) -> None:
    targets = targets_of(row, classes=[class_id])
    assert targets.heatmap.max() == 0.0
    assert targets.weight.max() == 0.0
    assert targets.count == 1


def test_view_targets_keep_a_pixel_when_the_box_is_far_and_small() -> None:
    targets = targets_of((31.0, 0.0, 0.9, 0.3, 0.3, 0.3, 0.0), classes=[2])
    assert targets.heatmap[0, 2].max() == 1.0
    assert (targets.weight > 0).sum() >= 1


def test_view_targets_put_the_foot_where_the_box_stands_when_it_is_seen() -> None:
    targets = targets_of(CAR, classes=[0])
    used = targets.weight[0] > 0
    stands = GEOMETRY.image_cy + GEOMETRY.image_fy * 1.5 / 12.0
    torch.testing.assert_close(
        targets.foot[0][used], torch.full((int(used.sum()),), stands), atol=1e-3, rtol=0.0
    )


def view_of(look: torch.Tensor, foot: torch.Tensor) -> CameraView:
    return CameraView(look, foot, torch.zeros(1, *SIZE), torch.zeros(1, 2))


def test_view_loss_is_least_when_the_view_is_the_truth() -> None:
    targets = targets_of(CAR, classes=[0])
    heat = torch.logit(targets.heatmap.clamp(1e-4, 1 - 1e-4))
    truth = torch.cat((targets.distance.clamp_min(1e-6).log(), heat), dim=1)
    blind = torch.cat((torch.zeros_like(targets.distance), torch.full_like(heat, -2.2)), dim=1)
    entropy = -(targets.distance * targets.distance.clamp_min(1e-9).log()).sum(dim=1)
    least = (entropy * targets.weight).sum().item()
    right = view_loss(view_of(truth, targets.foot), targets)
    assert right.item() == pytest.approx(least, abs=0.3)
    assert view_loss(view_of(blind, targets.foot), targets) > right + 2.0
    assert view_loss(view_of(truth, targets.foot + 20.0), targets) > right + 0.5


def test_horizon_loss_is_least_when_the_view_has_the_true_tilt() -> None:
    horizon, attitude = Horizon(GEOMETRY, SIZE), torch.tensor([[0.02, -0.01]])
    rows = horizon.target(attitude)

    def loss(line: torch.Tensor, tilt: torch.Tensor) -> float:
        chances = horizon.target(line).clamp_min(1e-4).log()
        empty = torch.zeros(1, BINS + 3, *SIZE)
        return horizon_loss(CameraView(empty, empty[:, 0], chances, tilt), rows, attitude).item()

    right = loss(attitude, attitude)
    assert right < loss(attitude, attitude + 0.005) < loss(attitude, attitude + 0.02)
    assert right < loss(attitude + 0.02, attitude)
