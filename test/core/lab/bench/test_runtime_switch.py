"""Switching: random sub-networks, outputs to the bit, and sets that are lost or late."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from gated import CAMERA, LIDAR, gated_bank, measured_input
from networks import checkpoint, model_input, network

from sentryfuse_core.lab.bench.runtime.pace import late_sets
from sentryfuse_core.lab.bench.runtime.switch import (
    choices_of,
    first_runs,
    identical_outputs,
    look_up_us,
    random_switches,
)
from sentryfuse_core.model.checkpoint import load_checkpoint
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import EagerBackend


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return checkpoint(tmp_path).path


def test_every_step_is_a_switch_when_sub_networks_are_drawn(weights: Path) -> None:
    choices = choices_of(Bank(load_checkpoint(weights)))
    drawn = list(random_switches(choices, 2000))
    assert all(before != after for before, after in pairwise(drawn))
    assert set(drawn) == set(choices)
    assert len(choices) == 30
    assert drawn == list(random_switches(choices, 2000))


def test_switches_are_also_to_what_runs_beside_poor_sensors_when_there_is_a_gate(tmp_path: Path) -> None:
    bank = gated_bank(tmp_path)
    choices = choices_of(bank)
    assert (CAMERA | LIDAR, 0, CAMERA) in choices
    assert (LIDAR, 0, LIDAR) not in choices  # it runs as it would if it were good
    assert {
        (plan.mask.bits, plan.parts) for plan in (bank.plan(*one[:2], "", one[2]) for one in choices)
    } == {(plan.mask.bits, plan.parts) for plan in bank.sub_networks}
    inputs = measured_input()
    backend = EagerBackend(bank)
    assert first_runs(bank, backend, [inputs], visits=30)[0].shape == (30,)
    assert identical_outputs(bank, backend, lambda: (bank, backend), inputs) == (30, 30)


def test_outputs_after_a_switch_equal_a_fresh_build_when_the_bank_is_shared(weights: Path) -> None:
    def fresh(seed: int | None = None) -> tuple[Bank, EagerBackend]:
        bank = Bank(load_checkpoint(weights))
        if seed is not None:
            bank.network = network(seed)
        return bank, EagerBackend(bank)

    bank, backend = fresh()
    assert identical_outputs(bank, backend, fresh, model_input(batch=1)) == (30, 30)
    assert identical_outputs(bank, backend, lambda: fresh(1), model_input(batch=1)) == (0, 30)


def test_first_inferences_are_set_against_their_own_sub_network_when_timed(weights: Path) -> None:
    bank = Bank(load_checkpoint(weights))
    first_ms, steady_ms = first_runs(bank, EagerBackend(bank), [model_input(batch=1)], visits=40)
    assert first_ms.shape == (40,)
    steady = {}
    for choice, took in zip(random_switches(choices_of(bank), 40), steady_ms, strict=True):
        assert steady.setdefault(choice, took) == took
    assert len(look_up_us(bank, 10)) == 10


@pytest.mark.parametrize(
    ("took_ms", "late"),
    [
        ([5.0] * 10, 0),
        ([10.0] * 10, 0),  # in time to the millisecond
        ([11.0, 1.0, 1.0], 1),
        ([25.0, 1.0, 1.0, 1.0], 2),  # the second waits for the first
        ([10.5] * 30, 30),  # it adds up
    ],
)
def test_sets_are_late_when_done_after_the_next_one_came(took_ms: list[float], late: int) -> None:
    assert late_sets(took_ms, period_ms=10.0) == late
