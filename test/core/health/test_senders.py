"""Senders that are mixed on a topic, and those that follow each other."""

from __future__ import annotations

import pytest
from builders import MS, S

from sentryfuse_core.health.senders import Senders


@pytest.mark.parametrize(
    ("sent", "mixed"),
    [
        ({"a": (0, 2000)}, []),
        ({"a": (0, 2000), "b": (50, 2050)}, ["a", "b"]),
        ({"a": (0, 1000), "b": (1050, 2050)}, []),  # started anew
        ({"a": (0, 700), "b": (750, 1250), "c": (1300, 2000)}, []),  # twice
        ({"a": (0, 2000), "b": (950, 2050), "c": (0, 400)}, ["a", "b", "c"]),
    ],
)
def test_senders_are_mixed_when_they_send_in_turn(sent: dict[str, tuple[int, int]], mixed: list[str]) -> None:
    senders = Senders()
    times = [(at, name) for name, (first, last) in sent.items() for at in range(first, last, 100)]
    for at_ms, name in sorted(times):
        senders.heard(name, at_ms * MS)
    assert sorted(map(str, senders.mixed(2100 * MS))) == mixed


def test_senders_are_mixed_no_longer_when_one_has_ended() -> None:
    senders = Senders()
    for index in range(10):
        senders.heard(index % 2, index * 100 * MS)
    assert senders.mixed(S) == [0, 1]
    for index in range(50):
        senders.heard(0, S + index * 100 * MS)
    assert senders.mixed(6 * S) == []
    senders.heard(1, 6 * S)  # comes back, once
    assert senders.mixed(6 * S) == []


def test_senders_are_forgotten_when_each_message_is_of_another() -> None:
    senders = Senders()
    for index in range(100_000):
        senders.heard(index, index * S)
    assert len(vars(senders)["_heard"]) <= 64
