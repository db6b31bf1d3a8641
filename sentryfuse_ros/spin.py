"""Run one node from start to a clean end: signals, executor, exit status."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sentryfuse_core.errors import ConfigError, SentryFuseError
from sentryfuse_core.safe_files import one_line
from sentryfuse_ros import middleware

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.node import Node

__all__ = ["Stop", "events_executor_available", "make_executor", "run_node"]

_SPIN_TIMEOUT_S = 0.1  # bounds how long a signal waits; an event ends the wait at once


class Stop:
    """A request to end, made by a signal or by the node itself, perhaps because of an error."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.error: SentryFuseError | None = None

    def request(self, error: SentryFuseError | None = None) -> None:
        """Ask for the end; the first error given decides the exit status."""
        self.error = self.error or error
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether anyone asked."""
        return self._event.is_set()


def events_executor_available() -> bool:
    """Whether this rclpy has the events executor; older distributions do not."""
    try:
        importlib.import_module("rclpy.experimental.events_executor")
    except ImportError:
        return False
    return True


def make_executor() -> Executor:
    """The fastest executor this rclpy has; to be looped as `spin_once(timeout_sec=...)`."""
    if events_executor_available():
        from rclpy.experimental.events_executor import EventsExecutor

        return EventsExecutor()
    from rclpy.executors import SingleThreadedExecutor

    return SingleThreadedExecutor()


def run_node(make: Callable[[Stop], Node], *, args: Sequence[str] | None = None) -> int:
    """Run the node that `make` returns until it or a signal asks for the end; return the exit status.

    0 after SIGINT, SIGTERM or the node's own end; 2 after a SentryFuseError, told in one line on
    stderr. The node is destroyed in every case; `destroy_node` is where it closes what it opened.
    """
    middleware.apply_profile()
    stop = Stop()
    with _signals(stop):
        try:
            _run(make, stop, args)
        except SentryFuseError as error:
            stop.request(error)
    if stop.error is None:
        return 0
    sys.stderr.write(f"error: {one_line(str(stop.error))}\n")
    return 2


def _run(make: Callable[[Stop], Node], stop: Stop, args: Sequence[str] | None) -> None:
    import rclpy
    from rclpy.exceptions import NameValidationException, ParameterException
    from rclpy.signals import SignalHandlerOptions

    try:
        rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
    except (RuntimeError, ValueError) as error:  # rclpy's own errors for bad arguments are RuntimeErrors
        raise ConfigError(f"bad ROS arguments: {error}") from error
    try:
        try:
            node = make(stop)
        except ParameterException as error:  # one that the node, or rclpy itself, declares with another type
            raise ConfigError(f"bad parameter: {error}; give it a value of that type") from error
        except NameValidationException as error:
            raise ConfigError(f"{error}; correct the parameter or the remapping it comes from") from error
        try:
            executor = make_executor()
            executor.add_node(node)
            while not stop.requested and rclpy.ok():
                executor.spin_once(timeout_sec=_SPIN_TIMEOUT_S)
            executor.shutdown()
        finally:
            node.destroy_node()
    finally:
        rclpy.try_shutdown()


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM ask `stop`; the handlers before are put back at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.request()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
