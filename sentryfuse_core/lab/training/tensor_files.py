"""Tensors and a few texts in one safetensors file, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from sentryfuse_core.text import reason_of
from sentryfuse_core.whole_files import written_whole

__all__ = ["ROOM", "write_tensors"]

ROOM = "make room or the folder writable, then --resume"  # what a training needs that cannot save its state


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    *,
    remedy: str,
    shared: bool = False,
) -> None:
    """Write them in one move, as `written_whole` does: whoever is killed meanwhile leaves the old file whole.

    Raises:
        OutputError: the place cannot be written; with the `remedy`.
    """
    plain = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with written_whole(path, remedy=remedy, shared=shared) as partial:
        try:
            save_file(plain, partial, metadata=dict(metadata or {}))
        except SafetensorError as error:  # what it makes of a full disk
            raise OSError(0, reason_of(error)) from error
