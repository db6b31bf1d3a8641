"""Interleaved timing: every arm once a round; ratios of medians with their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from networks import model_input

from sentryfuse_core.lab.bench.runtime.arms import Arm
from sentryfuse_core.lab.bench.runtime.latency import interleaved, ratio_of_medians
from sentryfuse_core.types import ModalitySet

ALL = ModalitySet.all()


def test_every_arm_runs_once_a_round_in_changing_order_when_interleaved() -> None:
    ran: list[str] = []
    rounds: list[int] = []

    def arm(name: str) -> Arm:
        return Arm(name, ALL, 0, lambda _inputs: ran.append(name), lambda inputs: inputs)

    names = ["a", "b", "c", "d"]
    found = interleaved(
        [arm(name) for name in names],
        [model_input()],
        rounds=20,
        on_round=lambda: rounds.append(len(ran)),
    )
    assert [len(took) for took in found] == [20] * 4
    assert rounds == [4 * (index + 1) for index in range(22)]  # two rounds of warm-up
    orders = [tuple(ran[start : start + 4]) for start in range(0, len(ran), 4)]
    assert all(sorted(order) == names for order in orders)
    assert len(set(orders)) > 5


def test_arm_is_given_what_it_is_fed_when_timed() -> None:
    fed: list[ModalitySet] = []
    camera = ModalitySet(1)
    arm = Arm("a", camera, 0, lambda inputs: fed.append(inputs.present), lambda inputs: inputs.only(camera))
    interleaved([arm], [model_input()], rounds=1)
    assert set(fed) == {camera}


def test_ratio_is_exact_and_its_interval_a_point_when_one_is_always_twice_the_other() -> None:
    below = np.random.default_rng(0).uniform(1, 2, 60)
    found = ratio_of_medians(2 * below, below)
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    assert found.runs == 60


def test_interval_holds_the_ratio_when_both_are_noisy() -> None:
    rng = np.random.default_rng(1)
    found = ratio_of_medians(3 + rng.exponential(0.5, 200), 1 + rng.exponential(0.5, 200))
    assert found.low < found.mean < found.high
