"""TensorRT engines as a backend, built from the ONNX files; the only file that imports tensorrt.

Written against the published Python bindings of 10.13 and 11.4, names checked there. Never run by us: the
bindings need libraries and a GPU that were not at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import time_all
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import device_name
from sentryfuse_core.runtime.engines import FUSE_INPUTS, examples
from sentryfuse_core.runtime.export import onnx_ending
from sentryfuse_core.runtime.lean.form import Part, put_together
from sentryfuse_core.runtime.staging import Staging
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.runtime.subnetwork import input_tensors, maps_of, output_from
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import Plan

__all__ = ["NOT_RUN", "TensorRtBackend", "build_engines", "engine_ending", "load_tensorrt"]

NOT_RUN = "never run by its authors: they had no TensorRT library"
_OLDEST = 10
_FEWEST_TOKENS, _USUAL_TOKENS, _MOST_TOKENS = 2, 130, 256  # beside the canvas, and of keys for them


@dataclass(frozen=True, eq=False)
class _Engine:
    """A deserialised engine with the context it runs with, and the names of what goes in and comes out."""

    engine: Any  # kept: the context points into it
    context: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class TensorRtBackend:
    """One engine a part; their contexts share one block of memory for activations."""

    name = "tensorrt"
    batches = False
    opening = False

    def __init__(
        self,
        bank: Bank,
        store: Store,
        network: SentryFuseNet,
        *,
        device: str = "cuda",
        precision: str = "float16",
        reason: str = "",
    ) -> None:
        """`network`: the bank's, on `device`, for what is reckoned between the parts.

        Raises BackendError when the library, the device or an engine for this very machine is missing.
        """
        self._library = load_tensorrt()
        self.faults: tuple[str, ...] = ()
        self.reason = reason
        self._bank = bank
        self._network = network
        self._store = store
        self._device = torch.device(device)
        self._ending = engine_ending(self._library.__version__, self._device, precision)
        missing = store.missing(bank, self._ending)
        if missing:
            raise BackendError(
                f"{len(missing)} engines *.{self._ending} are not in {store.folder}; "
                f"run `sentryfuse build-engines`"
            )
        self.device = device_name(self._device)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._staging = Staging(self._device)
        self._logger = self._library.Logger(self._library.Logger.WARNING)
        self._runtime = self._library.Runtime(self._logger)
        self._scratch = torch.empty(0, dtype=torch.uint8, device=self._device)
        self._engines: dict[Part, _Engine] = {}

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU; raises BackendError when the engine cannot be read or fails."""
        tensors = input_tensors(inputs, trusting=self._bank.trusting)
        try:
            with torch.inference_mode(), torch.cuda.device(self._device), torch.cuda.stream(self._stream):
                self._staging.put(tensors)
                given = ModelInput(**self._staging.on_device(tensors))
                output = put_together(self._network, self._run, given, plan.parts)
                maps = self._staging.take(maps_of(output))
                self._stream.synchronize()
                return output_from({name: values.clone() for name, values in maps.items()})
        except BackendError:  # a file is gone, say
            self._engines.clear()
            raise
        except Exception as error:  # whatever the bindings raise
            self._engines.clear()
            raise BackendError(f"inference on {self.device} failed: {reason_of(error)}") from error

    def open_beside(self) -> bool:
        """No: a set would wait for what is compiled, recorded or opened."""
        return False

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Read and run every engine; median milliseconds by (mask bits, level)."""
        return time_all(self.run, self._bank)

    def _run(self, key: Part, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One part, queued on the stream. Sizes are told anew: those of fuse hang on the sensors."""
        engine = self._engine(key)
        kept = [item.contiguous() for item in tensors]
        for name, tensor in zip(engine.inputs, kept, strict=True):
            engine.context.set_input_shape(name, tuple(tensor.shape))
            engine.context.set_tensor_address(name, tensor.data_ptr())
        maps = []
        for name in engine.outputs:
            maps.append(torch.empty(tuple(engine.context.get_tensor_shape(name)), device=self._device))
            engine.context.set_tensor_address(name, maps[-1].data_ptr())
        engine.context.set_device_memory(self._scratch.data_ptr(), self._scratch.nbytes)
        if not engine.context.execute_async_v3(self._stream.cuda_stream):
            raise BackendError(f"TensorRT refused to run {key}")
        return tuple(maps)

    def _engine(self, key: Part) -> _Engine:
        found = self._engines.get(key)
        if found is None:
            found = self._engines[key] = self._open(key)
        return found

    def _open(self, key: Part) -> _Engine:
        library = self._library
        engine = self._runtime.deserialize_cuda_engine(self._store.read(key, self._ending))
        if engine is None:
            path = self._store.path(key, self._ending)
            raise BackendError(f"{path} is no engine; run `sentryfuse build-engines --anew`")
        context = engine.create_execution_context(library.ExecutionContextAllocationStrategy.USER_MANAGED)
        inputs: list[str] = []
        outputs: list[str] = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            mode = engine.get_tensor_mode(name)
            (inputs if mode == library.TensorIOMode.INPUT else outputs).append(name)
        # One part runs at a time: the block that fits the hungriest fits all. It may move when it
        # grows, which is why every run tells its context where it is.
        if engine.device_memory_size_v2 > self._scratch.nbytes:
            self._stream.synchronize()
            self._scratch = torch.empty(engine.device_memory_size_v2, dtype=torch.uint8, device=self._device)
        return _Engine(engine, context, tuple(inputs), tuple(outputs))


def build_engines(
    bank: Bank, store: Store, *, device: str, precision: str, anew: bool = False
) -> Iterator[bool]:
    """Build the engine of every loaded part, or all `anew`; one value each: built.

    Raises:
        BackendError: no library, no device, no ONNX file, or TensorRT cannot build it.
    """
    library = load_tensorrt()
    ending = engine_ending(library.__version__, torch.device(device), precision)
    logger = library.Logger(library.Logger.ERROR)

    fed = examples(bank)

    def build(key: Part) -> bytes:
        sizes = _fuse_sizes(fed[key]) if key.name == "fuse" else {}
        content = store.read(key, onnx_ending(precision))
        return _build(library, logger, str(key), content, sizes)

    return store.build(bank, ending, build, anew=anew)


def _fuse_sizes(tensors: tuple[Tensor, ...]) -> dict[str, list[tuple[int, ...]]]:
    """The smallest, the usual and the largest shape of what fuse is fed as many of as there are tokens."""
    sizes = {}
    for name, tensor in zip(FUSE_INPUTS, tensors, strict=True):
        if name in ("tokens", "counts", "pool"):
            free = (1, 2) if name == "pool" else (1,)
            sizes[name] = [
                tuple(limit if axis in free else size for axis, size in enumerate(tensor.shape))
                for limit in (_FEWEST_TOKENS, _USUAL_TOKENS, _MOST_TOKENS)
            ]
    return sizes


def _build(
    library: Any, logger: Any, name: str, content: bytes, sizes: Mapping[str, list[tuple[int, ...]]]
) -> bytes:
    builder = library.Builder(logger)
    # Strongly typed: the ONNX file says which products run in which precision. The only kind in TensorRT 11.
    flags = 1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = library.OnnxParser(network, logger)
    if not parser.parse(content):
        found = parser.get_error(0) if parser.num_errors else "no reason given"
        raise BackendError(f"TensorRT {library.__version__} cannot read {name}: {found}")
    config = builder.create_builder_config()
    if sizes:
        profile = builder.create_optimization_profile()
        for given, (least, usual, most) in sizes.items():
            profile.set_shape(given, least, usual, most)
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(f"TensorRT {library.__version__} cannot build {name}; see its log above")
    return bytes(plan)


def load_tensorrt() -> Any:  # a module without type information
    """The library; raises BackendError in one line where it is missing, incomplete or too old."""
    try:
        import tensorrt as library
    except ImportError as error:  # also the bindings without their libraries
        raise BackendError(
            f"tensorrt was asked for but cannot be imported ({reason_of(error)}); install NVIDIA's TensorRT "
            f"{_OLDEST} or newer with its Python package, or set model.backend = auto"
        ) from error
    if int(library.__version__.split(".")[0]) < _OLDEST:
        raise BackendError(f"TensorRT {library.__version__} is too old; install {_OLDEST} or newer")
    return library


def engine_ending(version: str, device: torch.device, precision: str) -> str:
    """Ending of an engine's name: an engine runs only where these are what they were when it was built."""
    name = torch.cuda.get_device_name(device)
    major, minor = torch.cuda.get_device_capability(device)
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
    return f"{slug}.sm{major}{minor}.trt{version}.{precision}.engine"
