"""Which backend is chosen where, and the one line that says why."""

from __future__ import annotations

from dataclasses import fields

import pytest

from sentryfuse_core.config import ModelConfig
from sentryfuse_core.runtime.choose import choose
from sentryfuse_core.runtime.load import BACKENDS

LACK = "onnxruntime is not installed; pip install 'sentryfuse-python[onnx]'"


@pytest.mark.parametrize(
    ("device", "lack", "backend", "told"),
    [
        ("cuda", LACK, "cuda_graph", "there is a CUDA device"),
        ("cuda", "", "cuda_graph", "there is a CUDA device"),
        ("cpu", "", "onnx", "fastest measured on a CPU"),
        ("cpu", LACK, "eager", "onnxruntime is not installed; pip install"),
    ],
)
def test_auto_takes_what_is_there_and_says_why(device: str, lack: str, backend: str, told: str) -> None:
    choice = choose("auto", device=device, onnx_lack=lack)
    assert choice.backend == backend
    assert choice.reason.startswith(f"{backend}: ")
    assert told in choice.reason
    assert not choice.fault


@pytest.mark.parametrize("wanted", ["eager", *BACKENDS])
def test_a_named_backend_is_taken_when_the_device_suits_it(wanted: str) -> None:
    choice = choose(wanted, device="cuda", onnx_lack=LACK)
    assert (choice.backend, choice.fault) == (wanted, "")
    assert "asked for" in choice.reason


def test_every_choice_of_the_parameter_can_be_made() -> None:
    option = next(field for field in fields(ModelConfig) if field.name == "backend")
    assert set(option.metadata["choices"]) == {"auto", "eager", *BACKENDS}
