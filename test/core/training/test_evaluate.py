"""Recall: greedy one-to-one matching within a class, and as many guesses as there are boxes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import TINY, labelled, network

from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.training.data import LabelledBatch
from sentryfuse_core.training.evaluate import evaluate, match
from sentryfuse_core.training.targets import make_targets
from sentryfuse_core.types import Modality, ModalitySet


def test_match_uses_each_box_once_when_two_detections_are_near_it() -> None:
    centres = torch.tensor([[10.0, 0.0], [10.5, 0.0]])
    found = match(
        centres, torch.tensor([0, 0]), torch.tensor([[11.0, 0.0]]), torch.tensor([0]), distance_m=4.0
    )
    assert found == [(0, 1.0)]


def test_match_needs_the_same_class_and_distance_when_matching() -> None:
    truth, classes = torch.tensor([[0.0, 0.0]]), torch.tensor([1])
    assert match(torch.tensor([[0.0, 0.0]]), torch.tensor([0]), truth, classes, distance_m=4.0) == []
    assert match(torch.tensor([[4.1, 0.0]]), torch.tensor([1]), truth, classes, distance_m=4.0) == []
    assert len(match(torch.tensor([[4.0, 0.0]]), torch.tensor([1]), truth, classes, distance_m=4.0)) == 1


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 100))
def test_match_is_one_to_one_when_everything_is_random(guesses: int, boxes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pairs = match(
        torch.rand(guesses, 2, generator=generator) * 10,
        torch.randint(0, 2, (guesses,), generator=generator),
        torch.rand(boxes, 2, generator=generator) * 10,
        torch.randint(0, 2, (boxes,), generator=generator),
        distance_m=4.0,
    )
    assert len({box for box, _ in pairs}) == len(pairs) <= min(guesses, boxes)
    assert all(apart_m <= 4.0 for _, apart_m in pairs)


def test_evaluate_scores_every_mask_and_level_when_asked_for_all() -> None:
    found = evaluate(network(), [labelled(batch=2)])
    assert set(found.scores) == {(bits, level) for bits in range(16) for level in (0, 1)}
    assert (found.frames, found.boxes) == (2, 3)
    assert all(0.0 <= score.recall_1m <= score.recall_4m <= 1.0 for score in found.scores.values())


def test_evaluate_gives_full_recall_when_the_network_knows_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = labelled(batch=4)
    targets = make_targets(batch.boxes, batch.classes, class_count=3)
    known = HeadOutput(torch.logit(targets.heatmap.clamp(1e-4, 1 - 1e-4)), targets.boxes)
    net = network()
    monkeypatch.setattr(net, "fuse", lambda *_, **__: known)
    lidar = ModalitySet.of(Modality.LIDAR)
    found = evaluate(net, [LabelledBatch(batch.inputs, batch.boxes, batch.classes)], masks=[lidar])
    score = found.scores[lidar.bits, 0]
    assert score.recall_1m == score.recall_4m == 1.0
    assert score.centre_error_m < 1e-3
    assert set(found.scores) == {(lidar.bits, level) for level in range(TINY.levels)}
