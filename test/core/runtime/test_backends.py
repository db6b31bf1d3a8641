"""Backends: eager equals the network, the CPU takes over from a device that fails, bad devices are named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from networks import TINY, model_input, network

from sentryfuse_core.clock import NS_PER_S, ManualClock
from sentryfuse_core.config import ModelConfig
from sentryfuse_core.errors import BackendError, CheckpointError
from sentryfuse_core.model.checkpoint import load_checkpoint, save_checkpoint
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.fallback import FallbackBackend
from sentryfuse_core.runtime.load import load_bank, make_backend
from sentryfuse_core.types import Modality, ModalitySet, Plan

CAMERA = ModalitySet.of(Modality.CAMERA)
ROWS = [
    {"mask": 0, "level": 0, "recall_4m": 0.1, "score_threshold": 0.05},
    {"mask": 1, "level": 0, "recall_4m": 0.5, "score_threshold": 0.2},
]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_checkpoint(
        path, network(), {"labels": ["car", "pedestrian", "cyclist"], "evaluation": {"rows": ROWS}}
    )
    return path


@pytest.fixture
def bank(weights: Path) -> Bank:
    return Bank(load_checkpoint(weights))


class Flaky:
    """A device that fails while `broken`."""

    name = "flaky"
    device = "cuda:0"
    reason = "flaky: asked for"
    faults: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.broken = False
        self.runs = 0

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:  # noqa: ARG002 - as the protocol has it
        self.runs += 1
        if self.broken:
            raise BackendError("inference on cuda:0 failed: out of memory")
        return HeadOutput(torch.zeros(1), torch.zeros(1))

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        if self.broken:
            raise BackendError("inference on cuda:0 failed: out of memory")
        return {(1, 0): 0.5}


def test_bank_knows_recall_and_prior_when_the_manifest_has_them(bank: Bank) -> None:
    assert bank.recall(CAMERA, 0) == (0.5, 0.1)
    unknown = bank.recall(ModalitySet.of(Modality.LIDAR), 1)
    assert all(value != value for value in unknown)  # noqa: PLR0124 - NaN


def test_bank_gives_each_mask_its_own_threshold_when_evaluated(bank: Bank) -> None:
    assert bank.score_threshold(CAMERA, 0) == 0.2
    assert math.isnan(bank.score_threshold(ModalitySet.of(Modality.LIDAR), 0))


def test_bank_raises_when_there_is_no_such_level(bank: Bank) -> None:
    assert bank.levels == (1.0, 0.5)
    assert bank.plan(CAMERA, 1, "power").reason == "power"
    with pytest.raises(BackendError, match="no level 2"):
        bank.plan(CAMERA, 2, "")


def test_bank_offers_every_level_of_the_manifest_when_there_are_more_than_two(tmp_path: Path) -> None:
    net = network(shape=replace(TINY, widths=(1.0, 0.75, 0.5, 0.25)))
    save_checkpoint(tmp_path / "more.safetensors", net, {"labels": ["car", "pedestrian", "cyclist"]})
    bank = Bank(load_checkpoint(tmp_path / "more.safetensors"))
    assert bank.levels == (1.0, 0.75, 0.5, 0.25)
    inputs = model_input(batch=1).only(CAMERA)
    with torch.inference_mode():
        for level in range(4):
            found = EagerBackend(bank).run(inputs, bank.plan(CAMERA, level, ""))
            assert torch.equal(found.heatmap, net(inputs, parts=net.shape.uniform(level)).heatmap)
    with pytest.raises(BackendError, match="no level 4; give one of 0 to 3"):
        bank.plan(CAMERA, 4, "")


@pytest.mark.parametrize("level", [0, 1])
def test_eager_equals_the_network_when_run(bank: Bank, level: int) -> None:
    inputs = model_input(batch=1).only(CAMERA)
    found = EagerBackend(bank).run(inputs, bank.plan(CAMERA, level, ""))
    with torch.inference_mode():
        assert torch.equal(found.heatmap, network()(inputs, parts=TINY.uniform(level)).heatmap)


def test_eager_warms_up_every_sub_network_when_asked(bank: Bank) -> None:
    times_ms = EagerBackend(bank).warm_up()
    assert set(times_ms) == {(bits, level) for bits in range(1, 16) for level in (0, 1)}
    assert all(value > 0 for value in times_ms.values())


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
