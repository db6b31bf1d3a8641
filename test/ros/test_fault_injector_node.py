"""The fault injector over real DDS: faults come and go on schedule, everything else passes untouched."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from ros.support import Rig, rig
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2, PointField
from sentryfuse.msg import Budget
from std_msgs.msg import Header, String

from sentryfuse_core.errors import ConfigError, ScenarioError
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.types import Modality
from sentryfuse_ros.fault_injector_node import SCENARIO_STATUS, FaultInjectorNode
from sentryfuse_ros.spin import Stop

pytestmark = [pytest.mark.ros, pytest.mark.capability("faults injected over real DDS")]


def injecting(*arguments: str) -> AbstractContextManager[Rig]:
    """An injector; its bench is the driver before it and the listener behind it."""
    return rig(lambda: FaultInjectorNode(Stop()), *arguments)


def telling(tmp_path: Path, scenario: str) -> AbstractContextManager[Rig]:
    """An injector with a scenario."""
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario, encoding="utf-8")
    return injecting("-p", f"scenario:={path}")


def line(found: Rig, kind: Any, topic: str) -> tuple[Any, list[Any]]:
    """A publisher under /raw and what arrives behind the injector."""
    publisher, got = found.bench.create_publisher(kind, f"/raw{topic}", 10), found.heard(kind, topic, 10)
    found.until(lambda: publisher.get_subscription_count() > 0 and found.bench.count_publishers(topic) > 0)
    return publisher, got


def test_injector_passes_any_type_untouched_when_it_has_no_scenario() -> None:
    with injecting() as found:
        publisher, got = line(found, String, "/anything")
        publisher.publish(String(data="first"))
        found.until(lambda: bool(got))
        assert got[0].data == "first"


class StoryTime:
    """The injector's time since the story began, moved by hand."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.at_s


@pytest.fixture
def story_time(monkeypatch: pytest.MonkeyPatch) -> StoryTime:
    made = StoryTime()
    monkeypatch.setattr("sentryfuse_ros.fault_injector_node.time", made)
    return made


def test_injector_drops_and_restores_when_the_schedule_says(tmp_path: Path, story_time: StoryTime) -> None:
    story = (
        "seconds: 3\nevents:\n  - {at_s: 0.5, until_s: 1.0, stream: imu, fault: drop}\n"
        "  - {at_s: 1.0, until_s: 1.5, stream: imu, fault: freeze}\n"
    )
    with telling(tmp_path, story) as found:
        diagnostics = found.heard(DiagnosticArray, "/diagnostics")
        publisher, got = line(found, Imu, "/imu/data")
        handled = found.heard(Imu, "/raw/imu/data")  # one more listener tells that a dropped one was there
        found.until(lambda: publisher.get_subscription_count() == 2)

        def stories() -> list[str]:
            statuses = [status for array in diagnostics for status in array.status]
            return [status.message for status in statuses if status.name == SCENARIO_STATUS]

        for at_s, told, numbers in (
            (0.0, "no fault", range(5)),
            (0.75, "imu: drop", range(5, 10)),
            (1.25, "imu: freeze", range(10, 15)),
            (1.75, "no fault", range(15, 20)),
        ):
            story_time.at_s = at_s
            for number in numbers:
                message = Imu()
                message.header.stamp.sec = number
                message.linear_acceleration.x = float(number)
                publisher.publish(message)
                found.until(lambda: len(handled) == number + 1)  # noqa: B023 - called at once
                found.until(lambda: number >= 5 or len(got) == number + 1)  # noqa: B023 - called at once
            found.until(lambda: stories()[-1:] == [told])  # noqa: B023 - called at once
        found.until(lambda: got[-1].header.stamp.sec == 19)
        assert [message.header.stamp.sec for message in got] == [*range(5), *range(10, 20)]
        contents = [message.linear_acceleration.x for message in got]
        assert contents[:5] == [0, 1, 2, 3, 4]
        assert len(set(contents[5:10])) == 1
        assert contents[10:] == [15, 16, 17, 18, 19]
        assert found.node.errors == 0


def test_injector_tells_of_a_fault_that_ended_without_any_message_to_alter(
    tmp_path: Path, story_time: StoryTime, capfd: pytest.CaptureFixture[str]
) -> None:
    story = (
        "seconds: 9\nevents:\n  - {at_s: 0, until_s: 1, stream: imu, fault: drop}\n"
        "  - {at_s: 0, until_s: 1, stream: lidar, fault: drop}\n"
        "  - {at_s: 0, stream: camera, fault: drop}\n"  # not over yet
    )
    with telling(tmp_path, story) as found:
        diagnostics = found.heard(DiagnosticArray, "/diagnostics")
        publisher, _ = line(found, Imu, "/imu/data")
        handled = found.heard(Imu, "/raw/imu/data")
        found.until(lambda: publisher.get_subscription_count() == 2)

        def missed() -> list[str]:
            statuses = [status for array in diagnostics for status in array.status]
            told = [status for status in statuses if status.name == SCENARIO_STATUS]
            return [item.value for status in told for item in status.values if item.key == "missed"]

        publisher.publish(Imu())
        found.until(lambda: bool(handled) and missed()[-1:] == ["none"])
        story_time.at_s = 2.5
        found.until(lambda: missed()[-1:] == ["drop of lidar at 0 s"])
    assert capfd.readouterr().err.count("was not injected") == 1


def test_scenario_begins_and_hits_by_topic_when_no_sensor_has_that_topic(
    tmp_path: Path, story_time: StoryTime, capfd: pytest.CaptureFixture[str]
) -> None:
    rig_file = tmp_path / "rig.yaml"
    rig_file.write_text("sensors: [nose, tail]\nnose: {kind: imu}\ntail: {kind: imu}\n", encoding="utf-8")
    story = tmp_path / "story.yaml"
    event = "{at_s: 0.5, until_s: 2.0, stream: /other, fault: drop}"
    story.write_text(f"seconds: 9\nevents:\n  - {event}\n", encoding="utf-8")
    with injecting("-p", f"scenario:={story}", "-p", f"sensors_from:={rig_file}") as found:
        publisher, got = line(found, Imu, "/other")
        handled = found.heard(Imu, "/raw/other")  # one more listener tells that the dropped one was there
        found.until(lambda: publisher.get_subscription_count() == 2)
        for number, at_s in enumerate((0.0, 1.0, 3.0)):
            story_time.at_s = at_s
            message = Imu()
            message.header.stamp.sec = number
            publisher.publish(message)
            found.until(lambda: len(handled) == number + 1)  # noqa: B023 - called at once
            found.until(lambda: number == 1 or len(got) == [1, 0, 2][number])  # noqa: B023 - called at once
        assert [message.header.stamp.sec for message in got] == [0, 2]
    assert "no imu in sensors_from has the topic /other" in capfd.readouterr().err


def test_injector_finds_the_parameter_file_when_its_path_begins_with_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rig.yaml").write_text("sensors: [nose]\nnose: {kind: imu}\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    with injecting("-p", "sensors_from:=~/rig.yaml") as found:
        assert list(found.node._config.sensors) == ["nose"]


def test_injector_knows_the_sensors_by_the_names_that_its_own_parameters_give(
    tmp_path: Path,
) -> None:
    rig_file = tmp_path / "rig.yaml"
    rig_file.write_text("sensors: [nose, tail]\nnose: {kind: imu}\ntail: {kind: imu}\n", encoding="utf-8")
    story = tmp_path / "story.yaml"
    story.write_text("seconds: 9\nevents:\n  - {at_s: 0, stream: tail, fault: drop}\n", encoding="utf-8")
    words = ("-p", f"scenario:={story}")
    by_file = (*words, "-p", f"sensors_from:={rig_file}", "-p", "tail.topic:=/behind")
    by_name = (*words, "-p", "sensors:=[nose, tail]", "-p", "nose.kind:=imu", "-p", "tail.kind:=imu")
    for given, dropped in ((by_file, "/behind"), ((*by_name, "-p", "tail.topic:=/end"), "/end")):
        with injecting(*given) as found:
            assert found.node._sensor(dropped, Modality.IMU) == "tail"
            assert found.node._sensor("/nose/data", Modality.IMU) == "nose"
            publisher, got = line(found, Imu, dropped)
            handled = found.heard(Imu, f"/raw{dropped}")
            found.until(lambda: publisher.get_subscription_count() == 2)  # noqa: B023 - called at once
            publisher.publish(Imu())
            found.until(lambda: bool(handled))  # noqa: B023 - called at once
            assert not got


def test_injector_knows_the_sensors_of_the_node_that_it_is_told_when_a_file_is_for_several(
    tmp_path: Path,
) -> None:
    fleet = tmp_path / "fleet.yaml"
    section = "/{0}/sentryfuse:\n  ros__parameters: {{sensors: [{0}_imu], {0}_imu: {{kind: imu}}}}\n"
    fleet.write_text("".join(map(section.format, ("one", "two"))), encoding="utf-8")
    words = ("-p", f"sensors_from:={fleet}")
    with pytest.raises(ConfigError, match="sensors_of"), injecting(*words):
        pass
    with injecting(*words, "-p", "sensors_of:=/one/sentryfuse") as found:
        assert list(found.node._config.sensors) == ["one_imu"]


def test_injector_delays_by_the_asked_time_when_told(tmp_path: Path, story_time: StoryTime) -> None:
    story = "seconds: 60\nevents: [{at_s: 0, stream: imu, fault: delay, delay_s: 0.3}]\n"
    with telling(tmp_path, story) as found:
        publisher, got = line(found, Imu, "/imu/data")
        publisher.publish(Imu())
        found.until(lambda: bool(found.node._delayed))
        story_time.at_s = 0.29
        for _ in range(50):
            found.spin()
        assert not got
        story_time.at_s = 0.31
        found.until(lambda: bool(got))


def test_injector_goes_on_when_simulated_time_stands_still(tmp_path: Path) -> None:
    story = tmp_path / "story.yaml"
    late = "{at_s: 0, stream: imu, fault: delay, delay_s: 0.05}"
    story.write_text(f"seconds: 60\nevents: [{late}]\n", encoding="utf-8")
    with injecting("-p", "use_sim_time:=true", "-p", f"scenario:={story}") as found:
        stories = found.heard(DiagnosticArray, "/diagnostics")
        publisher, got = line(found, Imu, "/imu/data")  # a driver that comes later than the injector
        publisher.publish(Imu())
        found.until(lambda: bool(got))
        found.until(lambda: len(stories) > 2)


def test_injector_publishes_the_budget_when_it_is_due(tmp_path: Path) -> None:
    story = "name: low\nseconds: 60\nactions: [{at_s: 0.2, power_w: 6}]\n"
    with telling(tmp_path, story) as found:
        got = found.heard(Budget, "/sentryfuse/budget")
        found.until(lambda: found.bench.count_publishers("/sentryfuse/budget") > 0)
        publisher, _ = line(found, Imu, "/imu/data")
        publisher.publish(Imu())
        found.until(lambda: bool(got))
        assert got[0].power_w == 6.0
        assert got[0].latency_ms != got[0].latency_ms  # NaN: no limit
        assert (got[0].level, got[0].source) == (-1, "scenario low")


@pytest.mark.parametrize(
    ("taken", "out"),
    [
        ("/bot/raw/imu/data", "/bot/imu/data"),
        ("/bot/raw/bot/imu/data", "/bot/imu/data"),
        ("/bot/raw/tf_static", "/tf_static"),
    ],
)
def test_injector_publishes_in_its_namespace_when_it_has_one(taken: str, out: str) -> None:
    with injecting("-r", "__ns:=/bot", "-p", "prefix:=raw") as found:
        publisher, got = found.bench.create_publisher(Imu, taken, 10), found.heard(Imu, out)
        found.until(lambda: publisher.get_subscription_count() > 0 and found.bench.count_publishers(out) > 0)
        publisher.publish(Imu())
        found.until(lambda: bool(got))


def test_injector_hears_a_driver_when_it_is_started_again_with_another_qos() -> None:
    with injecting() as found:
        got = found.heard(Imu, "/imu/data", qos_profile_sensor_data)
        for reliability in (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT):
            driver = found.bench.create_publisher(
                Imu, "/raw/imu/data", QoSProfile(depth=10, reliability=reliability)
            )
            sent = Imu(header=Header(frame_id=reliability.name))

            def came(driver: Any = driver, sent: Imu = sent) -> bool:
                driver.publish(sent)
                return sent in got

            found.until(came)
            found.bench.destroy_publisher(driver)


def test_injector_takes_parameters_of_other_nodes_when_they_are_set_for_all() -> None:
    with injecting("-p", "camera.topic:=/front", "-p", "use_sim_time:=false"):
        pass


@pytest.mark.parametrize("prefix", ["''", "/", "/raw-data"])
def test_injector_refuses_to_start_when_its_prefix_takes_every_topic_or_is_no_name(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix"), injecting("-p", f"prefix:={prefix}"):
        pass


def test_injector_refuses_to_start_when_the_scenario_is_wrong(tmp_path: Path) -> None:
    wrong = "seconds: 1\nevents: [{at_s: 0, stream: radar, fault: drop}]\n"
    with pytest.raises(ScenarioError, match="radar"), telling(tmp_path, wrong):
        pass


def image() -> Image:
    return Image(height=4, width=4, step=12, encoding="rgb8", data=bytes(range(48)))


def cloud() -> PointCloud2:
    fields = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate("xyz")]
    return PointCloud2(height=1, width=4, point_step=12, row_step=48, fields=fields, data=bytes(48))


@pytest.mark.parametrize(
    ("message", "modality", "fault", "options"),
    [
        (image(), Modality.CAMERA, "black", {}),
        (image(), Modality.CAMERA, "truncate", {"keep": 0.5}),
        (CompressedImage(format="jpeg", data=bytes(64)), Modality.CAMERA, "truncate", {"keep": 0.5}),
        (cloud(), Modality.LIDAR, "nan", {"share": 1.0}),
        (cloud(), Modality.LIDAR, "blocked", {"from_deg": -10.0, "to_deg": 10.0}),
        (Imu(), Modality.IMU, "noise", {"sigma": 1.0}),
        (Imu(), Modality.IMU, "offset", {"offset_s": -2.5}),
    ],
)
def test_fault_makes_a_publishable_copy_when_the_message_is_rclpys(
    message: Any, modality: Modality, fault: str, options: dict[str, float]
) -> None:
    before = copy.deepcopy(message)
    event = Event(0.0, 1.0, modality.value, fault, options)
    injector = FaultInjector(Scenario("one", 0, 1.0, (event,)))
    (delivery,) = injector.apply("/topic", modality, message, at_s=0.5)
    assert delivery.message != before
    assert message == before  # not by their bytes: padding between fields is whatever memory held
    after = deserialize_message(serialize_message(delivery.message), type(message))
    assert type(after) is type(message)


def test_injector_keeps_static_transforms_for_those_who_come_late() -> None:
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    with injecting() as found:
        # Two publishers, as a robot has: each keeps its own part.
        for text in ("base_link -> mast", "mast -> lidar"):
            publisher = found.bench.create_publisher(String, "/raw/tf_static", latched)
            publisher.publish(String(data=text))
        found.until(lambda: found.bench.count_publishers("/tf_static") > 0)
        (offer,) = found.bench.get_publishers_info_by_topic("/tf_static")
        assert offer.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
        for _ in range(20):  # what the injector has still to pass
            found.spin()
        late = found.heard(String, "/tf_static", latched)
        found.until(lambda: {message.data for message in late} == {"base_link -> mast", "mast -> lidar"})


@pytest.mark.parametrize("name", ["BEST_EFFORT", "RELIABLE"])
def test_injector_offers_what_was_offered_to_it(name: str) -> None:
    with injecting() as found:
        profile = QoSProfile(depth=1, reliability=ReliabilityPolicy[name])
        found.bench.create_publisher(String, "/raw/words", profile)
        found.until(lambda: found.bench.count_publishers("/words") > 0)
        (offer,) = found.bench.get_publishers_info_by_topic("/words")
    assert offer.qos_profile.reliability.name == name
