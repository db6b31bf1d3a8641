"""What a set of sensors is expected to find where, and how well it places it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sentryfuse_core.config import Config
from sentryfuse_core.runtime.load import load_bank
from sentryfuse_core.tracking.findable import findable
from sentryfuse_core.tracking.noise import place_noise
from sentryfuse_core.types import Modality, ModalitySet

CAMERA, LIDAR, IMU, AUDIO = Modality
AHEAD = np.array([[16.0, 0.0]])
CAR = np.zeros(1, np.int64)


def recall(sensors: ModalitySet) -> tuple[float, float]:
    """Cars and pedestrians: a tenth for each sensor, and half of that."""
    return 0.1 * len(sensors), 0.05 * len(sensors)


def test_chance_is_that_of_sensors_and_class_when_all_look() -> None:
    places, classes = np.repeat(AHEAD, 2, axis=0), np.array([0, 1])
    assert findable(ModalitySet.all(), recall)(places, classes) == pytest.approx([0.4, 0.2])
    assert findable(ModalitySet.of(LIDAR), recall)(places, classes) == pytest.approx([0.1, 0.05])


@pytest.mark.parametrize("used", [ModalitySet(), ModalitySet.of(IMU)])
def test_chance_is_none_when_no_sensor_perceives(used: ModalitySet) -> None:
    assert findable(used, recall)(AHEAD, CAR).tolist() == [0.0]


def test_chance_falls_to_none_when_an_object_nears_the_border_of_the_region() -> None:
    places = np.array([[31.5, 0.0], [32.0, 0.0], [40.0, 0.0], [-1.0, 0.0], [16.0, 17.0], [16.0, -15.0]])
    found = findable(ModalitySet.of(LIDAR), recall)(places, np.zeros(6, np.int64))
    assert found == pytest.approx([0.025, 0.0, 0.0, 0.0, 0.0, 0.05])


def test_chance_is_that_of_the_others_when_the_camera_does_not_look_there() -> None:
    beside = np.array([[4.0, 8.0]])
    assert findable(ModalitySet.of(CAMERA, AUDIO), recall)(beside, CAR) == pytest.approx([0.1])
    assert findable(ModalitySet.of(CAMERA), recall)(beside, CAR) == pytest.approx([0.0])


def test_chance_is_a_half_when_the_weights_were_not_evaluated() -> None:
    assert findable(ModalitySet.of(LIDAR), lambda _: (math.nan,))(AHEAD, CAR) == pytest.approx([0.5])


def test_bank_knows_what_each_set_of_sensors_finds() -> None:
    bank = load_bank(Config().model)
    every, camera = bank.found(ModalitySet.all(), 0), bank.found(ModalitySet.of(CAMERA), 0)
    assert len(every) == len(bank.labels)
    assert all(0.1 < less < more < 1.0 for less, more in zip(camera, every, strict=True))
    assert all(math.isnan(share) for share in bank.found(ModalitySet.all(), 99))


def test_noise_is_the_classes_own_when_a_lidar_measures() -> None:
    noise = place_noise(np.array([[3.0, 4.0], [30.0, 0.0]]), np.array([0.4, 0.2]), ModalitySet.all())
    assert noise == pytest.approx(np.array([0.16 * np.eye(2), 0.04 * np.eye(2)]))


@pytest.mark.parametrize(
    ("used", "near_m"), [(ModalitySet.of(CAMERA, AUDIO), 0.6), (ModalitySet.of(AUDIO), 1.6)]
)
def test_noise_lies_along_the_ray_and_grows_with_distance_when_no_lidar_measures(
    used: ModalitySet, near_m: float
) -> None:
    places = 5.0 * np.array([[0.6, 0.8], [1.2, 1.6], [4.8, 6.4]])
    noise = place_noise(places, np.full(3, 0.4), used)
    ray = np.array([0.6, 0.8])
    along = np.sqrt(np.einsum("i,kij,j->k", ray, noise, ray))
    across = np.sqrt(np.linalg.eigvalsh(noise)[:, 0])
    assert np.all(np.diff(along) > 0.0)
    assert np.all(along >= near_m)
    assert np.all(along > across)
    assert across == pytest.approx(across[0])
