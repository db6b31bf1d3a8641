"""Stamps that are moved to the time of play: which clock they are of, and what is left alone."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Imu

from sentryfuse_core.bags.readers import BagMessage, Undecodable
from sentryfuse_ros.restamp import Timeline, clock_offset_ns, restamped

S = 1_000_000_000
START_NS = 1_700_000_000 * S
pytestmark = [pytest.mark.ros, pytest.mark.capability("recordings played over real DDS")]


@given(sec=st.integers(0, 2**31 - 1), nanosec=st.integers(0, S - 1), big=st.booleans())
def test_restamping_changes_nothing_but_the_stamp_when_bytes_are_patched(
    sec: int, nanosec: int, big: bool
) -> None:
    order = ">" if big else "<"
    data = bytes((0, 0 if big else 1, 0, 0)) + struct.pack(f"{order}iI", sec, nanosec) + b"rest"
    seen: list[int] = []
    moved = restamped(data, lambda stamp: seen.append(stamp) or 5 * S + 7)  # type: ignore[func-returns-value]
    assert seen == [sec * S + nanosec]
    assert moved == data[:4] + struct.pack(f"{order}iI", 5, 7) + b"rest"


def test_restamping_leaves_bytes_alone_when_too_short_for_a_stamp() -> None:
    for length in range(12):
        data = bytes((0, 1, 0, 0, 5, 0, 0, 0, 9, 9, 9, 9))[:length]
        assert restamped(data, lambda _: 0) == data


def test_restamping_is_what_rclpy_reads_when_deserialised() -> None:
    message = Imu()
    message.header.frame_id = "imu"
    moved = deserialize_message(restamped(serialize_message(message), lambda _: 3 * S + 4), Imu)
    stamp = moved.header.stamp
    assert stamp.sec * S + stamp.nanosec == 3 * S + 4
    assert moved.header.frame_id == "imu"


@pytest.mark.parametrize(
    ("rate", "stamp_ns", "moved_ns"),
    [
        (2.0, START_NS + 4 * S, START_NS + 102 * S),
        (1.0, 0, 0),  # tells no time
        (0.3, 5 * S, 5 * S),  # would be long before 1970
        (0.1, START_NS + 100_000_000 * S, START_NS + 100_000_000 * S),  # would be after 2038
    ],
)
def test_timeline_leaves_a_stamp_alone_when_it_cannot_be_moved(
    rate: float, stamp_ns: int, moved_ns: int
) -> None:
    assert Timeline(START_NS, START_NS + 100 * S, rate).moved_ns(stamp_ns) == moved_ns


def stream(
    topic: str, rate_hz: int, *, seconds: float = 2.0, after_s: float = 0.0, clock_ns: int | None = 0
) -> list[BagMessage]:
    """Messages stamped 2 ms before they were recorded, by a clock that is off; None: without stamps."""
    found = []
    for index in range(round(seconds * rate_hz)):
        log_ns = START_NS + round((after_s + index / rate_hz) * S)
        stamp_ns = 0 if clock_ns is None else log_ns - 2_000_000 + clock_ns
        data = b"\0\1\0\0" + struct.pack("<iI", *divmod(stamp_ns, S))
        found.append(BagMessage(topic, "sensor_msgs/msg/Imu", log_ns, data))
    return found


BOOTED_NS, HOUR_AGO_NS = 40 * S - START_NS, -3600 * S
MAP = stream("/map", 1, seconds=1, clock_ns=HOUR_AGO_NS)


@pytest.mark.parametrize(
    ("streams", "offset_ns"),
    [
        ([stream("/imu", 400), stream("/image", 10)], 0),
        ([stream("/imu", 400, clock_ns=BOOTED_NS), stream("/image", 10, clock_ns=BOOTED_NS)], BOOTED_NS),
        ([MAP, stream("/imu", 400)], 0),
        ([MAP, stream("/image", 10, after_s=30.0)], 0),
        ([MAP, stream("/image", 10, after_s=30.0, clock_ns=BOOTED_NS)], BOOTED_NS),
        ([stream("/bumper", 50, clock_ns=None), stream("/imu", 400, clock_ns=BOOTED_NS)], BOOTED_NS),
        # One sensor whose driver does not follow the clock, however fast it is.
        ([stream("/imu", 400, clock_ns=BOOTED_NS), stream("/image", 10), stream("/points", 10)], 0),
        ([stream("/imu", 400, clock_ns=BOOTED_NS), stream("/image", 10)], 0),
        ([stream("/bumper", 50, clock_ns=None)], 0),
        ([], 0),
    ],
)
def test_clock_of_the_stamps_is_what_most_say_when_some_are_odd(
    streams: list[list[BagMessage]], offset_ns: int
) -> None:
    messages = sorted(itertools.chain(*streams), key=lambda item: item.log_time_ns)
    damaged = BagMessage("/imu", "sensor_msgs/msg/Imu", START_NS, Undecodable("rubbish"))
    assert clock_offset_ns([damaged, *messages]) == pytest.approx(offset_ns, abs=3_000_000)


@pytest.mark.parametrize("clock_ns", [0, BOOTED_NS, None])
def test_clock_of_the_stamps_is_known_after_little_when_the_recording_is_long(clock_ns: int | None) -> None:
    messages = iter([*MAP, *stream("/imu", 100, seconds=60, after_s=1.0, clock_ns=clock_ns)])
    clock_offset_ns(messages)
    assert next(messages).log_time_ns < START_NS + 3 * S
