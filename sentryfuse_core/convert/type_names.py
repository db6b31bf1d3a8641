"""Message types by one spelling: 'pkg/msg/Type', however a recording or a middleware writes them."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["full_type_name"]

_SEPARATORS = re.compile(r"::|/")


@lru_cache(maxsize=256)  # asked for every message, of a few types
def full_type_name(name: str) -> str:
    """'pkg/Type' of ROS 1, 'pkg::msg::Type' of IDL and 'pkg::msg::dds_::Type_' of DDS as 'pkg/msg/Type'."""
    parts = [part for part in _SEPARATORS.split(name.strip()) if part]
    if len(parts) < 2:
        return name
    if parts[-2] == "dds_":
        parts = [*parts[:-2], parts[-1].removesuffix("_")]
    if len(parts) == 2:
        parts.insert(1, "msg")
    return "/".join(parts)
