"""What is said in one line where ROS 2, or a part of it, is missing."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from sentryfuse_core.errors import NotInstalledError

__all__ = ["needs_ros"]

_OWN_MESSAGES = "sentryfuse.msg"  # generated from msg/ by the ROS build
_OF_ROS = re.compile(r"(rclpy|rpyutils|sentryfuse|ament_\w+|rosidl_\w+|tf2_\w+|\w+_msgs|\w+_interfaces)\b")
_WORKSPACE = "source a ROS 2 workspace with this package built in it (README, 'In a ROS 2 distribution')"
_CHECKOUT = "or on x86_64 Linux run it from a checkout after `make setup`"
_EXTRA = "or on x86_64 Linux pip install 'sentryfuse-python[ros]'"


@contextmanager
def needs_ros(what: str, *, own_messages: bool = True) -> Iterator[None]:
    """Raise NotInstalledError with the remedy where a part of ROS is missing; decorates, too.

    Without `own_messages`, `what` can do with rclpy and the common messages, which wheels bring; this
    package's own messages come from its ROS build alone.
    """
    try:
        importlib.import_module("rclpy")
        if own_messages:
            importlib.import_module(_OWN_MESSAGES)
        yield
    except ImportError as error:
        if error.name and not _OF_ROS.match(error.name):
            raise
        found = " ".join(str(error).split())
        if (error.name or "").partition(".")[0] == "sentryfuse":
            found += ": pip alone does not build this package's messages"
        remedy = _CHECKOUT if own_messages else _EXTRA
        raise NotInstalledError(f"{what} needs ROS 2 ({found}); {_WORKSPACE}, {remedy}") from error
