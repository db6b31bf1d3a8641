"""Every backend trusts sensors by their quality as eager does, also with plans made for poor sensors."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gated import CAMERA, LIDAR, all_plans, gated_bank, measured_input
from networks import assert_close, model_input, needs_onnx

from sentryfuse_core.errors import BackendError
from sentryfuse_core.runtime import compiled, onnx
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.compiled import CompiledBackend
from sentryfuse_core.runtime.cuda_graph import CudaGraphBackend
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.engines import examples
from sentryfuse_core.runtime.export import build_onnx
from sentryfuse_core.runtime.lean.form import LeanForm, Part
from sentryfuse_core.runtime.onnx import OnnxBackend
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.runtime.subnetwork import SubNetwork, input_tensors, output_from
from sentryfuse_core.types import ModalitySet, PartLevels, Plan

TOLERANCE = 1e-4  # of logits and metres, float32


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return gated_bank(tmp_path_factory.mktemp("doubting"), doubting=True)


def assert_equals_eager(
    bank: Bank, backend: Backend, plan: Plan, seed: int = 0, *, most: float = TOLERANCE
) -> None:
    inputs = measured_input(seed).only(plan.mask)
    assert_close(backend.run(inputs, plan), EagerBackend(bank).run(inputs, plan), most=most)


def spoken_for(bank: Bank) -> tuple[Plan, ...]:
    """All sensors, and what runs at the same level for two of which none or one is poor."""
    return (
        bank.plan(ModalitySet.all(), 1, ""),
        bank.plan(CAMERA | LIDAR, 1, ""),
        bank.plan(CAMERA | LIDAR, 1, "", LIDAR),
    )


def test_eager_gives_other_maps_when_quality_is_another(bank: Bank) -> None:
    inputs, plan = measured_input(), bank.plan(CAMERA | LIDAR, 0, "")
    maps = [EagerBackend(bank).run(item.only(plan.mask), plan) for item in (inputs, measured_input(1))]
    plain = EagerBackend(bank).run(model_input(batch=1).only(plan.mask), plan)
    assert (maps[0].heatmap - plain.heatmap).abs().max() > 10 * TOLERANCE
    assert (maps[0].heatmap - maps[1].heatmap).abs().max() > 10 * TOLERANCE


def test_sub_networks_are_all_that_any_plan_runs_and_each_once(bank: Bank) -> None:
    keys = [(plan.mask.bits, plan.parts) for plan in bank.sub_networks]
    assert len(keys) == len(set(keys))
    assert set(keys) == {(plan.mask.bits, plan.parts) for plan in all_plans(bank)}
    # A file by set and level alone would be of the wrong widths for some of them.
    by_level: dict[tuple[int, int], set[PartLevels]] = {}
    for plan in all_plans(bank):
        by_level.setdefault((plan.mask.bits, plan.level), set()).add(plan.parts)
    assert any(len(parts) > 1 for parts in by_level.values())


def test_sub_network_equals_the_network_when_given_quality(bank: Bank) -> None:
    for plan in bank.sub_networks:
        inputs = measured_input().only(plan.mask)
        tensors = input_tensors(inputs, trusting=True)
        with torch.inference_mode():
            found = output_from(
                SubNetwork(LeanForm(bank.network), tuple(tensors), plan.parts)(*tensors.values())
            )
        assert_close(found, EagerBackend(bank).run(inputs, plan), most=1e-5)


def test_input_is_refused_when_its_quality_was_not_measured() -> None:
    with pytest.raises(BackendError, match="quality is None: these weights trust sensors by it"):
        input_tensors(model_input(batch=1), trusting=True)
    assert "quality" not in input_tensors(measured_input(), trusting=False)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(3))
def test_exported_program_equals_eager_when_run_by_torch(bank: Bank, index: int) -> None:
    # What the ONNX files and the engines are made from.
    plan = spoken_for(bank)[index]
    example = input_tensors(measured_input(1).only(plan.mask), trusting=True)
    module = SubNetwork(LeanForm(bank.network), tuple(example), plan.parts).eval()
    program = torch.export.export(module, tuple(example.values()), strict=False).module()
    inputs = measured_input().only(plan.mask)
    with torch.no_grad():
        found = output_from(program(*input_tensors(inputs, trusting=True).values()))
    assert_close(found, EagerBackend(bank).run(inputs, plan), most=TOLERANCE)


@pytest.mark.slow
def test_compiled_equals_eager_when_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = gated_bank(tmp_path, doubting=True)
    monkeypatch.setattr(compiled.torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(compiled, "time_all", lambda _run, _bank: {})
    few = tuple(bank.plan(LIDAR, level, "") for level in (0, 1))
    monkeypatch.setattr(Bank, "sub_networks", few)
    backend = CompiledBackend(bank, bank.network)
    backend.warm_up()
    monkeypatch.setattr(compiled, "SubNetwork", None)  # whatever was not compiled would need it
    for seed, plan in enumerate(few):
        assert_equals_eager(bank, backend, plan, seed)


class Session:
    """Stands in for ONNX Runtime's: its content only tells which part it is, and torch runs that."""

    form: LeanForm

    def __init__(self, content: bytes, _options: object, *, providers: list[Any]) -> None:
        told = json.loads(content)
        self.inputs, self.part, self.providers = told.pop("inputs"), Part(**told), providers

    def get_providers(self) -> list[str]:
        return [name for name, _ in self.providers]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=f"input{index}") for index in range(self.inputs)]

    def run(self, names: None, feed: dict[str, Any]) -> list[Any]:
        assert names is None
        maps = self.form.part(self.part)(*(torch.from_numpy(values) for values in feed.values()))
        return [values.detach().numpy() for values in maps]


def test_onnx_opens_the_files_of_the_plan_when_any_sensor_is_poor(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = SimpleNamespace(
        get_available_providers=lambda: ["CPUExecutionProvider"],
        SessionOptions=lambda: SimpleNamespace(add_session_config_entry=lambda _name, _value: None),
        InferenceSession=type("Of", (Session,), {"form": LeanForm(bank.network)}),
    )
    monkeypatch.setattr(onnx.importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    store = Store.of(bank, str(tmp_path))

    fed = examples(bank)

    def tell(part: Part) -> bytes:
        return json.dumps({**vars(part), "inputs": len(fed[part])}).encode()

    assert sum(store.build(bank, "float32.onnx", tell, anew=False)) == len(fed) < len(bank.sub_networks)
    backend = OnnxBackend(bank, store)
    for plan in {(plan.mask.bits, plan.parts): plan for plan in all_plans(bank)}.values():
        assert_equals_eager(bank, backend, plan)


@needs_onnx
@pytest.mark.slow
def test_onnx_equals_eager_when_sensors_are_trusted_by_quality(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bank, "sub_networks", spoken_for(bank))
    store = Store.of(bank, str(tmp_path))
    assert all(build_onnx(bank, store, precision="float32"))
    backend = OnnxBackend(bank, store, threads=1)
    for seed, plan in enumerate(spoken_for(bank)):
        assert_equals_eager(bank, backend, plan, seed)


@pytest.mark.gpu
def test_graphs_equal_eager_when_sensors_are_trusted_by_quality(bank: Bank) -> None:
    graphs = CudaGraphBackend(bank, EagerBackend(bank, device="cuda").network)
    for plan in (*bank.sub_networks, *reversed(bank.sub_networks)):
        assert_equals_eager(bank, graphs, plan, most=1e-3)
