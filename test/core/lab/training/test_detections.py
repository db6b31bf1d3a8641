"""Networks over batches: the same boxes as one forward pass each, and the truth that counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import labelled, model_input, network
from worlds import conditioned

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.training.detections import SubsetDetector, collect, frames_of, truth_of
from sentryfuse_core.types import ModalitySet


def test_subsets_give_what_one_pass_gives_when_encoders_are_shared() -> None:
    net, batch = network(), conditioned()
    batch = replace(batch, inputs=replace(model_input(1, batch=4), tilt=torch.full((4, 2), 0.05)))
    masks = [ModalitySet(bits) for bits in (0, 1, 6, 8, 11, 15)]
    with torch.inference_mode():
        found = SubsetDetector(net, masks, range(net.shape.levels))(batch)
        for mask in masks:
            for level in range(net.shape.levels):
                parts = net.shape.uniform(level)
                alone = frames_of(net(batch.inputs.only(mask), parts=parts, batch=4), ())
                for one, other in zip(found[str(mask), level], alone, strict=True):
                    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-5)
                    np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)


def test_truth_leaves_out_what_is_outside_or_not_chosen_when_made() -> None:
    boxes = torch.tensor([[[5.0, 0, 0, 4, 2, 1, 0], [50.0, 0, 0, 4, 2, 1, 0], [9.0, 1, 0, 1, 1, 2, 0]]])
    classes = torch.tensor([[0, 1, 2]])
    assert truth_of(boxes, classes)[0].classes.tolist() == [0, 2]
    assert truth_of(boxes, torch.tensor([[-1, 1, 2]]))[0].classes.tolist() == [2]
    chosen = torch.tensor([[True, True, False]])
    assert truth_of(boxes, classes, chosen)[0].classes.tolist() == [0]


def test_collect_joins_batches_with_their_conditions_when_run() -> None:
    seen: list[int] = []
    detector = SubsetDetector(network(), [ModalitySet(2)], [1])
    found = collect([conditioned(0), conditioned(1)], [detector], on_frames=seen.append)
    assert list(found.boxes) == [("lidar", 1)]
    assert len(found.truth) == len(found.boxes["lidar", 1]) == 8
    assert found.where("rough", above=0.3).tolist() == found.where("light", below=0.3).tolist()
    assert found.where("light", above=0.5).sum() == 4
    assert seen == [4, 4]


def test_collect_refuses_when_conditions_are_unknown() -> None:
    with pytest.raises(EvaluationError, match="without conditions"):
        collect([replace(labelled(), conditions=None)], [])
