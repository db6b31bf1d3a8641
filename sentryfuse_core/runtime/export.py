"""Sub-networks as ONNX files, opset 18: weights of the level inside, one set at a time."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from functools import cache

import torch

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.runtime.bank import Bank, blank_input
from sentryfuse_core.runtime.cut import cut_to
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.runtime.subnetwork import SubNetwork, input_tensors
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import PartLevels, Plan

__all__ = ["PRECISIONS", "build_onnx", "onnx_ending"]

PRECISIONS: Mapping[str, torch.dtype] = {  # numbers that products and convolutions may run in
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_OPSET = 18


def onnx_ending(precision: str) -> str:
    """Ending of an ONNX file's name."""
    return f"{precision}.onnx"


def build_onnx(bank: Bank, store: Store, *, precision: str, anew: bool = False) -> Iterator[bool]:
    """Export every loaded sub-network that the store does not have, or all `anew`; one value each: built.

    Raises:
        BackendError: no exporter, at once, or it fails.
    """
    absent = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if absent:
        raise BackendError(f"exporting needs {' and '.join(absent)}; pip install 'sentryfuse-python[onnx]'")

    @cache
    def cut(parts: PartLevels) -> SentryFuseNet:
        """A file holds no weight that its widths do not read."""
        network = copy.deepcopy(bank.network)
        cut_to(network, [parts], blank_input())
        return network

    def export(plan: Plan) -> bytes:
        return _export(cut(plan.parts), plan, PRECISIONS[precision])

    return store.build(bank, onnx_ending(precision), export, anew=anew)


def _export(network: SentryFuseNet, plan: Plan, precision: torch.dtype) -> bytes:
    tensors = input_tensors(blank_input().only(plan.mask), trusting=network.trust is not None)
    module = SubNetwork(network, tuple(tensors), plan.parts, precision=precision).eval()
    try:
        with torch.no_grad(), _quiet():
            names = list(module(*tensors.values()))
            program = torch.onnx.export(
                module,
                tuple(tensors.values()),
                input_names=list(tensors),
                output_names=names,
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise BackendError(f"cannot export {plan.mask} at level {plan.level}: {reason_of(error)}") from error
    if program is None:
        raise BackendError(
            f"torch exported nothing for {plan.mask} at level {plan.level}; use the pinned torch"
        )
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
