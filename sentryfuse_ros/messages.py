"""ROS message classes by name, and messages filled from plain nested values."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

__all__ = ["fill", "message_class"]

MessageT = TypeVar("MessageT")

_NESTED = re.compile(r"^(sequence<)?(?P<package>[a-z]\w*)/(?P<name>\w+)(?P<bound>\[|>|,|$)")


@lru_cache(maxsize=None)
def message_class(type_name: str) -> Any:
    """The class of a message type such as `sensor_msgs/msg/Imu`; ImportError where it is not installed."""
    package, _, name = type_name.rpartition("/")
    package = package.removesuffix("/msg")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except AttributeError as error:
        raise ImportError(f"{package} has no message {name}") from error


def fill(message: MessageT, values: Mapping[str, Any]) -> MessageT:
    """Put nested plain values into a message and return it; fields that are left out keep their default."""
    nested = _nested_fields(type(message))
    for name, value in values.items():
        if name not in nested:
            setattr(message, name, value)
        elif nested[name][1]:
            setattr(message, name, [fill(nested[name][0](), item) for item in value])
        else:
            fill(getattr(message, name), value)
    return message


@lru_cache(maxsize=None)
def _nested_fields(kind: Any) -> Mapping[str, tuple[Any, bool]]:
    """The fields that are messages themselves: their class, and whether they are arrays of it."""
    found = {}
    for name, text in kind.get_fields_and_field_types().items():
        match = _NESTED.match(text)
        if match:
            is_array = text.startswith("sequence<") or match["bound"] == "["
            found[name] = (message_class(f"{match['package']}/msg/{match['name']}"), is_array)
    return found
