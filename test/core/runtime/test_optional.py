"""Optional backends: equal to eager where they run, one clear line and eager where they do not."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from networks import assert_close, checkpoint, make_bank, model_input, needs_onnx

from sentryfuse_core.cli import main
from sentryfuse_core.clock import ManualClock
from sentryfuse_core.config import ModelConfig
from sentryfuse_core.errors import BackendError
from sentryfuse_core.runtime import compiled, load, onnx
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.compiled import CompiledBackend
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.export import build_onnx
from sentryfuse_core.runtime.lean.form import Part
from sentryfuse_core.runtime.load import make_backend
from sentryfuse_core.runtime.measured import circumstances, keep
from sentryfuse_core.runtime.onnx import OnnxBackend
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.types import Modality, ModalitySet

TOLERANCE = 1e-4  # of logits and metres, float32


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bank, Store]:
    """ONNX files of all parts of a small network."""
    folder = tmp_path_factory.mktemp("onnx")
    bank = make_bank(folder)
    store = Store.of(bank, str(folder))
    assert sum(build_onnx(bank, store, precision="float32")) == 12
    return bank, store


def assert_equals_eager(bank: Bank, backend: Backend, mask: ModalitySet, level: int) -> None:
    inputs, plan = model_input(mask.bits, batch=1).only(mask), bank.plan(mask, level, "")
    expected, found = EagerBackend(bank).run(inputs, plan), backend.run(inputs, plan)
    assert_close(found, expected, most=TOLERANCE)


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("mask", ModalitySet.subsets(), ids=str)
def test_onnx_equals_eager_when_run(built: tuple[Bank, Store], mask: ModalitySet, level: int) -> None:
    bank, store = built
    assert_equals_eager(bank, OnnxBackend(bank, store, threads=1), mask, level)


@needs_onnx
@pytest.mark.slow
def test_files_of_all_levels_serve_when_only_a_prefix_is_loaded(
    built: tuple[Bank, Store], tmp_path: Path
) -> None:
    _, store = built
    narrow = make_bank(tmp_path, max_level=1)
    backend = OnnxBackend(narrow, store, threads=1)
    assert len(backend.warm_up()) == 15
    assert_equals_eager(narrow, backend, ModalitySet.all(), 1)


@needs_onnx
@pytest.mark.slow
def test_nothing_is_built_again_when_all_files_are_there(built: tuple[Bank, Store]) -> None:
    bank, store = built
    assert list(build_onnx(bank, store, precision="float32")) == [False] * 12


@needs_onnx
@pytest.mark.slow
def test_auto_takes_onnx_and_eager_takes_over_when_a_file_is_damaged(built: tuple[Bank, Store]) -> None:
    bank, store = built
    config = ModelConfig(device="cpu", engine_dir=str(store.folder.parent))
    here = circumstances(threads=config.threads, openvino="float32", backends="onnx", max_level=0)
    keep(store, "measured", here, {"eager": 2.0, "onnx": 1.0})
    backend = make_backend(bank, config, clock=ManualClock())
    assert (backend.name, backend.faults) == ("onnx", ())
    assert backend.reason.startswith("onnx: 2.00 times as fast")
    path = store.path(Part("fuse", 1, 1), "float32.onnx")
    content = path.read_bytes()
    path.write_bytes(b"no model")
    try:
        found = backend.run(model_input(batch=1), bank.plan(ModalitySet.all(), 1, ""))
    finally:
        path.write_bytes(content)
    assert found.heatmap.shape == (1, 3, 32, 32)
    assert backend.name == "eager"
    assert f"{path} is damaged" in backend.faults[0]


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch) -> None:
    """No optional package can be found."""
    find = importlib.util.find_spec

    def nothing(name: str, package: str | None = None) -> object:
        hidden = name in ("onnx", "onnxscript", "onnxruntime", "openvino", "tensorrt", "triton")
        return None if hidden else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    monkeypatch.setitem(sys.modules, "tensorrt", None)


@pytest.mark.usefixtures("lonely")
def test_eager_runs_and_one_line_names_the_package_when_onnx_runtime_is_missing(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    backend = make_backend(bank, ModelConfig(device="cpu", backend="onnx", engine_dir=str(tmp_path)))
    assert (backend.name, backend.device) == ("eager", "cpu")
    wanted = "onnx was asked for but onnxruntime is not installed; pip install 'sentryfuse-python[onnx]'"
    assert backend.faults == (f"running eager on cpu: {wanted}",)
    assert backend.reason == f"eager: {wanted}"
    auto = make_backend(bank, ModelConfig(device="cpu", engine_dir=str(tmp_path)))
    assert (auto.name, auto.faults) == ("eager", ())
    assert "onnxruntime is not installed" in auto.reason


def test_one_line_names_the_command_when_onnx_files_are_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx.importlib.util, "find_spec", lambda _name: object())
    bank = make_bank(tmp_path)
    with pytest.raises(BackendError, match=r"12 ONNX files are not in .*; run `sentryfuse build-engines`"):
        OnnxBackend(bank, Store.of(bank, str(tmp_path)))


@pytest.mark.parametrize("wanted", ["cuda_graph", "tensorrt"])
def test_eager_runs_with_a_fault_when_a_cuda_backend_is_asked_for_on_the_cpu(
    tmp_path: Path, wanted: str
) -> None:
    backend = make_backend(make_bank(tmp_path), ModelConfig(device="cpu", backend=wanted))
    assert backend.name == "eager"
    assert f"{wanted} was asked for but there is no CUDA device" in backend.faults[0]
    assert backend.faults[0] in backend.reason


def test_one_line_names_the_package_when_no_compiler_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda _name: None)
    backend = make_backend(make_bank(tmp_path), ModelConfig(device="cpu", backend="compiled"))
    assert backend.name == "eager"
    assert "no C++ compiler" in backend.faults[0]
    assert "sudo apt install build-essential" in backend.faults[0]


@pytest.mark.usefixtures("lonely")
def test_eager_stays_on_the_device_when_only_the_backend_asked_for_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnDevice(EagerBackend):
        """Says that it runs where it was asked to."""

        def __init__(self, bank: Bank, *, device: str = "cpu", **options: Any) -> None:
            super().__init__(bank, **options)
            self.device = device

    monkeypatch.setattr(load, "EagerBackend", OnDevice)
    backend = make_backend(make_bank(tmp_path), ModelConfig(device="cuda", backend="tensorrt"))
    assert (backend.name, backend.device) == ("eager", "cuda")
    assert backend.faults[0].startswith(
        "running eager on cuda: tensorrt was asked for but cannot be imported"
    )
    assert backend.reason.startswith("eager: tensorrt was asked for")


def test_one_line_says_so_when_onnx_runtime_is_there_but_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "onnx_lack", lambda _bank, _store: "")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    bank = make_bank(tmp_path)
    with pytest.raises(BackendError, match="onnxruntime cannot be imported"):
        OnnxBackend(bank, Store.of(bank, str(tmp_path)))


def stand_in(*, started: list[str]) -> Any:
    """An ONNX Runtime whose sessions run on the providers `started`, whatever they are asked for."""

    class Session:
        def __init__(self, path: str, options: object, *, providers: list[Any]) -> None:
            self.path, self.options, self.asked = path, options, providers

        def get_providers(self) -> list[str]:
            return started

        def get_inputs(self) -> list[Any]:
            raise RuntimeError(f"ran on {self.asked}")

    return SimpleNamespace(
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        SessionOptions=lambda: SimpleNamespace(add_session_config_entry=lambda _name, _value: None),
        InferenceSession=Session,
    )


@pytest.mark.parametrize(
    ("started", "told"),
    [
        (["CUDAExecutionProvider"], r"ran on \[\('CUDAExecutionProvider', \{'device_id': '1'\}\)\]"),
        (["CPUExecutionProvider"], "CUDAExecutionProvider does not start"),
    ],
)
def test_onnx_takes_the_device_asked_for_or_fails_when_it_is_a_gpu(
    started: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "onnx_lack", lambda _bank, _store: "")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _index: "NVIDIA H100")
    monkeypatch.setitem(sys.modules, "onnxruntime", stand_in(started=started))
    bank = make_bank(tmp_path)
    store = Store.of(bank, str(tmp_path))
    assert all(store.build(bank, "float32.onnx", lambda _part: b"model", anew=False))
    backend = OnnxBackend(bank, store, device="cuda:1")
    assert backend.device == "cuda:1 NVIDIA H100"
    with pytest.raises(BackendError, match=told):
        backend.run(model_input(batch=1), bank.plan(ModalitySet.all(), 0, ""))


@pytest.mark.usefixtures("lonely")
def test_one_line_names_triton_when_compiling_for_cuda_without_it(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    with pytest.raises(BackendError, match="triton is not installed"):
        CompiledBackend(bank, bank.network, device="cuda")


def test_compiled_runs_the_network_as_it_is_when_not_warmed_up(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    assert_equals_eager(bank, CompiledBackend(bank, bank.network), ModalitySet.all(), 1)


def test_compiled_does_not_pass_for_compiled_when_compiling_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError("no such header")

    bank = make_bank(tmp_path)
    backend = CompiledBackend(bank, bank.network)
    monkeypatch.setattr(compiled.torch, "compile", fail)
    with pytest.raises(BackendError, match=r"cannot compile .*no such header"):
        backend.warm_up()
    with pytest.raises(BackendError, match=r"cannot compile .*no such header"):
        backend.run(model_input(batch=1), bank.plan(ModalitySet.all(), 0, ""))


def compile_two(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both levels of the smallest sub-network compiled, and compared."""
    chosen = [(ModalitySet.of(Modality.IMU), level) for level in bank.loaded]
    monkeypatch.setattr(Bank, "sub_networks", tuple(bank.plan(mask, level, "") for mask, level in chosen))
    monkeypatch.setattr(compiled, "time_all", lambda _run, _bank: {})
    backend = CompiledBackend(bank, bank.network)
    backend.warm_up()
    for mask, level in chosen:
        assert_equals_eager(bank, backend, mask, level)


@pytest.mark.slow
def test_compiled_equals_eager_when_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # All of torch.compile but writing and building C++, which takes half a minute a sub-network.
    compile_with = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(compiled.torch, "compile", compile_with)
    compile_two(make_bank(tmp_path), monkeypatch)


@pytest.mark.bench
def test_compiled_equals_eager_when_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_two(make_bank(tmp_path), monkeypatch)


@pytest.mark.usefixtures("lonely")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--for", "onnx"], "exporting needs onnx and onnxscript; pip install 'sentryfuse-python[onnx]'"),
        (["--for", "tensorrt", "--set", "model.device=cpu"], "TensorRT needs a CUDA device"),
    ],
)
def test_build_engines_says_in_one_line_what_is_missing(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build-engines", *words, "--set", f"model.engine_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@needs_onnx
@pytest.mark.slow
def test_build_engines_keeps_what_is_there_when_run_again(
    built: tuple[Bank, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    _, store = built
    weights = store.folder.parent / "small.safetensors"
    settings = [f"model.engine_dir={store.folder.parent}", f"model.checkpoint={weights}", "model.device=cpu"]
    words = [word for item in settings for word in ("--set", item)]
    assert main(["build-engines", "--for", "onnx", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ONNX files, float32: 0 built, 12 kept")
    assert [line.split()[0] for line in lines[-2:]] == ["eager", "onnx"]


@pytest.mark.usefixtures("lonely")
def test_build_engines_tells_and_removes_what_other_weights_left_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, root = checkpoint(tmp_path).path, tmp_path / "engines"
    settings = (f"model.engine_dir={root}", f"model.checkpoint={weights}", "model.device=cpu")
    words = ["build-engines", *(word for item in settings for word in ("--set", item))]
    own, other = Store.of(make_bank(tmp_path), str(root)), Store(root / "0123456789abcdef")
    for store in (own, other):
        keep(store, "measured", circumstances(threads=1), {"eager": 1.0})
    assert main(words) == 0
    told = capsys.readouterr().out
    assert f"there too: 1 folder (0.0 MB) of other weights, torch or code:\n  {other.folder}: 0.0 MB" in told
    assert "--remove-others" in told
    assert other.folder.exists()
    assert main([*words, "--remove-others"]) == 0
    assert f"removing 1 folder (0.0 MB) of other weights, torch or code:\n  {other.folder}" in (
        capsys.readouterr().out
    )
    assert [path.name for path in root.iterdir()] == [own.folder.name]  # what is in use stays
    assert main([*words, "--remove-others"]) == 0
    assert "folder" not in capsys.readouterr().out
