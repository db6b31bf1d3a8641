"""Accuracy of a replay: per set of sensors and level, and only for classes the network knows."""

from __future__ import annotations

import dataclasses

import pytest

from sentryfuse_core.replay.accuracy import Accuracy
from sentryfuse_core.types import Detection, Modality, ModalitySet

CAR = Detection("car", 0, 0.9, 10.0, 1.0, 0.8, 4.4, 1.9, 1.5, 0.2)
LIDAR = ModalitySet.of(Modality.LIDAR)


def test_accuracy_tells_sets_of_sensors_apart_when_one_of_them_misses() -> None:
    accuracy = Accuracy(["car"])
    for _ in range(4):
        accuracy.add(ModalitySet.all(), 0, [CAR], [CAR])
        accuracy.add(LIDAR, 1, [dataclasses.replace(CAR, x=25.0)], [CAR])
    found = accuracy.to_mapping()
    assert found is not None
    assert found["by_mask"][str(ModalitySet.all())]["map"] == pytest.approx(1.0)
    assert found["by_mask"]["lidar"]["map"] == found["by_level"]["1"]["map"] == 0.0
    assert 0.0 < found["all"]["map"] < 1.0
    assert found["all"]["sets"] == 8


def test_accuracy_leaves_out_boxes_of_unknown_classes() -> None:
    accuracy = Accuracy(["car"])
    accuracy.add(LIDAR, 0, [CAR], [CAR, dataclasses.replace(CAR, label="tram", x=20.0)])
    found = accuracy.to_mapping()
    assert found is not None
    assert found["all"]["boxes"] == 1


def test_accuracy_is_none_when_nothing_was_labelled() -> None:
    assert Accuracy(["car"]).to_mapping() is None
