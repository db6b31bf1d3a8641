"""Parity: how far two answers are apart, where it matters, and what is too far."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from networks import make_bank
from torch import Tensor

from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.parity import apart, compare, too_far


def answer(*, score: float = 0.5, box: float = 0.0, blank: float = 0.0) -> HeadOutput:
    """Something sure in 20 cells, with boxes at `box`; nothing elsewhere, with boxes at `blank`."""
    heatmap, boxes = torch.full((1, 3, 32, 32), -9.0), torch.full((1, 10, 32, 32), blank)
    heatmap[0, 1, 4, :20] = math.log(score / (1.0 - score))
    boxes[0, :, 4, :20] = box
    return HeadOutput(heatmap, boxes)


def with_nan(output: HeadOutput) -> HeadOutput:
    heatmap: Tensor = output.heatmap.clone()
    heatmap[0, 0, 0, 0] = math.nan
    return HeadOutput(heatmap, output.boxes)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answer(), ""),
        (answer(score=0.54, box=0.05), ""),
        (answer(score=0.6), "a score by 0.1 of 0.05"),
        (answer(box=0.3), "a box by 0.3 of 0.1"),
        (answer(blank=5.0), ""),  # a box where nothing is
        (with_nan(answer()), "a score by inf of 0.05"),
    ],
)
def test_answers_are_too_far_apart_when_a_score_or_a_box_that_counts_moved(
    given: HeadOutput, told: str
) -> None:
    assert too_far(apart(given, answer())) == told


def test_a_comparison_that_is_incomplete_is_too_far() -> None:
    assert "box" in too_far({"score": 0.0})


def test_a_backend_is_no_way_apart_when_compared_with_itself(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    eager = EagerBackend(bank)
    assert compare(bank, eager, eager) == {"score": 0.0, "box": 0.0}
