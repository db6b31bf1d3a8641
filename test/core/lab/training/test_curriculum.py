"""Modality dropout: nothing at first, all subsets later, the canvas alone now and then."""

from __future__ import annotations

from collections import Counter

import torch

from sentryfuse_core.lab.training.curriculum import Curriculum
from sentryfuse_core.types import Modality, ModalitySet


def draw(progress: float, *, alone: float, count: int = 2000) -> Counter[int]:
    generator = torch.Generator().manual_seed(0)
    curriculum = Curriculum(alone=alone)
    return Counter(curriculum.mask(progress, generator).bits for _ in range(count))


def test_curriculum_keeps_every_sensor_when_training_starts() -> None:
    assert draw(0.0, alone=0.0) == {15: 2000}


def test_curriculum_draws_every_subset_when_the_ramp_is_over() -> None:
    drawn = draw(0.5, alone=0.0)
    assert set(drawn) == set(range(1, 16))
    without_lidar = sum(count for bits, count in drawn.items() if Modality.LIDAR not in ModalitySet(bits))
    assert 0.75 < without_lidar / 2000 < 0.95


def test_curriculum_leaves_the_canvas_alone_when_its_share_says_so() -> None:
    assert 60 < draw(1.0, alone=0.05)[0] < 140
