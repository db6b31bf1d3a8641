"""Cutting a network's weights down to the prefixes that some of its levels read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import PartLevels

__all__ = ["cut_to", "weight_bytes"]


def cut_to(network: SentryFuseNet, plans: Iterable[PartLevels], sample: ModelInput) -> None:
    """Keep of every weight, in place, what `plans` read when all sensors of `sample` are there.

    Every level that a part has in any of them is run, and the slices it takes are watched: so this file knows
    nothing of the layers. A part reads its own weights alone, whatever width the others have: each run
    shows one level of every part. A weight that is used whole stays whole.
    """
    reads = _Reads(network)
    with torch.inference_mode(), reads:
        for parts in _covering(plans):
            network(sample, parts=parts)
    for parameter in network.parameters():
        stops = reads.stops.get(id(parameter))
        if stops is not None and id(parameter) not in reads.whole:
            parameter.data = parameter.data[tuple(slice(stop) for stop in stops)].clone()


def _covering(plans: Iterable[PartLevels]) -> Iterator[PartLevels]:
    """Few plans in which every part has each level that it has in any of `plans`."""
    used = [sorted(set(levels)) for levels in zip(*map(astuple, plans), strict=True)]
    for row in range(max(map(len, used), default=0)):
        yield PartLevels(*(levels[min(row, len(levels) - 1)] for levels in used))


def weight_bytes(network: nn.Module) -> int:
    """Memory that parameters and constants take, each storage counted once."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in (*network.parameters(), *network.buffers())
    }
    return sum(storages.values())


class _Reads(TorchFunctionMode):
    """Notes how far each parameter is read along its axes, and which are used without a slice."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._weights = {id(parameter) for parameter in network.parameters()}
        self.stops: dict[int, list[int]] = {}
        self.whole: set[int] = set()

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if func is Tensor.__getitem__ and id(args[0]) in self._weights:
            self._slice(args[0], args[1])
        elif getattr(func, "__name__", "") != "__get__":  # .shape, .dtype: reads no values
            used = (*args, *(kwargs or {}).values())
            self.whole |= {id(item) for item in used if isinstance(item, Tensor)} & self._weights
        return func(*args, **(kwargs or {}))

    def _slice(self, weight: Tensor, index: Any) -> None:
        parts = [part for part in (index if isinstance(index, tuple) else (index,)) if part is not None]
        if not all(isinstance(part, slice) for part in parts):
            self.whole.add(id(weight))
            return
        sizes = list(weight.shape)
        for axis, part in enumerate(parts):
            sizes[axis] = part.indices(sizes[axis])[1]
        before = self.stops.get(id(weight), [0] * weight.ndim)
        self.stops[id(weight)] = [max(pair) for pair in zip(before, sizes, strict=True)]
