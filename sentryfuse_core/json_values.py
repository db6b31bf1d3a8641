"""Values as JSON takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["json_value"]


def json_value(value: Any, digits: int | None = None) -> Any:
    """The same with null in place of NaN, which JSON has not, and with every float rounded to `digits`."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if digits is None else round(value, digits)
    if isinstance(value, Mapping):
        return {name: json_value(item, digits) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item, digits) for item in value]
    return value
