"""Text of strangers: bounded, printable, and untouched where nothing is wrong with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.text import bounded


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
