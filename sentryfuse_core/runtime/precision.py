"""The number formats that products and convolutions may run in."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ["PRECISIONS", "resolve_precision"]

PRECISIONS: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def resolve_precision(wanted: str) -> str:
    """The format for `model.precision` on an accelerator.

    'auto' is float16: its ten bits of fraction keep scores within 0.002 of float32, bfloat16's seven within
    0.01 (docs/runtime.md).
    """
    return "float16" if wanted == "auto" else wanted
