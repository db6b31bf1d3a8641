"""The warm-up in two parts: all sensors at once, the rest bit by bit, and a guess of it until then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from networks import make_bank

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime import backend, warm_up
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.warm_up import WarmUp
from sentryfuse_core.types import ModalitySet, Plan

ALL = ModalitySet.all()


class Made:
    """A backend whose runs take 10 ms for each sensor, on a clock of its own; it fails with some."""

    name, device, reason = "made", "cpu", ""
    faults: tuple[str, ...] = ()
    opening = False

    def __init__(self, bank: Bank, *, fails: ModalitySet | None = None) -> None:
        self.bank = bank
        self.now_s = 0.0
        self.ran: list[tuple[int, int]] = []
        self.fails = fails

    def perf_counter(self) -> float:
        return self.now_s

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        if inputs.present == self.fails:
            raise BackendError("out of memory")
        self.now_s += 0.01 * len(inputs.present)
        self.ran.append((inputs.present.bits, plan.level))
        return HeadOutput(torch.zeros(1), torch.zeros(1))

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        return backend.time_all(self.run, self.bank)


def begun(made: Made, monkeypatch: pytest.MonkeyPatch) -> WarmUp:
    for module in (backend, warm_up):
        monkeypatch.setattr(module, "time", made)
    return WarmUp(made, made.bank)


def test_warm_up_begins_with_all_sensors_and_ends_with_what_the_whole_one_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(make_bank(tmp_path))
    warming = begun(made, monkeypatch)
    keys = {(mask.bits, level) for mask in ModalitySet.subsets() for level in made.bank.loaded}
    everything = {(ALL.bits, level) for level in made.bank.loaded}
    first = (ALL.bits, made.bank.loaded.start)
    assert set(made.ran) == {first}
    guesses = warming.guesses()
    assert guesses.keys() == keys
    assert all(0.0 < guesses[key] < 40.0 for key in keys - {first})
    assert guesses[first] == pytest.approx(40.0)

    while (found := warming.go_on()) is None:
        made.now_s += 1.0
    assert set(made.ran) == everything  # told at once, since a budget chooses among them
    assert found.keys() == keys
    assert all(found[key] == pytest.approx(40.0) for key in everything)
    assert not warming.through

    assert ended(warming, made) == pytest.approx(made.warm_up())
    assert set(made.ran) == keys


def ended(warming: WarmUp, made: Made) -> Mapping[tuple[int, int], float]:
    """The last table."""
    found: Mapping[tuple[int, int], float] | None = None
    while not warming.through:
        made.now_s += 1.0
        found = warming.go_on()
    assert found is not None
    return found


def test_warm_up_leaves_four_fifths_of_the_time_to_the_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(make_bank(tmp_path))
    warming = begun(made, monkeypatch)
    began_s, worked_s = made.now_s, 0.0
    while not warming.through:
        before_s = made.now_s
        warming.go_on()
        worked_s += made.now_s - before_s
        assert made.now_s - before_s <= 2 * 0.04 + 1e-9  # what a set may have to wait for
        made.now_s += 0.001
    assert worked_s == pytest.approx(0.2 * (made.now_s - began_s), rel=0.05)


def test_all_sensors_are_timed_once_more_when_parts_were_still_being_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(make_bank(tmp_path))
    made.opening = True
    warming = begun(made, monkeypatch)
    ran = len(made.ran)
    made.now_s += 1.0
    assert warming.go_on() is None
    assert len(made.ran) == ran  # what runs meanwhile is not what will
    made.opening = False
    ended(warming, made)
    assert {(ALL.bits, level) for level in made.bank.loaded} <= set(made.ran[ran:])


def test_guesses_stand_in_when_the_backend_fails_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(make_bank(tmp_path), fails=ModalitySet(2))
    warming = begun(made, monkeypatch)
    guesses, found, failures = warming.guesses(), None, 0
    while not warming.through:
        made.now_s += 1.0
        try:
            found = warming.go_on()
        except BackendError:
            failures += 1
    assert failures == 1
    assert found is not None
    assert found.keys() == guesses.keys()
    assert found[2, 0] == pytest.approx(guesses[2, 0])
