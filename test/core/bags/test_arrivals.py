"""Messages of a recording under faults: in order of arrival, and only its end loses what is held."""

from __future__ import annotations

from pathlib import Path

import bags
import pytest
from builders import MS

from sentryfuse_core.bags.arrivals import Arrival, arrivals
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.faults.stamps import stamp_ns
from sentryfuse_core.types import Modality

IMU = (bags.TOPICS[Modality.IMU], "sensor_msgs/msg/Imu")


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arrivals")
    return bags.write_as("mcap", folder, bags.drive((Modality.IMU,), seconds=1.0))


def played(bag: Path, *events: Event) -> list[Arrival]:
    injector = FaultInjector(Scenario("test", 3, 1.0, events)) if events else None
    with BagReader(bag) as reader:
        return list(arrivals(reader, {IMU: Modality.IMU}, injector=injector))


def test_arrivals_are_each_sensors_by_type_when_a_topic_was_recorded_under_several(tmp_path: Path) -> None:
    drive = bags.drive((Modality.IMU, Modality.CAMERA, Modality.LIDAR), seconds=0.2)
    path = bags.write(tmp_path / "a.mcap", [item._replace(topic="/mixed") for item in drive])
    camera = ("/mixed", "sensor_msgs/msg/CompressedImage")
    feeds = {("/mixed", IMU[1]): "imu", camera: "camera"}
    nothing = FaultInjector(Scenario("test", 3, 1.0, ()))
    with BagReader(path) as reader:
        for injector in (None, nothing):
            found = [(item.sensor, item.type_name) for item in arrivals(reader, feeds, injector=injector)]
            assert set(found) == {("imu", IMU[1]), ("camera", camera[1])}
            assert len(found) == sum(item.type_name in (IMU[1], camera[1]) for item in drive)


@pytest.mark.parametrize("until_s", [0.5, 10.0])
def test_held_messages_come_when_the_event_or_the_recording_ends(bag: Path, until_s: float) -> None:
    plain = played(bag)
    mixed = played(bag, Event(0.1, until_s, "imu", "reorder", {"depth": 4.0, "share": 0.9}))
    stamps = [stamp_ns(arrival.message) for arrival in mixed]
    assert sorted(stamps) == [stamp_ns(arrival.message) for arrival in plain]  # type: ignore[type-var]
    assert stamps != sorted(stamps)  # type: ignore[type-var]
    assert [a.at_ns for a in mixed] == sorted(a.at_ns for a in mixed)
    if until_s == 0.5:
        end = [a for a in mixed if a.at_ns - plain[0].at_ns > 0.6e9]
        assert [a.at_ns for a in end] == [a.at_ns for a in plain[-len(end) :]]


def test_copies_and_delays_come_in_order_when_combined(bag: Path) -> None:
    once = len(played(bag))
    mixed = played(
        bag,
        Event(0.0, 10.0, "imu", "duplicate", {"copies": 2.0, "share": 1.0}),
        Event(0.0, 0.9, "imu", "jitter", {"max_s": 0.05}),
    )
    assert len(mixed) == 3 * once
    assert [a.at_ns for a in mixed] == sorted(a.at_ns for a in mixed)


def test_delayed_messages_never_come_when_the_recording_ends_before_them(bag: Path) -> None:
    plain = played(bag)
    late = played(bag, Event(0.0, 10.0, "imu", "delay", {"delay_s": 0.7}))
    assert [a.at_ns for a in late] == [
        a.at_ns + 700 * MS for a in plain if a.at_ns <= plain[-1].at_ns - 700 * MS
    ]
