"""One stream: what is admitted, what is put in quarantine, and that it stays bounded."""

from __future__ import annotations

import pytest
from builders import MS, S, sample
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.config import SyncConfig
from sentryfuse_core.sync.buffer import Stream, Verdict
from sentryfuse_core.sync.spec import StreamSpec
from sentryfuse_core.types import Modality

T0 = 100 * S


def _stream(*, window_ns: int = 0) -> Stream:
    return Stream(StreamSpec(anchor_rank=0, window_ns=window_ns), SyncConfig())


def _admit(stream: Stream, stamp_ns: int, *, arrival_ns: int | None = None) -> Verdict:
    item = sample(
        Modality.CAMERA, stamp_ns, arrival_ns=max(stamp_ns, 0) if arrival_ns is None else arrival_ns
    )
    return stream.admit(item, item.arrival_ns)


@pytest.mark.parametrize(
    ("stamp_ns", "reason"),
    [(-1, "negative"), (T0 + S, "future"), (T0, "duplicate"), (T0 - 10 * MS, "out_of_order")],
)
def test_stream_counts_the_reason_when_a_stamp_is_bad(stamp_ns: int, reason: str) -> None:
    stream = _stream()
    _admit(stream, T0 - 20 * MS)
    _admit(stream, T0)
    _admit(stream, stamp_ns, arrival_ns=T0)
    assert dict(stream.counters) == {reason: 1}


def test_stream_rejects_a_used_sample_when_it_is_sent_again() -> None:
    stream = _stream()
    _admit(stream, T0)
    stream.forget_before(T0 + 1)
    _admit(stream, T0 + 100 * MS)
    _admit(stream, T0, arrival_ns=T0 + 100 * MS)
    assert stream.stamps_ns == [T0 + 100 * MS]


def test_stream_keeps_its_time_when_single_stamps_go_back() -> None:
    stream = _stream()
    verdicts = []
    for step in range(20):
        _admit(stream, T0 + step * 100 * MS)
        verdicts.append(_admit(stream, T0 - 50 * S + step, arrival_ns=T0 + step * 100 * MS))
    assert set(verdicts) == {Verdict.WENT_BACK}
    assert stream.newest_ns == T0 + 1900 * MS
    assert stream.quarantined == 1
    assert dict(stream.counters) == {"went_back": 20, "not_believed": 19}


def test_stream_is_rebased_when_five_messages_agree_on_an_earlier_time() -> None:
    stream = _stream()
    _admit(stream, T0)
    verdicts = [_admit(stream, T0 - 50 * S + step * 100 * MS, arrival_ns=T0 + step * MS) for step in range(5)]
    assert verdicts == [Verdict.WENT_BACK] * 4 + [Verdict.REBASED]
    assert stream.newest_ns == T0 - 50 * S + 400 * MS
    assert len(stream.samples) == 5
    assert stream.counters["rebased"] == 1


def test_stream_slop_is_half_the_longest_interval_when_that_is_less_than_configured() -> None:
    stream = _stream()
    assert stream.timing.slop_ns(40 * MS) == 40 * MS
    for step in range(5):
        _admit(stream, T0 + step * 34 * MS)
    assert stream.timing.slop_ns(40 * MS) == 17 * MS
    assert stream.timing.period_ns == 34 * MS


@given(stamps_ns=st.lists(st.integers(-S, 300 * S), max_size=300), window=st.booleans())
def test_stream_stays_sorted_and_bounded_when_stamps_are_anything(
    stamps_ns: list[int], *, window: bool
) -> None:
    stream = _stream(window_ns=100 * MS if window else 0)
    for count, stamp_ns in enumerate(stamps_ns):
        _admit(stream, stamp_ns, arrival_ns=T0 + count * MS)
    assert stream.stamps_ns == sorted(set(stream.stamps_ns))
    assert [item.stamp_ns for item in stream.samples] == stream.stamps_ns
    assert len(stream.samples) <= 64 or window
    if stream.stamps_ns:
        assert stream.stamps_ns[-1] - stream.stamps_ns[0] < 2 * S


def test_stream_stays_bounded_when_nothing_is_ever_taken() -> None:
    stream = _stream()
    for step in range(5000):
        _admit(stream, T0 + step * MS)
    assert len(stream.samples) == 64
    assert stream.counters["overflow"] == 5000 - 64
