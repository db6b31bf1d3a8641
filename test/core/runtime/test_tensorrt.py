"""TensorRT: what is said where it is missing, too old or cannot build, and names that no stale engine has.

No engine was ever run: the library and a GPU were not at hand. A stand-in has the names of the bindings.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from networks import make_bank

from sentryfuse_core.errors import BackendError
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.export import onnx_ending
from sentryfuse_core.runtime.store import Store, all_parts
from sentryfuse_core.runtime.tensorrt import TensorRtBackend, build_engines, engine_ending, load_tensorrt

CUDA = torch.device("cuda:0")


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return make_bank(tmp_path, max_level=1)


class Parser:
    """Reads what does not say 'bad'."""

    num_errors = 1

    def __init__(self, net: object, logger: object) -> None:
        self.net, self.logger = net, logger

    def parse(self, content: bytes) -> bool:
        return b"bad" not in content

    def get_error(self, index: int) -> str:
        return f"unsupported operator {index}"


class Profile:
    """What is fed in numbers that differ, with the least, the usual and the largest."""

    def __init__(self) -> None:
        self.sizes: dict[str, tuple[object, ...]] = {}

    def set_shape(self, name: str, *sizes: object) -> None:
        self.sizes[name] = sizes


class Config:
    """Takes a profile."""

    profile: Profile | None = None

    def add_optimization_profile(self, profile: Profile) -> None:
        self.profile = profile


class Builder:
    """Builds engines of a few bytes."""

    def __init__(self, logger: object) -> None:
        self.logger = logger

    def create_network(self, flags: int) -> int:
        return flags

    def create_builder_config(self) -> Config:
        return Config()

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, net: int, config: Config) -> bytes:
        sizes = config.profile.sizes if config.profile else {}
        return f"engine of network {net} {sizes}".encode()


class Logger:
    ERROR, WARNING = 1, 2

    def __init__(self, severity: int) -> None:
        self.severity = severity


def library(version: str = "10.13.3.9") -> Any:
    flags = SimpleNamespace(STRONGLY_TYPED=1)
    return SimpleNamespace(
        __version__=version,
        Logger=Logger,
        Builder=Builder,
        OnnxParser=Parser,
        NetworkDefinitionCreationFlag=flags,
    )


@pytest.fixture
def gpu_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))


def test_one_line_tells_what_to_install_when_tensorrt_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"cannot be imported .* model\.backend = auto"):
        load_tensorrt()


def test_one_line_names_the_version_when_tensorrt_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", library("8.6.1"))
    with pytest.raises(BackendError, match=r"TensorRT 8\.6\.1 is too old; install 10 or newer"):
        load_tensorrt()


@pytest.mark.usefixtures("gpu_seen")
def test_engine_has_another_name_when_gpu_version_or_precision_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = engine_ending("10.13.3.9", CUDA, "float16")
    assert before == "NVIDIA-H100-80GB-HBM3.sm90.trt10.13.3.9.float16.engine"
    names = {
        before,
        engine_ending("11.4.0.106", CUDA, "float16"),
        engine_ending("10.13.3.9", CUDA, "float32"),
    }
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Orin")
    names.add(engine_ending("10.13.3.9", CUDA, "float16"))
    assert len(names) == 4


@pytest.mark.usefixtures("gpu_seen")
def test_engines_are_built_once_and_again_when_tensorrt_changed(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.of(bank, str(tmp_path))
    assert all(store.build(bank, onnx_ending("float16"), lambda _part: b"model", anew=False))
    monkeypatch.setitem(sys.modules, "tensorrt", library())
    assert list(build_engines(bank, store, device="cuda", precision="float16")) == [True] * 7
    assert list(build_engines(bank, store, device="cuda", precision="float16")) == [False] * 7
    ending = engine_ending("10.13.3.9", CUDA, "float16")
    engines = {str(part): store.read(part, ending).decode() for part in all_parts(bank)}
    assert engines["audio0"] == "engine of network 2 {}"  # 1 << STRONGLY_TYPED
    assert "'pool': ((1, 2, 2), (1, 130, 130), (1, 256, 256))" in engines["fuse1_head1"]
    monkeypatch.setitem(sys.modules, "tensorrt", library("10.14.0"))
    assert list(build_engines(bank, store, device="cuda", precision="float16")) == [True] * 7


@pytest.mark.usefixtures("gpu_seen")
def test_one_line_tells_why_when_an_onnx_file_is_missing_or_not_understood(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", library())
    store = Store.of(bank, str(tmp_path))
    with pytest.raises(BackendError, match=r"cannot read .*audio0\.float16\.onnx: No such .*build-engines`"):
        next(build_engines(bank, store, device="cuda", precision="float16"))
    assert all(store.build(bank, onnx_ending("float16"), lambda _part: b"bad", anew=False))
    with pytest.raises(BackendError, match=r"10\.13\.3\.9 cannot read audio0: unsupported operator 0"):
        next(build_engines(bank, store, device="cuda", precision="float16"))


@pytest.mark.usefixtures("gpu_seen")
def test_backend_names_the_remedy_when_engines_of_this_machine_are_missing(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", library())
    store = Store.of(bank, str(tmp_path))
    with pytest.raises(BackendError, match=r"7 engines .*sm90.trt10.* run `sentryfuse build-engines`"):
        TensorRtBackend(bank, store, bank.network)
