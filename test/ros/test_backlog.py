"""Backlog: messages in the order in which they came, whatever order the executor handles them in."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_ros.backlog import OVERDUE_NS, Backlog

WAITED_NS = 2 * OVERDUE_NS


def handed_out(backlog: Backlog[str], now_ns: int = 10**12) -> list[str]:
    return [message for _, _, message in backlog.ready(now_ns)]


def take(backlog: Backlog[str], index: int, came_ns: int, waited_ns: int = WAITED_NS) -> list[str]:
    """Handle a message named after its arrival; what is ready then."""
    arrival_ns = backlog.heard(index, came_ns, waited_ns)
    backlog.hold(index, arrival_ns, f"{index} at {came_ns}")
    return handed_out(backlog, arrival_ns)


def test_message_goes_through_at_once_when_nothing_waited() -> None:
    backlog: Backlog[str] = Backlog(2)
    assert take(backlog, 0, 5, waited_ns=0) == ["0 at 5"]
    assert take(backlog, 1, 4, waited_ns=0) == ["1 at 4"]
    assert backlog.look(0)


def test_message_is_held_when_an_older_one_may_lie_in_another_queue() -> None:
    backlog: Backlog[str] = Backlog(2)
    assert take(backlog, 1, 10) == []  # nothing is known of the other queue yet
    assert take(backlog, 0, 30) == ["1 at 10"]
    assert take(backlog, 1, 20) == ["1 at 20"]
    assert take(backlog, 0, 40) == []
    assert take(backlog, 1, 50) == ["0 at 30", "0 at 40"]


def test_dead_input_holds_nothing_up_when_it_was_passed_over() -> None:
    backlog: Backlog[str] = Backlog(2)
    take(backlog, 0, 10)
    assert take(backlog, 1, 20) == ["0 at 10"]
    assert take(backlog, 1, 30) == []
    assert take(backlog, 1, 40) == ["1 at 20", "1 at 30"]
    assert take(backlog, 1, 50) == ["1 at 40"]


def test_queues_are_empty_when_nothing_was_handled_between_two_looks() -> None:
    backlog: Backlog[str] = Backlog(2)
    take(backlog, 0, 10)
    take(backlog, 1, 20)
    assert not backlog.look(0)
    assert backlog.look(0)
    assert handed_out(backlog) == ["1 at 20"]


def test_timer_looks_twice_when_it_is_late() -> None:
    backlog: Backlog[str] = Backlog(2)
    assert not backlog.look(OVERDUE_NS + 1)
    assert backlog.look(0)


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_order_is_that_of_arrival_when_queues_of_any_length_are_worked_off(inputs: int, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    arrivals = sorted(draw.sample(range(1000), 4 * inputs))
    queues: list[list[int]] = [[] for _ in range(inputs)]
    for at in arrivals:
        queues[draw.randrange(inputs)].append(at)
    backlog: Backlog[str] = Backlog(inputs)
    out: list[str] = []
    while any(queues):  # a round of the executor: one message of every queue that has some
        for index in [index for index, queue in enumerate(queues) if queue]:
            out += take(backlog, index, queues[index].pop(0))
    while not backlog.look(0):
        pass
    out += handed_out(backlog)
    assert [int(name.split()[-1]) for name in out] == arrivals
