"""Which backend is chosen where, and the one line that says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import pytest
from networks import make_bank

from sentryfuse_core.config import ModelConfig
from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime import load
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.choose import choose
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.load import BACKENDS, Parts, make_backend
from sentryfuse_core.runtime.measured import circumstances, keep, kept, measure
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.types import Plan

LACK = {"openvino": "openvino is not installed; pip install it", "onnx": "files are missing"}
READY = {"openvino": "", "onnx": ""}
TIMES = {"eager": 20.0, "onnx": 14.0, "openvino": 10.0}


@pytest.mark.parametrize(
    ("device", "lacks", "times", "backend", "told"),
    [
        ("cuda", LACK, {}, "cuda_graph", "there is a CUDA device"),
        ("cuda", READY, TIMES, "cuda_graph", "there is a CUDA device"),
        ("cpu", READY, TIMES, "openvino", "2.00 times as fast as eager when measured here"),
        ("cpu", {**READY, "openvino": "gone"}, TIMES, "onnx", "1.43 times as fast"),
        ("cpu", READY, {**TIMES, "eager": 5.0}, "eager", "2.00 times as fast as openvino when measured here"),
        (
            "cpu",
            LACK,
            TIMES,
            "eager",
            "is not installed; pip install it; for onnx files are missing",
        ),
    ],
)
def test_auto_takes_the_fastest_that_is_there_and_says_why(
    device: str, lacks: Mapping[str, str], times: Mapping[str, float], backend: str, told: str
) -> None:
    choice = choose("auto", device=device, lacks=lacks, times_ms=times)
    assert choice.backend == backend
    assert choice.reason.startswith(f"{backend}: ")
    assert told in choice.reason
    assert not choice.fault


@pytest.mark.parametrize("wanted", ["eager", *BACKENDS])
def test_a_named_backend_is_taken_when_the_device_suits_it(wanted: str) -> None:
    choice = choose(wanted, device="cuda", lacks=LACK, times_ms={})
    assert (choice.backend, choice.fault) == (wanted, "")
    assert "asked for" in choice.reason


def test_every_choice_of_the_parameter_can_be_made() -> None:
    option = next(field for field in fields(ModelConfig) if field.name == "backend")
    assert set(option.metadata["choices"]) == {"auto", "eager", *BACKENDS}


def test_times_are_kept_for_the_same_circumstances_and_a_damaged_file_says_nothing(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, max_level=1)
    store, here = Store.of(bank, str(tmp_path)), circumstances(threads=1)
    assert kept(store, "measured", here) == {}
    eager = EagerBackend(bank, threads=1)
    found = measure(bank, {"eager": eager, "other": eager}, levels=bank.loaded)
    assert set(found) == {"eager", "other"}
    assert all(time_ms > 0.0 for time_ms in found.values())
    keep(store, "measured", here, found)
    assert kept(store, "measured", here) == found
    assert kept(store, "measured", circumstances(threads=2)) == {}
    assert kept(store, "measured", {**here, "processor": "another"}) == {}
    path = next(store.folder.glob("measured.*.json"))
    for damaged in (b"no json", b"[]", b'{"of": {}, "values": {}}', b'{"of": null}'):
        store.write(path, damaged)
        assert kept(store, "measured", here) == {}


def test_measuring_ends_early_when_it_takes_too_long(tmp_path: Path) -> None:
    bank, runs = make_bank(tmp_path, max_level=1), []

    class Counted(EagerBackend):
        def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
            runs.append(plan)
            return super().run(inputs, plan)

    measure(bank, {"eager": Counted(bank, threads=1)}, levels=bank.loaded, most_s=0.0)
    assert len(runs) == 3  # one that is not timed, and two


class Slow(EagerBackend):
    """Stands in for openvino: eager on the same bank, so that files and package are not needed."""

    name = "openvino"


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> list[Parts]:
    """openvino lacks nothing; what was made of it."""
    made: list[Parts] = []

    def make(of: Parts) -> Backend:
        made.append(of)
        return Slow(of.bank, threads=of.threads, reason=of.reason)

    monkeypatch.setattr(load, "openvino_lack", lambda *_args, **_options: "")
    monkeypatch.setattr(load, "onnx_lack", lambda *_args: "no onnx")
    monkeypatch.setattr(load, "BACKENDS", {**load.BACKENDS, "openvino": make})
    return made


def test_auto_measures_at_the_first_start_and_remembers_it_for_this_number_of_threads(
    tmp_path: Path, ready: list[Parts]
) -> None:
    bank = make_bank(tmp_path, max_level=1)
    config = ModelConfig(device="cpu", engine_dir=str(tmp_path), threads=1)
    first = make_backend(bank, config)
    assert "when measured here" in first.reason
    made = len(ready)
    assert made >= 1
    second = make_backend(bank, config)
    assert second.reason == first.reason
    assert len(ready) - made == (second.name == "openvino")  # made to run, not to be measured
    make_backend(bank, replace(config, threads=2))
    assert len(list(Store.of(bank, str(tmp_path)).folder.glob("measured.*.json"))) == 2


def test_auto_says_so_when_what_it_measured_cannot_be_kept(tmp_path: Path, ready: list[Parts]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    config = ModelConfig(device="cpu", engine_dir=str(tmp_path / "file"), threads=1)
    backend = make_backend(make_bank(tmp_path, max_level=1), config)
    assert "when measured here; measured again at each start: cannot write" in backend.reason
    assert ready


def test_auto_is_eager_and_says_why_when_the_other_one_fails_while_it_is_measured(
    tmp_path: Path, ready: list[Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> HeadOutput:
        raise BackendError("OpenVINO failed at camera1")

    monkeypatch.setattr(Slow, "run", fail)
    backend = make_backend(
        make_bank(tmp_path, max_level=1), ModelConfig(device="cpu", engine_dir=str(tmp_path))
    )
    assert backend.name == "eager"
    assert "for openvino OpenVINO failed at camera1" in backend.reason
    assert ready
