"""When a message came, as the middleware noted it, however long it then waited for the executor."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.subscription import Subscription

__all__ = ["catch_up", "note_arrival", "noted_wait_ns", "told_wait", "waited_ns"]

_LONGEST_WAIT_NS = 1_000_000_000  # more than this is a step of the system clock
_CATCH_UP_S = 0.05
_WITH_INFO = inspect.Signature(
    [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("message", "info")]
)
_noted = threading.local()  # monotonic time in ns at which the message came that this thread hands on


def waited_ns(received_ns: int, now_ns: int) -> int:
    """How long a message received at `received_ns` has waited until `now_ns`, both by the system clock.

    0 where the middleware does not tell when it came (0); within a second, since that clock may be set.
    """
    return min(max(0, now_ns - received_ns), _LONGEST_WAIT_NS) if received_ns > 0 else 0


def told_wait(
    take: Callable[[Any, int], None], *, sender: Callable[[bytes], None] = lambda _gid: None
) -> Callable[..., None]:
    """A subscription callback that calls `take(message, waited_ns)`.

    Before it calls `sender(gid)` with the publisher's identity, where the middleware tells it.
    """

    def callback(*given: Any) -> None:
        # Two arguments; the events executor of rclpy 9 puts both into one tuple.
        message, info = given if len(given) == 2 else given[0]
        if gid := info.get("publisher_gid"):
            sender(gid["data"])
        take(message, waited_ns(info["received_timestamp"], time.time_ns()))

    callback.__signature__ = _WITH_INFO  # type: ignore[attr-defined] # rclpy gives the info by this
    return callback


def note_arrival(subscription: Subscription[Any]) -> None:
    """Let whatever the subscription's callback leads to know by `noted_wait_ns` when the message came.

    For filters that hand on messages alone, through as many others as there are. Harmless a second time.
    """
    callback = subscription.callback
    if getattr(callback, "notes_arrival", False):
        return

    def take(message: Any, ns: int) -> None:
        before_ns = getattr(_noted, "at_ns", None)
        _noted.at_ns = time.monotonic_ns() - ns
        try:
            callback(message)
        finally:
            _noted.at_ns = before_ns

    told = told_wait(take)
    told.notes_arrival = True  # type: ignore[attr-defined]
    subscription.callback = told


def noted_wait_ns() -> int:
    """How long ago the message came that this thread hands on; 0 where nobody noted it."""
    at_ns = getattr(_noted, "at_ns", None)
    return 0 if at_ns is None else time.monotonic_ns() - at_ns


def catch_up(executor: Executor | None) -> None:
    """Wait until the executor has handled what it has, but at most 50 ms: nobody else waits for its sake.

    A sensor whose message lies in the queue is then not found silent because this process was busy.
    """
    if executor is not None:
        done = threading.Event()
        executor.create_task(done.set)
        done.wait(_CATCH_UP_S)
