"""The worker's thread: newest set first, errors survived, deadlines after what has come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import Queue
from typing import Any

import pytest

from sentryfuse_core.clock import ManualClock, SteadyClock
from sentryfuse_ros.worker import Worker

WITHIN_S = 60.0


class FakeIngest:
    """Sets and deadlines as told."""

    def __init__(self) -> None:
        self.sets: list[Any] = []
        self.deadline_ns: int | None = None
        self.calls: list[str] = []

    def advance(self, _now_ns: int, *, heard_ns: int) -> None:  # noqa: ARG002 - as Ingest's
        self.calls.append("advance")
        self.deadline_ns = None

    def next_deadline_ns(self) -> int | None:
        return self.deadline_ns

    def take(self) -> list[Any]:
        taken, self.sets = self.sets, []
        return taken


@pytest.fixture
def ingest() -> FakeIngest:
    return FakeIngest()


@contextmanager
def working(ingest: FakeIngest, handle: Callable[[Any], None], **options: Any) -> Iterator[Worker]:
    quiet = {
        "clock": SteadyClock(),
        "catch_up": lambda: None,
        "idle": lambda _now_ns: None,
        "report": lambda _error: None,
    }
    made = Worker(ingest, handle=handle, **{**quiet, **options})  # type: ignore[arg-type]
    made.start()
    try:
        yield made
    finally:
        made.stop()


def test_newest_set_wins_when_the_pipeline_is_slow(ingest: FakeIngest) -> None:
    handled: Queue[int] = Queue()
    proceed = threading.Event()

    def handle(number: int) -> None:
        handled.put(number)
        proceed.wait(WITHIN_S)

    ingest.sets = [0]
    with working(ingest, handle) as busy:
        busy.wake()
        assert handled.get(timeout=WITHIN_S) == 0
        ingest.sets = [1, 2, 3, 4]
        busy.wake()
        proceed.set()
        assert handled.get(timeout=WITHIN_S) == 4
    assert handled.empty()
    assert busy.skipped == 3


def test_next_set_is_handled_when_one_raises(ingest: FakeIngest) -> None:
    errors: Queue[Exception] = Queue()
    handled: Queue[int] = Queue()

    def handle(number: int) -> None:
        if number == 0:
            raise RuntimeError("no device")
        handled.put(number)

    ingest.sets = [0]
    with working(ingest, handle, report=errors.put) as survivor:
        survivor.wake()
        assert str(errors.get(timeout=WITHIN_S)) == "no device"
        ingest.sets = [1]
        survivor.wake()
        assert handled.get(timeout=WITHIN_S) == 1
    assert errors.empty()


def test_waiting_messages_are_taken_in_before_a_deadline_fires(ingest: FakeIngest) -> None:
    idle = threading.Event()
    ingest.deadline_ns = SteadyClock().now_ns() + 20_000_000
    take_in = partial(ingest.calls.append, "catch up")
    with working(ingest, lambda _: None, catch_up=take_in, idle=lambda _now_ns: idle.set()):
        assert idle.wait(WITHIN_S)
    assert ingest.calls[0:2] == ["catch up", "advance"]


def test_worker_goes_on_when_the_ingest_raises_while_it_waits(ingest: FakeIngest) -> None:
    errors: list[Exception] = []
    handled = threading.Event()
    deadlines: list[Exception | None] = [RuntimeError("no deadline")]

    def next_deadline_ns() -> int | None:
        if deadlines and (error := deadlines.pop()) is not None:
            raise error
        return None

    ingest.next_deadline_ns = next_deadline_ns  # type: ignore[method-assign]
    ingest.sets = [0]
    with working(ingest, lambda _: handled.set(), report=errors.append):
        assert handled.wait(WITHIN_S)
    assert [str(error) for error in errors] == ["no deadline"]


def test_worker_does_not_spin_when_the_clock_stands_still_before_a_deadline(ingest: FakeIngest) -> None:
    looked_s: list[float] = []
    enough = threading.Event()

    def idle(_now_ns: int) -> None:
        ingest.deadline_ns = 1  # never reached
        looked_s.append(time.monotonic())
        if len(looked_s) == 12:
            enough.set()

    ingest.deadline_ns = 1
    with working(ingest, lambda _: None, idle=idle, clock=ManualClock()):
        assert enough.wait(WITHIN_S)
    assert looked_s[11] - looked_s[1] >= 0.08
