"""Which backend is chosen where, and the one line that says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from networks import make_bank

from sentryfuse_core.config import ModelConfig
from sentryfuse_core.runtime.choose import choose
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.load import BACKENDS
from sentryfuse_core.runtime.measured import measure, measured
from sentryfuse_core.runtime.store import Store

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
        ("cpu", READY, {**TIMES, "eager": 5.0}, "eager", "the fastest of those measured here"),
        (
            "cpu",
            LACK,
            TIMES,
            "eager",
            "is not installed; pip install it; for onnx files are missing",
        ),
        ("cpu", READY, {}, "eager", "run `sentryfuse build-engines --anew`"),
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


def test_times_are_kept_for_the_next_start_and_a_damaged_file_says_nothing(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, max_level=1)
    store = Store.of(bank, str(tmp_path))
    assert measured(store) == {}
    eager = EagerBackend(bank, threads=1)
    found = measure(bank, {"eager": eager, "other": eager}, store)
    assert measured(store) == found
    assert set(found) == {"eager", "other"}
    assert all(time_ms > 0.0 for time_ms in found.values())
    for damaged in (b"no json", b"[]", b'{"eager": null}'):
        store.write(store.folder / "measured.json", damaged)
        assert measured(store) == {}
