"""Interleaved timing: every arm once a round; ratios of medians with their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from networks import model_input

from sentryfuse_core.lab.bench.runtime.arms import Arm
from sentryfuse_core.lab.bench.runtime.latency import interleaved, ratio_of_medians
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import ModalitySet


def test_every_arm_runs_once_a_round_in_changing_order_when_interleaved() -> None:
    ran: list[str] = []
    rounds: list[int] = []
    fed: set[ModalitySet] = set()
    camera = ModalitySet(1)

    def arm(name: str) -> Arm:
        def run(inputs: ModelInput) -> None:
            fed.add(inputs.present)
            ran.append(name)

        return Arm(name, camera, 0, run, lambda inputs: inputs.only(camera))

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
    assert fed == {camera}


def test_ratio_has_an_interval_that_is_a_point_when_one_is_always_twice_the_other() -> None:
    rng = np.random.default_rng(0)
    below = rng.uniform(1, 2, 60)
    found = ratio_of_medians(2 * below, below)
    assert (found.mean, found.low, found.high, found.runs) == pytest.approx((2.0, 2.0, 2.0, 60))
    noisy = ratio_of_medians(3 + rng.exponential(0.5, 200), 1 + rng.exponential(0.5, 200))
    assert noisy.low < noisy.mean < noisy.high
