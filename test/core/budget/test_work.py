"""The work of several sectors: one key, and their times together until they were measured."""

from __future__ import annotations

import pytest

from sentryfuse_core.budget import BudgetController
from sentryfuse_core.budget.load import LoadModel, work_key
from sentryfuse_core.config import BudgetConfig
from sentryfuse_core.types import Modality, ModalitySet

BOTH = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)
LIDAR = ModalitySet.of(Modality.LIDAR)
SECTORS = (BOTH, LIDAR, LIDAR, LIDAR)
TABLE = {(BOTH.bits, 0): 20.0, (BOTH.bits, 1): 10.0, (LIDAR.bits, 0): 8.0, (LIDAR.bits, 1): 4.0}


def test_key_of_one_sector_is_its_mask_and_of_several_does_not_depend_on_their_order() -> None:
    assert work_key([BOTH]) == BOTH.bits
    assert work_key(SECTORS) == work_key(SECTORS[::-1])
    assert len({work_key(SECTORS[:count]) for count in range(1, 5)}) == 4


def test_sectors_take_what_each_takes_until_they_were_measured_together() -> None:
    model, key = LoadModel(), work_key(SECTORS)
    model.take(TABLE)
    assert model.time_ms((key, 0), 1.0) == pytest.approx(44.0)
    model.observe((key, 0), 36.0)  # as a batch they are faster
    assert model.time_ms((key, 0), 1.0) == pytest.approx(36.0)


def test_level_meets_the_deadline_of_all_sectors_together() -> None:
    budget = BudgetController(BudgetConfig(latency_ms=30.0), levels=(1.0, 0.5))
    budget.set_latency_table(TABLE)
    assert budget.choose(BOTH, 0).level == 0
    assert budget.choose(BOTH, 0, sectors=SECTORS).level == 1
