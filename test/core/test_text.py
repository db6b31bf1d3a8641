"""Text of strangers: bounded, printable, and untouched where nothing is wrong with it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.text import bounded, number, one_line, printable, reason_of


@given(st.text(st.characters(), max_size=300), st.integers(1, 200))
def test_text_is_printable_and_bounded_whatever_it_held(text: str, longest: int) -> None:
    found = bounded(text, longest)
    assert len(found) <= longest
    assert found.isprintable()
    found.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a lidar: 9 m", "a lidar: 9 m"),
        ("frame \x1b[2J\n", "frame \\x1b[2J\\n"),
        ("\ud800", "\\ud800"),
        ("x" * 21, "x" * 19 + "…"),
    ],
)
def test_text_is_shown_as_it_is_where_it_can_be(text: str, shown: str) -> None:
    assert bounded(text, 20) == shown


def test_detail_of_a_bad_message_is_bounded_when_it_held_ten_kilobytes() -> None:
    error = InvalidMessageError("no_pose", "frame " + "x" * 10_000)
    assert len(str(error)) < 400


def test_said_lines_are_printable_and_bounded_when_a_value_is_not() -> None:
    assert printable("a\x1b[31mb\nc\ud800") == "a\\x1b[31mb\\nc\\ud800"
    assert printable("Straße 4, 5 µm") == "Straße 4, 5 µm"
    assert one_line("a\n b\x07") == "a b\\x07"
    assert len(one_line("x" * 100_000)) == 2000
    assert reason_of(KeyError("topics")) == "KeyError 'topics'"
    assert reason_of(ValueError()) == "ValueError"
    assert len(reason_of(ValueError("x\n" * 100_000))) == 200


def test_number_is_a_dash_where_nothing_was_measured() -> None:
    assert [number(value, ".1f", " s") for value in (2.04, math.nan, None)] == ["2.0 s", "-", "-"]
