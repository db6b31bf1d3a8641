"""Slow work beside the executor: in a thread, which hands back to the executor what touches the node."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rclpy.executors import Executor

__all__ = ["Aside"]

_T = TypeVar("_T")
_LOOK_S = 0.1  # how soon a thread that waits for an executor sees that the node ends


class Aside:
    """At most one thread that works beside a node's executor.

    While it loads and computes for seconds, the executor answers services. Publishers, subscriptions and
    timers are made and dropped by the executor alone: it goes through them, and no lock guards them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._executor: Executor | None = None
        self._ended = False

    def start(
        self, executor: Executor, work: Callable[[], _T], *, then: Callable[[_T], object] = lambda _: None
    ) -> bool:
        """Begin `work`; False, and nothing done, where the work before is not through or the node ends.

        `then` is told what it returned, once other work may begin: whoever waits for that may ask at once.
        """

        def run() -> None:
            try:
                made = work()
            finally:
                self._thread = None
            then(made)

        with self._lock:
            if self._ended or self._thread is not None:
                return False
            self._executor = executor
            self._thread = threading.Thread(target=run, name="sentryfuse-transition", daemon=True)
            self._thread.start()
            return True

    def hand_back(self, call: Callable[[], _T]) -> _T:
        """What `call` returns or raises, made by the executor; made here where this is not the thread.

        Once the node ends the thread goes no further: SystemExit ends a thread without a word.
        """
        executor = self._executor
        if threading.current_thread() is not self._thread or executor is None:
            return call()
        made: Future[_T] = Future()

        def make() -> None:
            try:
                made.set_result(call())
            except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
                made.set_exception(error)

        if not self._ended:
            executor.create_task(make)
        while not wait([made], _LOOK_S).done:
            if self._ended:
                raise SystemExit
        return made.result()

    def end(self) -> None:
        """Start nothing more, and let the thread end where it next hands something back."""
        with self._lock:
            self._ended = True
