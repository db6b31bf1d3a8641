"""Recall: greedy one-to-one matching within a class, and as many guesses as there are boxes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import TINY, labelled, network

from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.evaluate import evaluate, match, matched
from sentryfuse_core.lab.training.targets import in_region, make_targets
from sentryfuse_core.model.heads import HeadOutput, find_peaks
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


def test_matched_boxes_are_those_of_match_when_frames_are_scored_at_once() -> None:
    batch = labelled(batch=16)
    crowded = torch.cat((batch.boxes, batch.boxes + 1.0, batch.boxes - 3.0), dim=1)
    classes = batch.classes.repeat(1, 3)
    generator = torch.Generator().manual_seed(1)
    known = make_targets(crowded, classes, class_count=3)
    noise = torch.randn(known.heatmap.shape, generator=generator)
    output = HeadOutput(torch.logit(known.heatmap.clamp(1e-4, 1 - 1e-4)) + 3.0 * noise, known.boxes)
    inside = in_region(crowded, classes)
    peaks = find_peaks(output, count=int(inside.sum(dim=1).max()))
    expected = []
    for row, valid in enumerate(inside):
        count = int(valid.sum())
        truth, kinds = crowded[row][valid][:, :2], classes[row][valid]
        centres, guesses = peaks.boxes[row, :count, :2], peaks.classes[row, :count]
        found = {box for box, _ in match(centres, guesses, truth, kinds, distance_m=4.0)}
        expected += [box in found for box in range(count)]
    hits = matched(output, crowded, classes)
    assert hits.tolist() == expected
    assert 0 < int(hits.sum()) < len(expected)
