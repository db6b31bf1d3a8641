"""Targets and losses: right maps cost nothing, wrong ones cost more."""

from __future__ import annotations

import pytest
import torch
from networks import boxes

from sentryfuse_core.lab.training.losses import detection_loss, distillation_loss
from sentryfuse_core.lab.training.targets import UNSURE, in_region, make_targets
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.shape import BOX_CHANNELS

CAR = (10.3, 2.6, 0.8, 4.2, 1.8, 1.5, 0.4)


def test_targets_are_one_in_the_cell_of_the_centre_when_there_is_a_box() -> None:
    targets = make_targets(boxes(CAR), torch.tensor([[1]]), class_count=3)
    assert targets.heatmap[0, 1, 10, 18] == 1.0
    assert (targets.heatmap == 1.0).sum() == 1
    assert targets.heatmap[0, 0].max() == 0.0
    assert targets.boxes[0, :3, 10, 18].tolist() == pytest.approx([-0.2, 0.1, 0.8], abs=1e-5)
    assert targets.boxes[0, 3:6, 10, 18].exp().tolist() == pytest.approx([4.2, 1.8, 1.5])
    assert targets.boxes[0, 0, 11, 18].item() == pytest.approx(-1.2, abs=1e-5)
    assert targets.weight[0, 11, 18] > 0
    assert targets.weight[0, 13, 18] == 0


def test_targets_ignore_a_box_when_it_is_outside_or_padding() -> None:
    truth = boxes((33.0, *CAR[1:]), (5.0, -16.5, *CAR[2:]), CAR)
    classes = torch.tensor([[0, 0, -1]])
    assert in_region(truth, classes).tolist() == [[False, False, False]]
    targets = make_targets(truth, classes, class_count=3)
    assert targets.heatmap.max() == 0.0
    assert targets.weight.max() == 0.0
    assert targets.count == 1


def test_targets_give_a_cell_to_the_nearer_box_when_two_are_close() -> None:
    targets = make_targets(
        boxes(CAR, (12.5, *CAR[1:3], 0.5, 0.6, 1.7, 0.0)), torch.tensor([[0, 1]]), class_count=3
    )
    assert targets.boxes[0, 3, 10, 18].exp().item() == pytest.approx(4.2)
    assert targets.boxes[0, 3, 12, 18].exp().item() == pytest.approx(0.5)


def test_detection_loss_falls_when_the_maps_come_closer() -> None:
    targets = make_targets(boxes(CAR), torch.tensor([[0]]), class_count=3)
    right = HeadOutput(torch.logit(targets.heatmap.clamp(1e-4, 1 - 1e-4)), targets.boxes)
    shifted = HeadOutput(right.heatmap, targets.boxes + 1.0)
    blind = HeadOutput(torch.full_like(right.heatmap, -4.0), targets.boxes)
    best = detection_loss(right, targets)
    assert best < 0.1
    assert detection_loss(shifted, targets) == pytest.approx(best.item() + 0.5 * BOX_CHANNELS, abs=1e-4)
    assert detection_loss(blind, targets) > best + 1.0


def test_distillation_loss_is_zero_and_moves_only_the_student_when_both_agree() -> None:
    targets = make_targets(boxes(CAR), torch.tensor([[0]]), class_count=3)
    teacher = HeadOutput(torch.randn(1, 3, 32, 32, requires_grad=True), targets.boxes)
    student = HeadOutput(teacher.heatmap.detach().clone().requires_grad_(), targets.boxes)
    assert distillation_loss(student, teacher, targets).item() == pytest.approx(0.0, abs=1e-3)
    moved = HeadOutput(student.heatmap + 0.5, targets.boxes)
    loss = distillation_loss(moved, teacher, targets)
    assert loss > 1.0
    loss.backward()
    assert teacher.heatmap.grad is None
    assert student.heatmap.grad is not None


def test_loss_is_the_same_whatever_is_found_where_nobody_told_what_is_there() -> None:
    truth, classes = boxes(CAR), torch.tensor([[1]])
    known = torch.zeros(1, 32, 32, dtype=torch.bool)
    known[:, 5:15, 10:25] = True
    targets = make_targets(truth, classes, class_count=3, known=known)
    quiet = HeadOutput(torch.full((1, 3, 32, 32), -8.0), torch.zeros(1, BOX_CHANNELS, 32, 32))
    loud = HeadOutput(torch.where(known[:, None], quiet.heatmap, 8.0), quiet.boxes)
    assert detection_loss(loud, targets) == detection_loss(quiet, targets)
    everywhere = make_targets(truth, classes, class_count=3)
    assert detection_loss(loud, everywhere) > 10.0 * detection_loss(quiet, everywhere)


def test_box_is_not_learned_when_it_lies_where_nothing_is_told() -> None:
    known = torch.zeros(1, 32, 32, dtype=torch.bool)
    targets = make_targets(boxes(CAR), torch.tensor([[1]]), class_count=3, known=known)
    assert targets.weight.max() == 0.0
    assert targets.count == 1


def test_nothing_is_learned_of_a_centre_when_its_box_is_unsure() -> None:
    truth = boxes(CAR, (20.5, -3.5, *CAR[2:]))
    told = make_targets(truth, torch.tensor([[0, UNSURE]]), class_count=3)
    logits = torch.full((1, 3, 32, 32), -2.0, requires_grad=True)
    detection_loss(HeadOutput(logits, told.boxes), told).backward()
    assert logits.grad is not None
    assert logits.grad[0, :, 19:22, 11:14].abs().max() == 0.0
    assert logits.grad[0, :, 23, 12].abs().min() > 0.0
    assert logits.grad[0, 0, 10, 18] < 0.0
    assert told.count == 1


def test_a_sure_box_is_learned_when_an_unsure_one_overlaps_it() -> None:
    told = make_targets(boxes(CAR, CAR), torch.tensor([[0, UNSURE]]), class_count=3)
    logits = torch.full((1, 3, 32, 32), -2.0, requires_grad=True)
    detection_loss(HeadOutput(logits, told.boxes), told).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 10, 18] < 0.0
