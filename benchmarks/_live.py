"""Processes that talk over DDS among themselves: started, listened to by one node here, and ended."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sentryfuse_core.types import ModalitySet
from sentryfuse_ros.middleware import apply_profile

__all__ = [
    "ALL_SENSORS",
    "listener",
    "own_domain",
    "parameters",
    "process",
    "reap",
    "spinning",
    "until",
    "until_ended",
]

ALL_SENSORS = ModalitySet.all().bits
_END_WITHIN_S = 30.0
Turn = Callable[[], None]


def own_domain() -> None:
    """Keep what follows, and all processes started by it, to themselves on this machine."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(60 + os.getpid() % 40))
    apply_profile()


def parameters(values: Mapping[str, Any], *, file: Path | None = None) -> list[str]:
    """ROS parameters as a node's command line takes them; `values` go before those of `file`."""
    from_file = [] if file is None else ["--params-file", str(file)]
    words = (word for name, value in values.items() for word in ("-p", f"{name}:={value}"))
    return ["--ros-args", *from_file, *words]


@contextmanager
def process(module: str, *arguments: str, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A module running in a process of its own, which does not outlive the context; its output into `log`."""
    with ExitStack() as stack:
        stream = stack.enter_context(log.open("wb")) if log else None
        command = [sys.executable, "-m", module, *arguments]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        try:
            yield child
        finally:
            if child.returncode is None:
                child.terminate()
                try:
                    child.wait(_END_WITHIN_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def reap(child: subprocess.Popen[bytes]) -> Any:
    """Wait for a process; what it used of memory and time, its exit status noted."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage


@contextmanager
def spinning(make: Callable[[], Any]) -> Iterator[tuple[Any, Turn]]:
    """A node, and what lets it run for up to a tenth of a second."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    rclpy.init(args=[])
    try:
        node, executor = make(), SingleThreadedExecutor()
        executor.add_node(node)
        try:
            yield node, lambda: executor.spin_once(timeout_sec=0.1)
        finally:
            executor.shutdown()
            node.destroy_node()
    finally:
        rclpy.try_shutdown()


def listener(take: Callable[[Any], None]) -> Any:
    """A node that hands every status of the fusion node to `take`."""
    import rclpy
    from sentryfuse.msg import FusionStatus

    node = rclpy.create_node("bench")
    node.create_subscription(FusionStatus, "/sentryfuse/status", take, 100)
    return node


def until(
    done: Callable[[], bool], turn: Turn, what: str, *alive: subprocess.Popen[bytes], within_s: float
) -> None:
    """Turn until `done`; an error, which says for what, if a process ends before or it takes too long."""
    patience_s = time.monotonic() + within_s
    while not done():
        turn()
        if any(child.poll() is not None for child in alive) or time.monotonic() > patience_s:
            raise SystemExit(f"error: {what} did not come: a process ended, or it took over {within_s:g} s")


def until_ended(
    child: subprocess.Popen[bytes], turn: Turn, what: str, *alive: subprocess.Popen[bytes]
) -> None:
    """Turn until a process has ended; an error where it did not end well, or one of `alive` ended before."""
    until(lambda: child.poll() is not None, turn, f"the end of {what}", *alive, within_s=math.inf)
    if child.returncode != 0:
        raise SystemExit(f"error: {what} ended with status {child.returncode}; what it said stands above")
