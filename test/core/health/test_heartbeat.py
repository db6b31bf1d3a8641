"""The heartbeat: which gaps are the node's own, what they are called, and up to when it has listened."""

from __future__ import annotations

import pytest
from builders import MS, S

from sentryfuse_core.health.heartbeat import BEAT_NS, Heartbeat, Stall


def beating(*, until_ns: int = 2 * S, work: bool = True) -> Heartbeat:
    """Both parts alive from 1 s on, the last beats at `until_ns`."""
    heart = Heartbeat()
    for now_ns in range(S, until_ns + 1, BEAT_NS):
        assert heart.listen(now_ns, now_ns) is None
        if work:
            heart.work(now_ns)
    return heart


def test_no_stall_is_found_when_the_parts_beat_in_time() -> None:
    heart = beating(until_ns=10 * S)
    assert heart.heard_ns(10 * S + BEAT_NS, 10 * S + BEAT_NS) == 10 * S + BEAT_NS


def test_stall_has_reason_seconds_and_remedy_when_nothing_ran() -> None:
    heart = beating()
    heart.work(2700 * MS)  # the worker may wake first
    stall = heart.listen(2720 * MS, 2720 * MS)
    assert stall == Stall(2 * S, 2720 * MS, 0.72, "stopped")
    assert stall.told
    assert stall.silence_ns == 720 * MS - BEAT_NS
    assert "the node did not run for 0.72 s; no sensor is blamed" in stall.reason
    assert "debugger" in stall.remedy


@pytest.mark.parametrize(
    ("beats_ms", "cause", "remedy"),
    [
        (range(2050, 2700, 50), "deaf", "executor"),
        ([2020], "stopped", "CPU load"),  # the begin of an inference that held everything up
    ],
)
def test_stall_is_called_by_whether_the_worker_went_on(beats_ms: list[int], cause: str, remedy: str) -> None:
    heart = beating()
    for now_ms in beats_ms:
        heart.work(now_ms * MS)
    stall = heart.listen(2700 * MS, 2700 * MS)
    assert stall is not None
    assert stall.cause == cause
    assert remedy in stall.remedy


def test_no_stall_is_found_when_only_the_worker_is_busy() -> None:
    heart = beating(work=False)
    heart.work(S)
    assert heart.listen(2050 * MS, 2050 * MS) is None
    assert heart.heard_ns(2050 * MS, 2050 * MS) == 2050 * MS
    assert heart.busy_s(5 * S) == 4.0


def test_stall_counts_the_machines_sleep_when_the_steady_clock_stood_still() -> None:
    heart = Heartbeat()
    assert heart.listen(S, S, slept_ns=5 * S) is None
    assert heart.listen(S + 30 * MS, S + 30 * MS, slept_ns=5 * S) is None
    stall = heart.listen(S + 60 * MS, S + 60 * MS, slept_ns=65 * S)
    assert stall is not None
    assert (stall.cause, round(stall.seconds)) == ("suspended", 60)
    assert stall.silence_ns == 0
    assert heart.listen(S + 90 * MS, S + 90 * MS, slept_ns=65 * S) is None


@pytest.mark.parametrize(("gap_ms", "told"), [(120, False), (250, True)])
def test_stall_is_told_when_it_could_have_cost_a_sensor_its_place(gap_ms: int, told: bool) -> None:
    stall = beating().listen(2 * S + gap_ms * MS, 2 * S + gap_ms * MS)
    assert stall is not None
    assert stall.told is told


def test_heard_time_stands_still_when_nobody_listens() -> None:
    heart = beating()
    assert heart.heard_ns(3 * S, 3 * S) == 2 * S + BEAT_NS
    assert heart.listen(3 * S, 3 * S) is not None
    assert heart.heard_ns(3 * S, 3 * S) == 3 * S


def test_stall_is_measured_on_the_clock_of_silence_when_that_is_simulated() -> None:
    heart = Heartbeat()
    heart.listen(S, 100 * S)
    stall = heart.listen(3 * S, 100 * S + 600 * MS)
    assert stall is not None
    assert (stall.seconds, stall.silence_ns) == (2.0, 600 * MS - BEAT_NS)
