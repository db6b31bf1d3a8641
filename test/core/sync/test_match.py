"""Matching by stamps: nearest, windows, and the proof that waiting is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.sync import match

stamps = st.lists(st.integers(0, 10_000), unique=True, max_size=30).map(sorted)


@given(stamps, st.integers(0, 10_000), st.integers(0, 2_000))
def test_nearest_agrees_with_trying_all_when_stamps_are_sorted(
    stamps_ns: list[int], moment_ns: int, slop_ns: int
) -> None:
    within = [abs(stamp_ns - moment_ns) for stamp_ns in stamps_ns if abs(stamp_ns - moment_ns) <= slop_ns]
    index = match.nearest(stamps_ns, moment_ns, slop_ns)
    if within:
        assert index is not None
        assert abs(stamps_ns[index] - moment_ns) == min(within)
    else:
        assert index is None


def test_nearest_takes_the_older_when_two_are_equally_near() -> None:
    assert match.nearest([90, 110], 100, 10) == 0


@given(stamps, st.integers(0, 10_000), st.integers(1, 2_000))
def test_window_holds_every_stamp_when_it_is_open_on_the_left(
    stamps_ns: list[int], moment_ns: int, window_ns: int
) -> None:
    expected = [stamp_ns for stamp_ns in stamps_ns if moment_ns - window_ns < stamp_ns <= moment_ns]
    assert stamps_ns[match.window(stamps_ns, moment_ns, window_ns)] == expected


@pytest.mark.parametrize(
    ("stamps_ns", "expected"),
    [
        ([50, 70, 90, 110, 130, 150], [90, 110, 130]),
        ([50, 80, 130], [80, 130]),
        ([50, 78, 130], [130]),  # more than a window before the window
        ([50, 70, 90, 109], []),  # nothing in it: the stream has ended
        ([110, 130], [110, 130]),
    ],
)
def test_window_holds_the_stamp_before_it_when_what_it_stamps_lasts(
    stamps_ns: list[int], expected: list[int]
) -> None:
    assert stamps_ns[match.window(stamps_ns, 140, 31, lasting=True)] == expected


def _settled(**changes: int | bool) -> bool:
    case = {
        "newest_ns": 900,
        "shortest_interval_ns": 100,
        "lag_ns": 0,
        "reach_ns": 40,
        "closer": False,
        "deadline_ns": 10_000,
    }
    return match.settled(1000, **{**case, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),  # the next one may come at 980
        ({"newest_ns": 1000}, True),
        ({"newest_ns": 970}, True),  # the next one comes at 1050 or later, the reach ends at 1040
        ({"newest_ns": 960}, False),  # it may come at 1040
        ({"newest_ns": 960, "closer": True}, True),  # which does not beat the sample at 960
        ({"newest_ns": 970, "shortest_interval_ns": 0}, False),  # no interval known, no proof
        ({"deadline_ns": 1050, "lag_ns": 60}, False),  # one of 980 may arrive at 1040
        ({"deadline_ns": 1050, "lag_ns": 71}, True),
    ],
)
def test_settled_proves_only_what_the_period_and_the_lag_allow_when_nothing_came(
    changes: dict[str, int | bool], *, expected: bool
) -> None:
    assert _settled(**changes) is expected
