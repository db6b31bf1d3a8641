"""Run one node from start to a clean end: signals, executor, exit status."""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from sentryfuse_core.errors import ConfigError, SentryFuseError
from sentryfuse_core.text import one_line
from sentryfuse_ros import middleware

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.node import Node

__all__ = ["Stop", "events_executor_available", "make_executor", "run_node", "run_process"]

_SPIN_TIMEOUT_S = 0.1  # bounds how long a signal waits; an event ends the wait at once
_HARD_END_S = 60.0  # after a signal, whatever native code may still wait for; supervisors wait for 90 s


class _Signalled(BaseException):
    """Raised out of what a signal found a node doing before it could be told to end."""


class Stop:
    """A request to end, made by a signal or by the node itself, perhaps because of an error."""

    def __init__(self, *, hard_end_s: float = 0.0) -> None:
        """`hard_end_s`: so long after a signal the process ends, with the stack of each thread; 0: never."""
        self._hard_end_s = hard_end_s
        self._event = threading.Event()
        self._interruptible = False
        self.error: SentryFuseError | None = None
        self.signalled = 0  # the number of the first signal

    def request(self, error: SentryFuseError | None = None) -> None:
        """Ask for the end; the first error given decides the exit status."""
        self.error = self.error or error
        self._event.set()

    def signal(self, number: int, _frame: Any) -> None:
        """Handle a signal: ask for the end, at once where nobody looks whether it is requested."""
        if self._hard_end_s and not self.signalled:
            faulthandler.dump_traceback_later(self._hard_end_s, exit=True)
        self.signalled = self.signalled or number
        self.request()
        if self._interruptible:
            self._interruptible = False
            raise _Signalled

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """While a node is made: a large recording takes long to open, and nobody waits for it any more."""
        self._interruptible = True
        if self.requested:
            raise _Signalled
        try:
            yield
        finally:
            self._interruptible = False

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


def run_process(make: Callable[[Stop], Node], *, args: Sequence[str] | None = None) -> NoReturn:
    """Run a node as this process: `run_node`, and then the end of the process with its exit status.

    Nothing of Python's own tidying up is left to do, and with a network loaded it would take seconds: the
    node has closed what it opened by then. Signals are taken until the very end, so that a second one does
    not change the exit status; a thread that still loads something ends with the process.
    """
    stop = Stop(hard_end_s=_HARD_END_S)
    _take_signals(stop)
    status = _status(make, stop, args)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run_node(
    make: Callable[[Stop], Node], *, args: Sequence[str] | None = None, stop: Stop | None = None
) -> int:
    """Run the node that `make` returns until it or a signal asks for the end; return the exit status.

    0 after SIGINT, SIGTERM or the node's own end; 2 after a SentryFuseError, told in one line on
    stderr. The node is destroyed in every case; `destroy_node` is where it closes what it opened.
    `stop` is for callers that ask what ended it.
    """
    stop = stop or Stop()
    if threading.current_thread() is not threading.main_thread():  # Python takes handlers from there only
        return _status(make, stop, args)
    before = _take_signals(stop)
    try:
        return _status(make, stop, args)
    finally:
        for (
            number,
            handler,
        ) in before.items():  # once told, the process ends: a second signal must not change how
            signal.signal(number, signal.SIG_IGN if stop.signalled else handler)


def _status(make: Callable[[Stop], Node], stop: Stop, args: Sequence[str] | None) -> int:
    middleware.prepare_shared_memory()
    try:
        _run(make, stop, args)
    except SentryFuseError as error:
        stop.request(error)
    except _Signalled:
        pass
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
            with stop.interrupting():
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


def _take_signals(stop: Stop) -> dict[int, Any]:
    """Let SIGINT and SIGTERM ask `stop`; returns the handlers before."""
    return {number: signal.signal(number, stop.signal) for number in (signal.SIGINT, signal.SIGTERM)}
