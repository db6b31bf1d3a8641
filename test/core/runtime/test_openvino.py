"""OpenVINO on parts: what eager gives for any sensors, and one line where it cannot run."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gated import all_plans, gated_bank, measured_input
from networks import assert_close, make_bank

from sentryfuse_core.clock import ManualClock
from sentryfuse_core.config import ModelConfig
from sentryfuse_core.errors import BackendError
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime import openvino
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.engines import Engine
from sentryfuse_core.runtime.lean.form import Part, parts_of
from sentryfuse_core.runtime.load import make_backend
from sentryfuse_core.runtime.measured import circumstances, keep
from sentryfuse_core.runtime.openvino import (
    PARITY,
    OpenVinoBackend,
    bfloat16_here,
    build_openvino,
    openvino_lack,
    openvino_precision,
    openvino_precisions,
)
from sentryfuse_core.runtime.parity import compare, too_far
from sentryfuse_core.runtime.store import Store, all_parts
from sentryfuse_core.types import ModalitySet

TOLERANCE = 1e-4  # of logits and metres
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")


def openvino_package() -> Any:
    """The package itself: this project's module has its name."""
    return importlib.import_module("openvino")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bank, Store]:
    """All parts of the narrower level of a small network that trusts by quality and has a gate."""
    folder = tmp_path_factory.mktemp("openvino")
    bank = gated_bank(folder, doubting=True, max_level=1)
    store = Store.of(bank, str(folder))
    assert all(build_openvino(bank, store, threads=1))
    return bank, store


@needs_openvino
def test_openvino_equals_eager_for_all_that_any_plan_runs(built: tuple[Bank, Store]) -> None:
    bank, store = built
    assert openvino_lack(bank, store) == ""
    backend, eager = OpenVinoBackend(bank, store, threads=1), EagerBackend(bank)
    inputs = measured_input()
    partly = replace(inputs, camera_seen=torch.rand(1, 1, 32, 96).round())
    plans = {(plan.mask.bits, plan.parts): plan for plan in all_plans(bank)}
    for plan in plans.values():
        for given in (inputs.only(plan.mask), partly.only(plan.mask)):
            assert_close(backend.run(given, plan), eager.run(given, plan), most=TOLERANCE)


@needs_openvino
def test_openvino_in_bfloat16_finds_what_eager_does_when_the_processor_has_it(
    built: tuple[Bank, Store],
) -> None:
    bank, store = built
    if openvino_precisions("auto") == ("float32",):
        pytest.skip("needs a processor with instructions for bfloat16")
    assert all(build_openvino(bank, store, precision="bfloat16", threads=1))
    backend = OpenVinoBackend(bank, store, threads=1, precision="bfloat16")
    found = compare(bank, backend, EagerBackend(bank))
    assert found["score"] > 0.0  # it is not float32
    assert too_far(found) == ""


@needs_openvino
def test_eager_runs_a_part_until_the_thread_has_opened_it(
    built: tuple[Bank, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, store = built
    backend, plan = OpenVinoBackend(bank, store, threads=1), bank.plan(ModalitySet.all(), 1, "")
    may_open, read = threading.Event(), backend._parts._open

    def held(key: Part) -> Engine:
        may_open.wait(240.0)
        return read(key)

    monkeypatch.setattr(backend._parts, "_open", held)
    others = set(threading.enumerate())
    assert backend.open_beside()
    (opener,) = set(threading.enumerate()) - others
    given = measured_input().only(plan.mask)
    right = EagerBackend(bank).run(given, plan)
    assert_close(backend.run(given, plan), right, most=TOLERANCE)
    assert backend.opening
    assert not backend._parts._engines
    may_open.set()
    opener.join(240.0)
    assert not backend.opening
    assert set(backend._parts._engines) == set(all_parts(bank))
    assert_close(backend.run(given, plan), right, most=TOLERANCE)


@needs_openvino
def test_openvino_leaves_earlier_answers_alone_when_it_runs_again(built: tuple[Bank, Store]) -> None:
    bank, store = built
    backend, plan = OpenVinoBackend(bank, store, threads=1), bank.plan(ModalitySet.all(), 1, "")
    first = backend.run(measured_input(0), plan)
    kept = first.heatmap.clone()
    assert not torch.equal(backend.run(measured_input(1), plan).heatmap, kept)
    assert torch.equal(first.heatmap, kept)


@needs_openvino
def test_openvino_has_one_core_when_backends_come_and_go(built: tuple[Bank, Store]) -> None:
    """Two that end in the order in which they began leave a stack for signals that is freed."""
    bank, store = built
    cores = [OpenVinoBackend(bank, store, threads=1)._core for _ in range(2)]
    assert cores[0] is cores[1]


@needs_openvino
def test_part_answers_again_when_its_first_run_failed(
    built: tuple[Bank, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, store = built
    backend, plan = OpenVinoBackend(bank, store, threads=1), bank.plan(ModalitySet.all(), 1, "")
    given = measured_input().only(plan.mask)
    infer, failures = openvino_package().InferRequest.infer, ["out of memory"]

    def failing_once(request: object, **options: object) -> object:
        if failures:
            raise RuntimeError(failures.pop())
        return infer(request, **options)

    monkeypatch.setattr(openvino_package().InferRequest, "infer", failing_once)
    with pytest.raises(BackendError, match="out of memory"):
        backend.run(given, plan)
    assert_close(backend.run(given, plan), EagerBackend(bank).run(given, plan), most=TOLERANCE)


@needs_openvino
def test_nothing_is_built_again_and_eager_takes_over_when_a_part_is_damaged(
    built: tuple[Bank, Store],
) -> None:
    bank, store = built
    assert not any(build_openvino(bank, store, threads=1))
    config = ModelConfig(device="cpu", backend="openvino", engine_dir=str(store.folder.parent))
    backend = make_backend(bank, config, clock=ManualClock())
    assert (backend.name, backend.faults) == ("openvino", ())
    plan = bank.plan(ModalitySet.all(), 1, "")
    first = parts_of(plan.mask, plan.parts)[0]
    path = next(store.folder.glob(f"{first}.*"))
    content = path.read_bytes()
    middle = len(content) // 2  # OpenVINO would run it and give other numbers
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    try:
        backend.run(measured_input().only(plan.mask), plan)
    finally:
        path.write_bytes(content)
    assert backend.name == "eager"
    assert f"{path} is damaged" in backend.faults[0]


@needs_openvino
def test_openvino_refuses_what_is_not_one_set(built: tuple[Bank, Store]) -> None:
    bank, store = built
    plan = bank.plan(ModalitySet.all(), 1, "")
    given = vars(measured_input().only(plan.mask)).items()
    two = ModelInput(**{name: torch.cat((item, item)) for name, item in given if item is not None})
    with pytest.raises(BackendError, match="one set at a time"):
        OpenVinoBackend(bank, store).run(two, plan)


def test_one_line_names_the_package_when_openvino_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino.importlib.util, "find_spec", lambda _name: None)
    bank = make_bank(tmp_path)
    with pytest.raises(BackendError, match=r"pip install 'sentryfuse-python\[openvino\]'"):
        OpenVinoBackend(bank, Store.of(bank, str(tmp_path)))
    with pytest.raises(BackendError, match="openvino is not installed"):
        next(build_openvino(bank, Store.of(bank, str(tmp_path))))


def test_one_line_says_so_when_openvino_is_no_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(openvino.importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setattr(openvino.importlib.metadata, "version", version)
    bank = make_bank(tmp_path)
    lack = openvino_lack(bank, Store.of(bank, str(tmp_path)))
    assert lack.startswith("openvino was not installed as a package and tells no version; pip install")


@needs_openvino
@pytest.mark.parametrize(
    ("wanted", "found", "precision", "told"),
    [
        ("float32", {"score": 0.0, "box": 0.0}, "float32", ""),
        ("float16", {}, "float32", ""),
        ("bfloat16", {}, "bfloat16", ""),
        ("auto", {}, "float32", ""),
        ("auto", {"score": 0.01, "box": 0.02}, "bfloat16", "moved scores by at most 0.01"),
        ("auto", {"score": 0.2, "box": 0.02}, "float32", "bfloat16 moved a score by 0.2 of 0.05"),
    ],
)
def test_openvino_computes_in_bfloat16_when_that_was_near_enough_here(
    tmp_path: Path, wanted: str, found: dict[str, float], precision: str, told: str
) -> None:
    store = Store(tmp_path)
    if found:
        keep(store, PARITY, bfloat16_here(), found)
        keep(store, PARITY, {**circumstances(), "processor": "another"}, {"score": 0.0, "box": 0.0})
    chosen, why = openvino_precision(wanted, store)
    assert chosen == precision
    assert told in why
    assert bool(told) == bool(why)


@needs_openvino
@pytest.mark.parametrize(("capable", "built"), [(True, ("float32", "bfloat16")), (False, ("float32",))])
def test_bfloat16_is_built_only_when_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, capable: bool, built: tuple[str, ...]
) -> None:
    class Core:
        def get_property(self, *_names: str) -> list[str]:
            return ["FP32", *["BF16"] * capable]

    monkeypatch.setattr(openvino, "_core", Core)
    assert openvino_precisions("auto") == built
    assert openvino_precisions("float32") == ("float32",)
    if not capable:
        bank = make_bank(tmp_path, max_level=1)
        with pytest.raises(BackendError, match=r"no instructions for it; set model\.precision"):
            build_openvino(bank, Store.of(bank, str(tmp_path)), precision="bfloat16")


def test_parts_of_a_bank_serve_all_its_sub_networks(tmp_path: Path) -> None:
    names = [str(part) for part in all_parts(make_bank(tmp_path, max_level=1))]
    assert names == [
        "audio0",
        "camera1",
        "camera1_tilted",
        "fuse1_head1",
        "imu0",
        "lidar1",
        "lidar1_tilted",
    ]
