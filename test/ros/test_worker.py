"""The worker's thread: newest set first, errors survived, deadlines after what has come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from sentryfuse_core.clock import SteadyClock
from sentryfuse_ros.worker import Worker

WITHIN_S = 5.0


class FakeIngest:
    """Sets and deadlines as told."""

    def __init__(self) -> None:
        self.sets: list[Any] = []
        self.deadline_ns: int | None = None
        self.calls: list[str] = []

    def advance(self, _now_ns: int) -> None:
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
    quiet = {"catch_up": lambda: None, "idle": lambda _now_ns: None, "report": lambda _error: None}
    return Worker(ingest, clock=SteadyClock(), handle=handle, **{**quiet, **options})  # type: ignore[arg-type]


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
