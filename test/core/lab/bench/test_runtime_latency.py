"""Interleaved timing: every arm once a round, on what it is to be fed."""

from __future__ import annotations

from networks import model_input

from sentryfuse_core.lab.bench.runtime.arms import Arm
from sentryfuse_core.lab.bench.runtime.latency import interleaved
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
