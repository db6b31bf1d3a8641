"""ONNX Runtime as a backend; the only file that imports onnxruntime."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from sentryfuse_core.errors import BackendError
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import device_name
from sentryfuse_core.runtime.engines import Engine, EngineBackend, told
from sentryfuse_core.runtime.export import onnx_ending
from sentryfuse_core.runtime.lean.form import Part
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.text import reason_of

__all__ = ["OnnxBackend", "OnnxModel", "onnx_lack"]

_ENDING = onnx_ending("float32")
_FAILED = "ONNX Runtime failed"
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3  # severity of ONNX Runtime's log


def onnx_lack(bank: Bank, store: Store) -> str:
    """What keeps ONNX Runtime from running this bank, with the remedy; empty when nothing does."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed; pip install 'sentryfuse-python[onnx]'"
    missing = store.missing(bank, _ENDING)
    if missing:
        return f"{len(missing)} ONNX files are not in {store.folder}; run `sentryfuse build-engines`"
    return ""


class OnnxBackend(EngineBackend):
    """One session a part, see `Engines`."""

    name = "onnx"

    def __init__(
        self, bank: Bank, store: Store, *, device: str = "cpu", threads: int = 0, reason: str = ""
    ) -> None:
        """Raises BackendError when the package, a file or the device's provider is missing."""
        lack = onnx_lack(bank, store)
        if lack:
            raise BackendError(f"onnx was asked for but {lack}")
        try:
            import onnxruntime
        except ImportError as error:  # built for another numpy, or without a library it needs
            raise BackendError(
                f"onnxruntime cannot be imported ({reason_of(error)}); install it anew, or set "
                f"model.backend = eager"
            ) from error

        where = torch.device(device)
        self._runtime: Any = onnxruntime
        self._provider = _PROVIDERS[where.type]
        self._provider_options = {} if where.index is None else {"device_id": str(where.index)}
        if self._provider not in onnxruntime.get_available_providers():
            raise BackendError(
                f"this onnxruntime has no {self._provider}; pip install onnxruntime-gpu, or set "
                f"model.device = cpu"
            )
        super().__init__(bank, self._opened, reason=reason)
        self.device = device if where.type == "cpu" else device_name(where)
        self._store = store
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.inter_op_num_threads = 1
        # Threads that spin after each run take the cores from everything else on the robot.
        self._options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._options.log_severity_level = _ERRORS_ONLY

    def _opened(self, key: Part) -> Engine:
        content = self._store.read(key, _ENDING)
        with told(_FAILED):
            provider = (self._provider, self._provider_options)
            session = self._runtime.InferenceSession(content, self._options, providers=[provider])
        if self._provider not in session.get_providers():  # it falls back to the CPU without an error
            raise BackendError(f"{self._provider} does not start; see ONNX Runtime's log")

        def run(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            with told(_FAILED):
                names = [item.name for item in session.get_inputs()]
                feed = {name: item.numpy() for name, item in zip(names, tensors, strict=True)}
                return tuple(torch.from_numpy(values) for values in session.run(None, feed))

        return run


class OnnxModel:
    """A file of anybody's with one input, on the CPU: an array in, outputs by their names."""

    def __init__(self, path: Path, *, outputs: Sequence[str]) -> None:
        """Raises BackendError when the package is missing or the file is not of this form."""
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError(
                f"{path} needs onnxruntime ({reason_of(error)}); pip install 'sentryfuse-python[onnx]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[_PROVIDERS["cpu"]])
        except Exception as error:
            raise BackendError(f"{path} is no ONNX file that runs: {reason_of(error)}") from error
        self._path, self._outputs = path, tuple(outputs)
        given, names = self._session.get_inputs(), [item.name for item in self._session.get_outputs()]
        if len(given) != 1 or not set(outputs) <= set(names):
            raise BackendError(
                f"{path} has {len(given)} inputs and the outputs {', '.join(names)}; it should have one "
                f"input and {', '.join(outputs)}"
            )
        self._input = given[0].name
        # Sides of the input; 0: any.
        self.input_shape = tuple(side if isinstance(side, int) else 0 for side in given[0].shape)

    def __call__(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Raises BackendError when the file cannot take them."""
        try:
            found = self._session.run(list(self._outputs), {self._input: values})
        except Exception as error:
            raise BackendError(f"{self._path} failed: {reason_of(error)}") from error
        return dict(zip(self._outputs, found, strict=True))
