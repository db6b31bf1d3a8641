"""The worker's thread: newest set first, errors survived, deadlines after what has come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
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


def worker(ingest: FakeIngest, handle: Callable[[Any], None], **options: Any) -> Worker:
    quiet = {
        "clock": SteadyClock(),
        "catch_up": lambda: None,
        "idle": lambda _now_ns: None,
        "report": lambda _error: None,
    }
    return Worker(ingest, handle=handle, **{**quiet, **options})  # type: ignore[arg-type]


def test_newest_set_wins_when_the_pipeline_is_slow(ingest: FakeIngest) -> None:
    handled: list[int] = []
    started, proceed, done = threading.Event(), threading.Event(), threading.Event()

    def handle(number: int) -> None:
        handled.append(number)
        started.set()
        proceed.wait(WITHIN_S)
        if number == 4:
            done.set()

    busy = worker(ingest, handle)
    ingest.sets = [0]
    busy.start()
    busy.wake()
    assert started.wait(WITHIN_S)
    ingest.sets = [1, 2, 3, 4]
    busy.wake()
    proceed.set()
    assert done.wait(WITHIN_S)
    busy.stop()
    assert handled == [0, 4]
    assert busy.skipped == 3


def test_next_set_is_handled_when_one_raises(ingest: FakeIngest) -> None:
    errors: list[Exception] = []
    reported, done = threading.Event(), threading.Event()

    def handle(number: int) -> None:
        if number == 0:
            raise RuntimeError("no device")
        done.set()

    def report(error: Exception) -> None:
        errors.append(error)
        reported.set()

    survivor = worker(ingest, handle, report=report)
    ingest.sets = [0]
    survivor.start()
    survivor.wake()
    assert reported.wait(WITHIN_S)
    ingest.sets = [1]
    survivor.wake()
    assert done.wait(WITHIN_S)
    survivor.stop()
    assert [str(error) for error in errors] == ["no device"]


def test_waiting_messages_are_taken_in_before_a_deadline_fires(ingest: FakeIngest) -> None:
    idle = threading.Event()
    ingest.deadline_ns = SteadyClock().now_ns() + 20_000_000
    due = worker(
        ingest,
        lambda _: None,
        catch_up=lambda: ingest.calls.append("catch up"),
        idle=lambda _now_ns: idle.set(),
    )
    due.start()
    assert idle.wait(WITHIN_S)
    due.stop()
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
    survivor = worker(ingest, lambda _: handled.set(), report=errors.append)
    survivor.start()
    assert handled.wait(WITHIN_S)
    survivor.stop()
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
    waiting = worker(ingest, lambda _: None, idle=idle, clock=ManualClock())
    waiting.start()
    assert enough.wait(WITHIN_S)
    waiting.stop()
    assert looked_s[11] - looked_s[1] >= 0.08
