"""OpenVINO as a backend; the only file that imports openvino."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import time_all
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.engines import examples, run_parts
from sentryfuse_core.runtime.lean.form import LeanForm, Part
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import Plan

__all__ = ["OpenVinoBackend", "build_openvino", "openvino_lack"]

_INSTALL = "pip install 'sentryfuse-python[openvino]'"


def openvino_lack(bank: Bank, store: Store) -> str:
    """What keeps OpenVINO from running this bank, with the remedy; empty when nothing does."""
    absent = _absent()
    if absent:
        return absent
    missing = store.missing(bank, _ending())
    if missing:
        return f"{len(missing)} OpenVINO files are not in {store.folder}; run `sentryfuse build-engines`"
    return ""


class OpenVinoBackend:
    """One compiled part each, read by the warm-up or on first use."""

    name = "openvino"
    device = "cpu"
    batches = False

    def __init__(self, bank: Bank, store: Store, *, threads: int = 0, reason: str = "") -> None:
        """Raises BackendError when the package or a file is missing."""
        lack = openvino_lack(bank, store)
        if lack:
            raise BackendError(f"openvino was asked for but {lack}")
        self.faults: tuple[str, ...] = ()
        self.reason = reason
        self._bank, self._store = bank, store
        self._core = _core()
        self._settings = _settings(threads)
        self._requests: dict[Part, Any] = {}

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU; raises BackendError when a part cannot be read or fails."""
        output = run_parts(self._bank, self._run, inputs, plan)
        # What a part gives lies in memory that its next run writes.
        evidence = {modality: logits.clone() for modality, logits in output.evidence.items()}
        return HeadOutput(output.heatmap.clone(), output.boxes.clone(), evidence)

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Read and run every part; median milliseconds by (mask bits, level)."""
        return time_all(self.run, self._bank)

    def _run(self, key: Part, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        try:
            request = self._requests.get(key)
            if request is None:
                request = self._requests[key] = self._read(key)
            feed = [item.contiguous().numpy() for item in tensors]
            maps = request.infer(feed, share_inputs=True, share_outputs=True)
        except (RuntimeError, OSError) as error:  # openvino's own are RuntimeErrors
            raise BackendError(
                f"OpenVINO failed at {key}: {reason_of(error)}; model.backend = eager"
            ) from error
        return tuple(torch.from_numpy(maps[index]) for index in range(len(maps)))

    def _read(self, key: Part) -> Any:
        content = io.BytesIO(self._store.path(key, _ending()).read_bytes())
        return self._core.import_model(content, "CPU", self._settings).create_infer_request()


def build_openvino(bank: Bank, store: Store, *, threads: int = 0, anew: bool = False) -> Iterator[bool]:
    """Compile every loaded part that the store does not have, or all `anew`; one value each: built.

    Raises BackendError where the package is missing, at once, or a part cannot be compiled.
    """
    absent = _absent()
    if absent:
        raise BackendError(absent)
    core, form, given = _core(), LeanForm(bank.network, engine=True), examples(bank)

    def build(key: Part) -> bytes:
        try:
            return _compiled(core, key, form, given[key], _settings(threads))
        except RuntimeError as error:
            raise BackendError(f"OpenVINO cannot compile {key}: {reason_of(error)}") from error

    return store.build(bank, _ending(), build, anew=anew)


def _compiled(
    core: Any, key: Part, form: LeanForm, tensors: tuple[Tensor, ...], settings: Mapping[str, str]
) -> bytes:
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # Not openvino.convert_model: it reports what is converted to its makers, from a process of its own, and
    # waits for that where there is no network.
    frontend = FrontEndManager().load_by_framework("pytorch")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's tracer: sizes are fixed, and meant to be
        traced = TorchScriptPythonDecoder(form.part(key), example_input=tensors)
        model = frontend.convert(frontend.load(traced))
    shapes = [list(item.shape) for item in tensors]
    if key.name == "fuse":  # tokens and keys, see `LeanFuse.forward`
        shapes[1][1] = shapes[2][1] = shapes[3][1] = shapes[3][2] = -1
    model.reshape({index: openvino.PartialShape(shape) for index, shape in enumerate(shapes)})
    content = io.BytesIO()
    core.compile_model(model, "CPU", settings).export_model(content)
    return content.getvalue()


def _absent() -> str:
    """Why there is no package that can be used, with the remedy; empty where there is one."""
    if importlib.util.find_spec("openvino") is None:
        return f"openvino is not installed; {_INSTALL}"
    try:
        importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:  # an archive on the path, or any folder of that name
        return f"openvino was not installed as a package and tells no version; {_INSTALL}"
    return ""


def _core() -> Any:
    try:
        import openvino
    except ImportError as error:  # built for another numpy, or without a library it needs
        raise BackendError(
            f"openvino cannot be imported ({reason_of(error)}); install it anew, or set model.backend = eager"
        ) from error
    return openvino.Core()


def _settings(threads: int) -> dict[str, str]:
    """For one set at a time in float32; threads are not bound to cores, which others may use."""
    count = {"INFERENCE_NUM_THREADS": str(threads)} if threads else {}
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": "NO",
        **count,
    }


def _ending() -> str:
    """Ending of a compiled part's name: it is only read by the version that wrote it."""
    return f"float32.ov{importlib.metadata.version('openvino')}.blob"
