"""Grades: mean average precision over the classes that are there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import labelled, network

from sentryfuse_core.lab.training.grade import grade
from sentryfuse_core.lab.training.targets import make_targets
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.types import Modality, ModalitySet


def test_grade_leaves_classes_out_that_no_judged_frame_has(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = labelled(batch=4)
    batch = replace(batch, classes=batch.classes.clamp_max(0))
    targets = make_targets(batch.boxes, batch.classes, class_count=3)
    known = HeadOutput(torch.logit(targets.heatmap.clamp(1e-4, 1 - 1e-4)), targets.boxes)
    net, lidar = network(), ModalitySet.of(Modality.LIDAR)
    monkeypatch.setattr(net, "fuse", lambda *_, **__: known)
    found = grade(net, judged=[batch], fitted=[batch], labels=("car", "pedestrian", "cyclist"), masks=[lidar])
    assert found[lidar.bits, 0].map > 0.95
