"""The one thread that runs the pipeline: it waits for a set or a deadline, and the newest set wins."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sentryfuse_core.clock import NS_PER_S, Clock
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.types import SyncedSet

__all__ = ["Worker"]

_LONGEST_SLEEP_NS = 50_000_000  # health changes are seen this soon also while nothing arrives
_SHORTEST_SLEEP_NS = 1_000_000
_STILL_SLEEP_NS = 10_000_000  # simulated time that stands still must not make this a busy loop


class Worker:
    """Drives an `Ingest` and hands on its sets; `handle` and `idle` are called from the worker's thread.

    `handle(set)` makes and publishes the result, `idle(now_ns)` follows every wake-up. What either of
    them raises goes to `report`, and the next set is handled all the same. `catch_up` returns when the
    messages that have come are taken in: called before a deadline fires, so that a sensor is not found
    silent, nor a sample late, because this process had no time to listen. `heard_ns(now_ns)` is the time up
    to which it did: time passes no further; each turn begins with a call of it.
    """

    def __init__(
        self,
        ingest: Ingest,
        *,
        clock: Clock,
        catch_up: Callable[[], None],
        heard_ns: Callable[[int], int] = lambda now_ns: now_ns,
        handle: Callable[[SyncedSet], None],
        idle: Callable[[int], None],
        report: Callable[[Exception], None],
    ) -> None:
        self._ingest = ingest
        self._clock = clock
        self._catch_up = catch_up
        self._heard_ns = heard_ns
        self._handle = handle
        self._idle = idle
        self._report = report
        self._condition = threading.Condition()
        self._ready = False
        self._stopping = False
        self._waited_ns = 0  # steady time at which the worker last went to sleep
        self._until_ns = 0  # and to which it sleeps at most
        self._thread = threading.Thread(target=self._run, name="sentryfuse-worker", daemon=True)
        self.skipped = 0  # sets dropped because a newer one was ready

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """Say that a set is ready; never blocks on the pipeline."""
        with self._condition:
            self._ready = True
            self._condition.notify()

    def wake_by(self, deadline_ns: int | None) -> None:
        """Say when the next deadline is; wakes the worker only if it would oversleep."""
        if deadline_ns is not None and deadline_ns < self._until_ns:
            self.wake()

    def stop(self) -> None:
        """End after the set in hand; returns when the thread is gone."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self._wait():
                    self._turn()
            except Exception as error:  # noqa: BLE001, PERF203 - the thread's boundary: counted by `report`
                self._report(error)
                with self._condition:  # an error that keeps coming must not make this a busy loop either
                    self._condition.wait_for(lambda: self._stopping, _SHORTEST_SLEEP_NS / NS_PER_S)

    def _turn(self) -> None:
        now_ns = self._clock.now_ns()
        deadline_ns = self._ingest.next_deadline_ns()
        if deadline_ns is not None and deadline_ns <= now_ns:
            self._catch_up()
        self._ingest.advance(now_ns, heard_ns=self._heard_ns(now_ns))
        sets = self._ingest.take()
        if sets:
            self.skipped += len(sets) - 1
            self._handle(sets[-1])
        self._idle(self._clock.now_ns())

    def _wait(self) -> bool:
        """Sleep until woken or the next deadline; False when it is time to end."""
        now_ns = self._clock.now_ns()
        self._until_ns = now_ns + _LONGEST_SLEEP_NS
        deadline_ns = self._ingest.next_deadline_ns()
        if deadline_ns is not None:
            self._until_ns = min(self._until_ns, deadline_ns)
        shortest_ns = _STILL_SLEEP_NS if now_ns == self._waited_ns else _SHORTEST_SLEEP_NS
        self._waited_ns = now_ns
        sleep_ns = max(self._until_ns - now_ns, shortest_ns)
        with self._condition:
            if not self._ready and not self._stopping:
                self._condition.wait(sleep_ns / NS_PER_S)
            self._ready = False
            return not self._stopping
