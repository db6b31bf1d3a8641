"""OpenVINO as a backend; the only file that imports openvino."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.engines import Engine, EngineBackend, examples, told
from sentryfuse_core.runtime.lean.form import LeanForm, Part
from sentryfuse_core.runtime.measured import circumstances, kept
from sentryfuse_core.runtime.parity import too_far
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import Plan

__all__ = [
    "PARITY",
    "OpenVinoBackend",
    "bfloat16_here",
    "build_openvino",
    "openvino_lack",
    "openvino_precision",
    "openvino_precisions",
]

PARITY = "parity"  # of what is kept
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_INSTALL = "pip install 'sentryfuse-python[openvino]'"


def openvino_lack(bank: Bank, store: Store, *, precision: str = "float32") -> str:
    """What keeps OpenVINO from running this bank, with the remedy; empty when nothing does."""
    absent = _absent()
    if absent:
        return absent
    missing = store.missing(bank, _ending(precision))
    if missing:
        return f"{len(missing)} OpenVINO files are not in {store.folder}; run `sentryfuse build-engines`"
    return ""


class OpenVinoBackend(EngineBackend):
    """One compiled part each, see `Engines`."""

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        bank: Bank,
        store: Store,
        *,
        threads: int = 0,
        precision: str = "float32",
        reason: str = "",
    ) -> None:
        """Raises BackendError when the package, a file or the processor's `precision` is missing."""
        lack = openvino_lack(bank, store, precision=precision)
        if lack:
            raise BackendError(f"openvino was asked for but {lack}")
        super().__init__(bank, self._read, reason=reason)
        self._store = store
        self._core = _core()
        _check(self._core, precision)
        self._settings = _settings(threads, precision)
        self._ending = _ending(precision)

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU; raises BackendError when a part cannot be read or fails."""
        output = super().run(inputs, plan)
        # What a part gives lies in memory that its next run writes.
        evidence = {modality: logits.clone() for modality, logits in output.evidence.items()}
        return HeadOutput(output.heatmap.clone(), output.boxes.clone(), evidence)

    def _read(self, key: Part) -> Engine:
        content = io.BytesIO(self._store.read(key, self._ending))
        with told(f"OpenVINO failed at {key}"):
            opened = _Opened(self._core.import_model(content, "CPU", self._settings))

        def run(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            with told(f"OpenVINO failed at {key}"):
                return opened(tensors)

        return run


class _Opened:
    """A compiled part that is fed through memory of its own: handing over arrays takes .3 ms a run more."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._given: list[Tensor] = [torch.empty(0)] * len(compiled.inputs)
        self._maps: tuple[Tensor, ...] = ()

    def __call__(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What the part gives, in memory that its next run writes."""
        new = [index for index, item in enumerate(tensors) if self._given[index].shape != item.shape]
        for index in new:
            self._given[index] = self._room(index, tensors[index])
            self._maps = ()  # which may lie elsewhere then
        for room, item in zip(self._given, tensors, strict=True):
            room.copy_(item)
        self._request.infer(share_outputs=True)
        if not self._maps:
            self._maps = tuple(torch.from_numpy(item.data) for item in self._request.output_tensors)
        return self._maps

    def _room(self, index: int, like: Tensor) -> Tensor:
        import openvino

        tensor = openvino.Tensor(openvino.Type.f32, list(like.shape))
        self._request.set_input_tensor(index, tensor)
        return torch.from_numpy(tensor.data)


def build_openvino(
    bank: Bank, store: Store, *, precision: str = "float32", threads: int = 0, anew: bool = False
) -> Iterator[bool]:
    """Compile every loaded part that the store does not have, or all `anew`; one value each: built.

    Raises BackendError where the package or the processor's `precision` is missing, at once, or a part
    cannot be compiled.
    """
    absent = _absent()
    if absent:
        raise BackendError(absent)
    core, form, given = _core(), LeanForm(bank.network, engine=True), examples(bank)
    _check(core, precision)

    def build(key: Part) -> bytes:
        with told(f"OpenVINO cannot compile {key}"):
            return _compiled(core, key, form, given[key], _settings(threads, precision))

    return store.build(bank, _ending(precision), build, anew=anew)


def openvino_precisions(wanted: str) -> tuple[str, ...]:
    """What `model.precision` may come to on this processor, the one that always runs first.

    Raises BackendError where the package cannot be imported.
    """
    if wanted == "bfloat16":
        return ("bfloat16",)
    return ("float32", "bfloat16") if wanted == "auto" and _has_bfloat16(_core()) else ("float32",)


def openvino_precision(wanted: str, store: Store) -> tuple[str, str]:
    """What openvino computes in for `model.precision`, and why; empty where nobody needs to be told.

    auto is bfloat16 where `build-engines` found it near enough to eager on this processor. openvino itself is
    not asked: importing it takes longer than a node may that then runs eager.
    """
    if wanted != "auto":
        return ("bfloat16", "") if wanted == "bfloat16" else ("float32", "")
    found = {} if _absent() else kept(store, PARITY, bfloat16_here())
    if not found:
        return "float32", ""
    far = too_far(found)
    if far:
        return "float32", f"in float32, since bfloat16 moved {far} when compared here"
    return "bfloat16", f"in bfloat16, which moved scores by at most {found['score']:.2g} when compared here"


def bfloat16_here() -> Mapping[str, str]:
    """What a comparison of bfloat16 with eager holds for."""
    return circumstances(ending=_ending("bfloat16"))


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


@cache
def _core() -> Any:
    """The one core of this process.

    OpenVINO gives the thread that loads it another stack for signals. Of two cores that end in the order in
    which they began, the second leaves it with the first one's, which is freed: the next signal is a crash.
    """
    try:
        import openvino
    except ImportError as error:  # built for another numpy, or without a library it needs
        raise BackendError(
            f"openvino cannot be imported ({reason_of(error)}); install it anew, or set model.backend = eager"
        ) from error
    return openvino.Core()


def _has_bfloat16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _check(core: Any, precision: str) -> None:
    if precision == "bfloat16" and not _has_bfloat16(core):
        raise BackendError(
            "openvino cannot compute in bfloat16: this processor has no instructions for it; "
            "set model.precision = auto or float32"
        )


def _settings(threads: int, precision: str) -> dict[str, str]:
    """For one set at a time; threads are not bound to cores, which others may use."""
    count = {"INFERENCE_NUM_THREADS": str(threads)} if threads else {}
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "ENABLE_CPU_PINNING": "NO",
        **count,
    }


def _ending(precision: str) -> str:
    """Ending of a compiled part's name: it is only read by the version that wrote it."""
    return f"{precision}.ov{importlib.metadata.version('openvino')}.blob"
