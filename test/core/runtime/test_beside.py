"""The network beside: the same to the bit, its failures told, and gone when it is not needed."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from networks import make_bank, model_input

from sentryfuse_core.clock import ManualClock
from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.beside import DEPTH, Beside, _run, _Slot, beside, can_run_beside
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.engines import EngineBackend
from sentryfuse_core.runtime.fallback import FallbackBackend
from sentryfuse_core.runtime.lean.form import LeanForm
from sentryfuse_core.types import ModalitySet, Plan


class Failing:
    """A backend that fails, or says which process it runs in."""

    name, device, reason = "failing", "cpu", ""
    faults: tuple[str, ...] = ()

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:  # noqa: ARG002 - as the protocol has it
        if plan.level:
            raise BackendError(f"no level {plan.level} today")
        return HeadOutput(torch.tensor([os.getpid()]), torch.zeros(1))

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        return {}


class Engines(EngineBackend):
    """Engines that are PyTorch's own, run in threads that are noted; they fail after so many runs."""

    name, device = "engines", "cpu"

    def __init__(self, bank: Bank, *, works: float = math.inf) -> None:
        form = LeanForm(bank.network)
        super().__init__(bank, lambda key: lambda tensors: form.run(key, tensors), reason="")
        self.works = works
        self.threads: set[threading.Thread] = set()

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        self.threads.add(threading.current_thread())
        self.works -= 1
        if self.works < 0:
            raise BackendError("no engine today")
        return super().run(inputs, plan)


def ask(far: Beside, plan: Plan) -> HeadOutput:
    far.send([(model_input(batch=1), plan)])
    return far.receive().outputs[0]


def test_outputs_are_the_same_to_the_bit_when_the_network_runs_beside(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    backend = EagerBackend(bank, threads=1)
    inputs = model_input(batch=1)
    assert inputs.camera is not None
    turned = inputs.camera.contiguous(memory_format=torch.channels_last)  # as preprocessing hands it over
    inputs = ModelInput(**{**vars(inputs), "camera": turned})
    asked = [(mask, bank.plan(mask, level, "")) for mask in ModalitySet.subsets() for level in bank.loaded]
    answers = []
    with beside(backend) as far:
        for number, (mask, plan) in enumerate(asked):
            far.send([(inputs.only(mask), plan)])
            if number >= DEPTH - 1:  # always as many under way as there may be
                answers.append(far.receive().outputs[0])
        answers += [far.receive().outputs[0] for _ in range(DEPTH - 1)]
    for (mask, plan), found in zip(asked, answers, strict=True):
        expected = backend.run(inputs.only(mask), plan)
        assert torch.equal(found.heatmap, expected.heatmap)
        assert torch.equal(found.boxes, expected.boxes)
        assert found.evidence.keys() == expected.evidence.keys()
        assert all(torch.equal(found.evidence[name], logits) for name, logits in expected.evidence.items())


def test_failures_are_told_and_the_next_set_runs_when_the_backend_fails_beside(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    mask = ModalitySet.all()
    with beside(Failing()) as far:
        with pytest.raises(BackendError, match="no level 1 today"):
            ask(far, bank.plan(mask, 1, ""))
        number = int(ask(far, bank.plan(mask, 0, "")).heatmap)
        assert number != os.getpid()
        os.kill(number, signal.SIGKILL)
        with pytest.raises(BackendError, match="died"):
            ask(far, bank.plan(mask, 0, ""))


def test_process_is_gone_when_it_is_no_longer_needed_and_stays_when_its_group_is_signalled(
    tmp_path: Path,
) -> None:
    plan = make_bank(tmp_path).plan(ModalitySet.all(), 0, "")
    with beside(Failing()) as far:
        number = int(ask(far, plan).heatmap)
        for asked in (signal.SIGINT, signal.SIGTERM):
            os.kill(number, asked)
        assert int(ask(far, plan).heatmap) == number
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_process_ends_without_a_word_when_nobody_waits_for_its_answer_any_more(tmp_path: Path) -> None:
    slots = tuple(_Slot() for _ in range(DEPTH))
    inputs = {name: tensor for name, tensor in vars(model_input(batch=1)).items() if tensor is not None}
    plan = make_bank(tmp_path).plan(ModalitySet.all(), 0, "")
    context = multiprocessing.get_context("fork")
    near, far = context.Pipe()
    near.send((0, slots[0].put([inputs]), [plan]))
    near.close()
    process = context.Process(target=_run, args=(Failing(), near, far, slots))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_more_are_refused_when_as_many_are_under_way_as_there_may_be(tmp_path: Path) -> None:
    plan = make_bank(tmp_path).plan(ModalitySet.all(), 0, "")
    with beside(Failing()) as far:
        for _ in range(DEPTH):
            far.send([(model_input(batch=1), plan)])
        with pytest.raises(ValueError, match=f"{DEPTH} sets"):
            far.send([(model_input(batch=1), plan)])
        assert not can_run_beside(Failing(), threads=1)


def test_outputs_are_the_same_to_the_bit_when_engines_run_in_a_thread(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    engines, interval_s = Engines(bank), sys.getswitchinterval()
    backend = FallbackBackend(engines, EagerBackend(bank, threads=1), clock=ManualClock(0))
    assert can_run_beside(backend, threads=0)
    plan, inputs = bank.plan(ModalitySet.all(), 0, ""), [model_input(batch=1, seed=n) for n in range(DEPTH)]
    with beside(backend) as far:
        for one in inputs:
            far.send([(one, plan)])
        with pytest.raises(ValueError, match=f"{DEPTH} sets"):
            far.send([(inputs[0], plan)])
        found = [far.receive() for _ in inputs]
    (thread,) = engines.threads
    assert thread is not threading.current_thread()
    assert not thread.is_alive()
    assert sys.getswitchinterval() == interval_s
    for one, answer in zip(inputs, found, strict=True):
        assert torch.equal(answer.outputs[0].heatmap, engines.run(one, plan).heatmap)
        assert (answer.by.name, answer.faults) == ("engines", ())


def test_each_answer_says_what_ran_it_when_engines_fail_in_a_thread(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    plan, inputs = bank.plan(ModalitySet.all(), 0, ""), model_input(batch=1)
    engines, eager = Engines(bank, works=1), EagerBackend(bank, threads=1)
    with beside(FallbackBackend(engines, eager, clock=ManualClock(0))) as far:
        for _ in range(2):
            far.send([(inputs, plan)])
        before, after = far.receive(), far.receive()
    assert (before.by.name, before.by.reason, before.faults) == ("engines", "", ())
    assert (after.by.name, after.by.reason) == ("eager", "eager: engines failed and is tried again")
    assert "no engine today" in after.faults[0]
    with beside(engines) as far:
        far.send([(inputs, plan)])
        with pytest.raises(BackendError, match="no engine today"):
            far.receive()
