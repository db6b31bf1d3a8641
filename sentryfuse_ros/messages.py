"""ROS message classes by name, and messages filled from plain nested values."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

__all__ = ["fill", "message_class"]

_NESTED = re.compile(r"^(?:sequence<)?(?P<package>[a-z]\w*)/(?P<name>\w+)")


@cache
def message_class(type_name: str) -> Any:
    """The class of a message type such as `sensor_msgs/msg/Imu`; ImportError where it is not installed."""
    package, _, name = type_name.rpartition("/")
    package = package.removesuffix("/msg")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (AttributeError, TypeError) as error:
        raise ImportError(f"{package} has no message {name}") from error


def fill(message: Any, values: Mapping[str, Any]) -> Any:
    """Put nested plain values into a message and return it; fields that are left out keep their default.

    A `byte` field, which rclpy holds as bytes of length 1, takes a number.
    """
    converters = _converters(type(message))
    for name, value in values.items():
        setattr(message, name, converters[name](value) if name in converters else value)
    return message


@cache
def _converters(kind: Any) -> Mapping[str, Callable[[Any], Any]]:
    """For the fields that do not take plain values as they are: what makes them fit."""
    found: dict[str, Callable[[Any], Any]] = {}
    for name, text in kind.get_fields_and_field_types().items():
        match = _NESTED.match(text)
        if match:
            is_array = text.startswith("sequence<") or text.endswith("]")
            nested = message_class(f"{match['package']}/msg/{match['name']}")
            found[name] = partial(_many if is_array else _one, nested)
        elif text == "octet":
            found[name] = _byte
    return found


def _one(kind: Any, values: Mapping[str, Any]) -> Any:
    return fill(kind(), values)


def _many(kind: Any, items: list[Mapping[str, Any]]) -> list[Any]:
    return [fill(kind(), values) for values in items]


def _byte(value: int) -> bytes:
    return bytes((value,))
