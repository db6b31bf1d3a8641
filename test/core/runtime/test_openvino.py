"""OpenVINO on parts: what eager gives for any sensors, and one line where it cannot run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import replace
from pathlib import Path

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
from sentryfuse_core.runtime.lean.form import parts_of
from sentryfuse_core.runtime.load import make_backend
from sentryfuse_core.runtime.openvino import OpenVinoBackend, build_openvino, openvino_lack
from sentryfuse_core.runtime.store import Store, all_parts
from sentryfuse_core.types import ModalitySet

TOLERANCE = 1e-4  # of logits and metres
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")


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
def test_openvino_leaves_earlier_answers_alone_when_it_runs_again(built: tuple[Bank, Store]) -> None:
    bank, store = built
    backend, plan = OpenVinoBackend(bank, store, threads=1), bank.plan(ModalitySet.all(), 1, "")
    first = backend.run(measured_input(0), plan)
    kept = first.heatmap.clone()
    assert not torch.equal(backend.run(measured_input(1), plan).heatmap, kept)
    assert torch.equal(first.heatmap, kept)


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
    path.write_bytes(b"no part")
    try:
        backend.run(measured_input().only(plan.mask), plan)
    finally:
        path.write_bytes(content)
    assert backend.name == "eager"
    assert f"OpenVINO failed at {first}" in backend.faults[0]


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
