"""Backends: eager equals the network, the CPU takes over from a device that fails, bad devices are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from networks import TINY, checkpoint, make_bank, model_input, network

from sentryfuse_core.clock import NS_PER_S, ManualClock
from sentryfuse_core.config import ModelConfig
from sentryfuse_core.errors import BackendError, CheckpointError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.fallback import FallbackBackend
from sentryfuse_core.runtime.load import load_bank, make_backend, resolve_device
from sentryfuse_core.types import Modality, ModalitySet, Plan

CAMERA = ModalitySet.of(Modality.CAMERA)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return make_bank(tmp_path)


class Flaky:
    """A device that fails while `broken`."""

    name = "flaky"
    device = "cuda:0"
    reason = "flaky: asked for"
    faults: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.broken = False
        self.runs = 0
        self.score = 0.0

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:  # noqa: ARG002 - as the protocol has it
        self.runs += 1
        if self.broken:
            raise BackendError("inference on cuda:0 failed: out of memory")
        return HeadOutput(torch.full((2,), self.score), torch.zeros(1))

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        if self.broken:
            raise BackendError("inference on cuda:0 failed: out of memory")
        return {(1, 0): 0.5}


def test_every_level_of_the_manifest_runs_when_there_are_more_than_two(tmp_path: Path) -> None:
    shape = replace(TINY, widths=(1.0, 0.75, 0.5, 0.25))
    bank, inputs = Bank(checkpoint(tmp_path, shape=shape)), model_input(batch=1).only(CAMERA)
    assert bank.levels == (1.0, 0.75, 0.5, 0.25)
    with torch.inference_mode():
        for level in range(4):
            found = EagerBackend(bank).run(inputs, bank.plan(CAMERA, level, ""))
            expected = network(shape=shape)(inputs, parts=shape.uniform(level)).heatmap
            torch.testing.assert_close(found.heatmap, expected, atol=1e-5, rtol=1e-5)


def test_eager_raises_when_the_input_does_not_fit(bank: Bank) -> None:
    wrong = ModelInput(lidar=torch.zeros(1, 5, 64, 64))
    plan = bank.plan(ModalitySet.of(Modality.LIDAR), 0, "")
    with pytest.raises(BackendError, match="inference on cpu failed"):
        EagerBackend(bank).run(wrong, plan)


def test_fallback_runs_on_the_second_until_the_first_recovers_when_it_fails(bank: Bank) -> None:
    clock, first, second = ManualClock(), Flaky(), EagerBackend(bank)
    both = FallbackBackend(first, second, clock=clock)
    inputs, plan = model_input(batch=1).only(CAMERA), bank.plan(CAMERA, 0, "")
    both.run(inputs, plan)
    assert (both.name, both.device, both.faults) == ("flaky", "cuda:0", ())
    assert both.reason == "flaky: asked for"
    first.broken = True
    assert both.run(inputs, plan).heatmap.shape == (1, 3, 32, 32)
    assert (both.name, both.device) == ("eager", "cpu")
    assert both.reason == "eager: flaky failed and is tried again"
    assert "out of memory" in both.faults[0]
    clock.advance(4 * NS_PER_S)
    both.run(inputs, plan)
    assert first.runs == 2
    clock.advance(1 * NS_PER_S)
    both.run(inputs, plan)
    assert first.runs == 3
    first.broken = False
    clock.advance(9 * NS_PER_S)
    both.run(inputs, plan)
    assert (first.runs, both.device) == (3, "cpu")
    clock.advance(1 * NS_PER_S)
    both.run(inputs, plan)
    assert (first.runs, both.device, both.faults) == (4, "cuda:0", ())


def test_fallback_runs_on_the_second_when_what_the_first_gives_is_no_number(bank: Bank) -> None:
    """As float16 does that overflows: nothing would be detected, and nobody told."""
    first = Flaky()
    both = FallbackBackend(first, EagerBackend(bank), clock=ManualClock())
    first.score = float("nan")
    found = both.run(model_input(batch=1).only(CAMERA), bank.plan(CAMERA, 0, ""))
    assert found.heatmap.isfinite().all()
    assert "flaky on cuda:0 gave what is no number; set model.precision" in both.faults[0]


def test_fallback_takes_the_times_of_the_second_when_the_first_cannot_warm_up(bank: Bank) -> None:
    first = Flaky()
    both = FallbackBackend(first, EagerBackend(bank), clock=ManualClock())
    assert both.warm_up() == {(1, 0): 0.5}
    first.broken = True
    assert len(both.warm_up()) == 30
    assert both.device == "cpu"


def test_make_backend_raises_when_the_device_is_unknown(bank: Bank) -> None:
    for device in ("gpu", "meta"):
        with pytest.raises(BackendError, match=f"model.device = '{device}'"):
            make_backend(bank, ModelConfig(device=device))


def test_device_is_the_cpu_when_its_number_is_given() -> None:
    assert resolve_device("cpu:0") == "cpu"


def test_make_backend_runs_on_the_cpu_and_says_so_when_cuda_is_not_there(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    backend = make_backend(bank, ModelConfig(device="cuda:99"))  # no machine has that many
    assert backend.device == "cpu"
    assert "cuda" in backend.faults[0]
    assert make_backend(bank, ModelConfig(device="auto")).faults == ()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_eager_on_cuda_equals_the_cpu_when_both_run(bank: Bank) -> None:
    inputs = model_input(batch=1)
    plan = bank.plan(ModalitySet.all(), 0, "")
    backend = EagerBackend(bank, device="cuda")
    assert backend.device == f"cuda:0 {torch.cuda.get_device_name(0)}"
    found = backend.run(inputs, plan)
    torch.testing.assert_close(
        found.heatmap, EagerBackend(bank).run(inputs, plan).heatmap, atol=1e-3, rtol=1e-3
    )


def test_load_bank_raises_when_the_checkpoint_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors"):
        load_bank(ModelConfig(checkpoint=str(tmp_path / "gone.safetensors")))


def test_load_bank_loads_the_shipped_weights_when_none_are_named() -> None:
    bank = load_bank(ModelConfig())
    assert bank.labels == ("car", "pedestrian", "cyclist")
    recall, prior = bank.recall(ModalitySet.all(), 0)
    assert recall > 0.7
    assert recall > 2 * prior > 0
