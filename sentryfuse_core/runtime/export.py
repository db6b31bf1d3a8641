"""Parts of the deploy form as ONNX files, opset 18: each at one width, one set at a time."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from sentryfuse_core.errors import BackendError
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.engines import FUSE_INPUTS, examples
from sentryfuse_core.runtime.lean.form import LeanForm, Part
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.text import reason_of

__all__ = ["PRECISIONS", "build_onnx", "onnx_ending"]

PRECISIONS: Mapping[str, torch.dtype] = {  # numbers that products and convolutions may run in
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_OPSET = 18


class _Reduced(nn.Module):
    """A part whose products and convolutions run in fewer bits, from and to float32."""

    def __init__(self, part: nn.Module, precision: torch.dtype) -> None:
        super().__init__()
        self.part, self.precision = part, precision

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        reduced = self.precision is not torch.float32
        kind = tensors[0].device.type
        with torch.autocast(kind, self.precision, cache_enabled=False) if reduced else nullcontext():
            return tuple(item.float() for item in self.part(*tensors))


def onnx_ending(precision: str) -> str:
    """Ending of an ONNX file's name."""
    return f"{precision}.onnx"


def build_onnx(bank: Bank, store: Store, *, precision: str, anew: bool = False) -> Iterator[bool]:
    """Export every loaded part that the store does not have, or all `anew`; one value each: built.

    Raises:
        BackendError: no exporter, at once, or it fails.
    """
    absent = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if absent:
        raise BackendError(f"exporting needs {' and '.join(absent)}; pip install 'sentryfuse-python[onnx]'")
    form, given = LeanForm(bank.network, engine=True), examples(bank)

    def export(key: Part) -> bytes:
        return _export(key, _Reduced(form.part(key), PRECISIONS[precision]).eval(), given[key])

    return store.build(bank, onnx_ending(precision), export, anew=anew)


def _export(key: Part, module: nn.Module, tensors: tuple[Tensor, ...]) -> bytes:
    names = FUSE_INPUTS if key.name == "fuse" else [f"input{index}" for index in range(len(tensors))]
    shapes: tuple[dict[int, torch.export.Dim], ...] | None = None
    if key.name == "fuse":
        count, keys = torch.export.Dim("tokens", min=2), torch.export.Dim("keys", min=2)
        shapes = ({}, {1: count}, {1: count}, {1: keys, 2: count}, {})
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                module,
                tensors,
                input_names=list(names),
                opset_version=_OPSET,
                dynamic_shapes=None if shapes is None else (shapes,),
                dynamo=True,
                verbose=False,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise BackendError(f"cannot export {key}: {reason_of(error)}") from error
    if program is None:
        raise BackendError(f"torch exported nothing for {key}; use the pinned torch")
    content: bytes = program.model_proto.SerializeToString()
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages that no network of ours uses."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
