"""Fixed buffers between a set's tensors and a device: graphs and engines read and write fixed addresses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sentryfuse_core.errors import BackendError

__all__ = ["Staging"]


class Staging:
    """Page-locked memory on the host and memory on the device, one pair for each name.

    All sub-networks share them: one runs at a time. Copies are queued on the current stream.
    """

    def __init__(self, device: torch.device, *, pinned: bool = True) -> None:
        self._device = device
        self._pinned = pinned
        self._host: dict[str, Tensor] = {}
        self._on_device: dict[str, Tensor] = {}

    def on_device(self, example: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Buffers for tensors like those of `example`, made on first use."""
        for name, tensor in example.items():
            if name not in self._on_device:
                self._on_device[name] = torch.zeros(tensor.shape, dtype=tensor.dtype, device=self._device)
        return {name: self._on_device[name] for name in example}

    def put(self, tensors: Mapping[str, Tensor]) -> None:
        """Queue copies of `tensors` to their buffers; raises BackendError for one of another shape."""
        for name, target in self.on_device(tensors).items():
            tensor = tensors[name]
            if tensor.shape != target.shape:
                raise BackendError(
                    f"{name} is {list(tensor.shape)}, its buffer {list(target.shape)}: "
                    f"this backend runs sets of one shape; use eager"
                )
            host = self._on_host(name, target)
            host.copy_(tensor)
            target.copy_(host, non_blocking=True)

    def take(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Queue copies of `maps` to the host; to be read once the stream has come so far, until the next."""
        found = {}
        for name, values in maps.items():
            found[name] = self._on_host(name, values)
            found[name].copy_(values, non_blocking=True)
        return found

    def _on_host(self, name: str, like: Tensor) -> Tensor:
        if name not in self._host:
            self._host[name] = torch.empty(like.shape, dtype=like.dtype, pin_memory=self._pinned)
        return self._host[name]
