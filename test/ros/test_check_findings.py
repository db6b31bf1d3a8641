"""What observations of a robot mean, without ROS running."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import MS, S

from sentryfuse_core.config import Config
from sentryfuse_core.types import Modality
from sentryfuse_ros.check_findings import (
    Frame,
    Level,
    Line,
    Publisher,
    SensorSeen,
    exit_status,
    sensor_lines,
)

NOW_NS = 1_700_000_000 * S
CLOUD = "sensor_msgs/msg/PointCloud2"
FINE = SensorSeen(
    topic="/lidar/points",
    wanted=(CLOUD,),
    wants_reliable=False,
    publishers=(Publisher(CLOUD, best_effort=True),),
    waited_s=2.0,
    arrivals_ns=tuple(index * 100 * MS for index in range(11)),
    stamps_ns=tuple((NOW_NS + index * 100 * MS - 20 * MS, NOW_NS + index * 100 * MS) for index in range(11)),
    frame_id="lidar",
    frame=Frame.PLACED,
)


def lines(seen: SensorSeen) -> dict[str, Line]:
    return {line.check: line for line in sensor_lines(Modality.LIDAR, seen, Config())}


def stamped(lag_ns: int) -> SensorSeen:
    return replace(FINE, stamps_ns=tuple((received - lag_ns, received) for _, received in FINE.stamps_ns))


def test_everything_is_ok_and_the_rate_told_when_a_sensor_is_fine() -> None:
    found = lines(FINE)
    assert {line.level for line in found.values()} == {Level.OK}
    assert found["messages"].text == "/lidar/points at 10.0 Hz"
    assert set(found) == {"messages", "stamps", "frame"}


@pytest.mark.parametrize(
    ("seen", "check", "text"),
    [
        (replace(FINE, publishers=()), "topic", "no publisher on /lidar/points"),
        (
            replace(FINE, publishers=(Publisher("a/msg/B", best_effort=False),)),
            "type",
            "unknown type a/msg/B",
        ),
        (replace(FINE, wants_reliable=True), "qos", "incompatible QoS"),
        (replace(FINE, arrivals_ns=()), "messages", "no message"),
        (replace(FINE, faults={"truncated": "12 of 90 bytes"}), "decoding", "truncated: 12 of 90 bytes"),
        (replace(FINE, frame=Frame.UNKNOWN), "frame", "tf2 does not know lidar"),
        (replace(FINE, frame=Frame.APART), "frame", "no path from lidar to base_link"),
        (replace(FINE, frame=Frame.UNKNOWN, frame_id=""), "frame", "messages name none"),
        (replace(FINE, stamps_ns=((0, NOW_NS), (0, NOW_NS + S))), "stamps", "zero stamp"),
        (stamped(3600 * S), "stamps", "other clock"),
        (stamped(-2 * S), "stamps", "future stamp"),
        (stamped(2 * S), "stamps", "every result would be too old"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_cause_is_told_with_a_remedy(seen: SensorSeen, check: str, text: str) -> None:
    line = lines(seen)[check]
    assert line.level is Level.FAIL
    assert text in line.text
    assert line.remedy


def test_a_reliable_publisher_among_others_satisfies_a_reliable_subscription() -> None:
    both = (Publisher(CLOUD, best_effort=True), Publisher(CLOUD, best_effort=False))
    assert "qos" not in lines(replace(FINE, wants_reliable=True, publishers=both))


def test_frames_are_not_judged_when_poses_come_from_parameters() -> None:
    assert lines(replace(FINE, frame=Frame.UNASKED, frame_id=""))["frame"].level is Level.OK


@pytest.mark.parametrize(
    ("level", "strict", "status"),
    [(Level.OK, True, 0), (Level.WARN, False, 0), (Level.WARN, True, 1), (Level.FAIL, False, 1)],
)
def test_exit_status_follows_the_worst_line(level: Level, strict: bool, status: int) -> None:
    assert exit_status([Line("a", "b", Level.OK, ""), Line("a", "b", level, "")], strict=strict) == status
