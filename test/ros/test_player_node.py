"""The player over real DDS: what a recording holds is what subscribers get."""

from __future__ import annotations

import itertools
import subprocess
import time
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bags
import mcaps
import pytest
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros.support import WITHIN_S, Rig, node_command, rig
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu
from std_msgs.msg import Int16MultiArray, String

from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.errors import ConfigError, TopicError
from sentryfuse_core.types import Modality
from sentryfuse_ros.player_node import PlayerNode
from sentryfuse_ros.spin import Stop

S = 1_000_000_000
START_NS = 1000 * S
pytestmark = [pytest.mark.ros, pytest.mark.capability("recordings played over real DDS")]


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """0.5 s of IMU at 100 Hz whose stamps are 2 ms before the log times, headerless audio at 10 Hz."""
    path = tmp_path / "walk.mcap"
    with BagWriter(path) as writer:
        for index in range(50):
            log_ns = START_NS + index * 10_000_000
            stamp = {"sec": (log_ns - 2_000_000) // S, "nanosec": (log_ns - 2_000_000) % S}
            reading = {
                "header": {"stamp": stamp, "frame_id": "imu"},
                "linear_acceleration": {"x": float(index)},
            }
            writer.write("/imu/data", "sensor_msgs/msg/Imu", log_ns, reading)
            if index % 10 == 0:
                writer.write("/audio", "std_msgs/msg/Int16MultiArray", log_ns, {"data": [index, -index]})
    return path


def playing(stop: Stop, **parameters: Any) -> AbstractContextManager[Rig]:
    """A player with these parameters, in the namespace that is among them."""
    namespace = parameters.pop("namespace", "/")
    given = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    return rig(lambda: PlayerNode(stop), "-r", f"__ns:={namespace}", *given)


def play(
    kinds: dict[str, Any],
    *,
    enough: int | None = None,
    qos: dict[str, QoSProfile] | None = None,
    **parameters: Any,
) -> dict[str, list[tuple[int, Any]]]:
    """Run a player to its end, or until a topic has brought `enough`; messages with their arrival in ns."""
    stop = Stop()
    got: dict[str, list[tuple[int, Any]]] = {topic: [] for topic in kinds}
    with playing(stop, **{"wait_s": WITHIN_S, **parameters}) as found:
        for topic, kind in kinds.items():
            found.bench.create_subscription(
                kind,
                topic,
                lambda message, topic=topic: got[topic].append((time.time_ns(), message)),
                (qos or {}).get(topic, 100),
            )
        found.until(lambda: stop.requested or max(map(len, got.values())) >= (enough or 1_000_000))
        assert stop.error is None
        for _ in range(200):  # what is still queued here
            found.executor.spin_once(timeout_sec=0.0)
    return got


def stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * S + message.header.stamp.nanosec


def test_player_publishes_every_message_in_order_with_stamps_of_now_when_playing(bag: Path) -> None:
    began_ns = time.time_ns()
    got = play({"/imu/data": Imu, "/audio": Int16MultiArray}, bag=bag)
    assert [message.linear_acceleration.x for _, message in got["/imu/data"]] == list(range(50))
    assert [list(message.data) for _, message in got["/audio"]] == [[i, -i] for i in range(0, 50, 10)]
    stamps = [stamp_ns(message) for _, message in got["/imu/data"]]
    assert [later - earlier for earlier, later in itertools.pairwise(stamps)] == [10_000_000] * 49
    assert stamps[0] > began_ns
    # Recorded 2 ms after it.
    assert all(arrival - stamp_ns(message) >= 1_900_000 for arrival, message in got["/imu/data"])


def test_player_finds_the_recording_when_its_path_begins_with_the_home_folder(
    bag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(bag.parent))
    kinds = {"/imu/data": Imu, "/audio": Int16MultiArray}
    assert len(play(kinds, bag=f"~/{bag.name}")["/imu/data"]) == 50


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_player_moves_the_sensors_to_now_when_another_topics_stamps_are_odd(
    rate: float, tmp_path: Path
) -> None:
    start_ns = 1_700_000_000 * S
    odd = {"/without": 0, "/map_like": start_ns - 3600 * S, "/uptime": 5 * S}
    first = [
        bags.Message(topic, "sensor_msgs/msg/Imu", start_ns, bags.imu(stamp_ns, 0))
        for topic, stamp_ns in odd.items()
    ]
    drive = bags.drive([Modality.IMU], seconds=0.3, start_ns=start_ns)
    # One comes late, too: whatever its stamp is, the play goes on.
    late = [item._replace(log_time_ns=drive[-1].log_time_ns) for item in first]
    bag = bags.write(tmp_path / "odd.mcap", [*first, *drive, *late])
    began_ns = time.time_ns()
    got = play({"/imu/data": Imu, **dict.fromkeys(odd, Imu)}, bag=bag, rate=rate)
    assert len(got["/imu/data"]) == 30
    assert all(began_ns < stamp_ns(message) < arrival for arrival, message in got["/imu/data"])
    assert [stamp_ns(message) for _, message in got["/without"]] == [0, 0]
    hour_ns = stamp_ns(got["/imu/data"][0][1]) - stamp_ns(got["/map_like"][0][1])
    assert hour_ns == round(3600 * S / rate)
    assert len(got["/uptime"]) == 2


def test_player_passes_odometry_on_with_its_stamps_moved(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "drive.mcap", bags.odometry(seconds=0.4))
    began_ns = time.time_ns()
    messages = [message for _, message in play({"/odom": Odometry}, bag=bag)["/odom"]]
    assert [message.pose.pose.position.x for message in messages] == [0.04 * index for index in range(20)]
    assert {(message.header.frame_id, message.child_frame_id) for message in messages} == {
        ("odom", "base_link")
    }
    stamps = [stamp_ns(message) for message in messages]
    assert [later - earlier for earlier, later in itertools.pairwise(stamps)] == [20_000_000] * 19
    assert stamps[0] > began_ns


def test_player_leaves_stamps_alone_and_ticks_when_clock_is_asked(bag: Path) -> None:
    got = play({"/imu/data": Imu, "/clock": Clock}, bag=bag, stamps="clock", topics="[/imu/data]")
    assert [stamp_ns(message) for _, message in got["/imu/data"]][:2] == [
        START_NS - 2_000_000,
        START_NS + 8_000_000,
    ]
    ticks = [message.clock.sec * S + message.clock.nanosec for _, message in got["/clock"]]
    assert ticks == sorted(ticks)
    assert ticks[0] >= START_NS
    assert START_NS + 400_000_000 < ticks[-1] <= START_NS + 490_000_000


def test_player_renames_and_keeps_pace_when_told(bag: Path) -> None:
    got = play(
        {"/raw/body": Imu}, bag=bag, topics="[/imu/data]", remap="['/imu/data:=/body']", prefix="/raw", rate=2
    )
    stamps = [stamp_ns(message) for _, message in got["/raw/body"]]
    assert [later - earlier for earlier, later in itertools.pairwise(stamps)] == [5_000_000] * 49
    assert all(arrival > stamp_ns(message) for arrival, message in got["/raw/body"])  # none before its time


def test_player_publishes_in_its_namespace_when_it_has_one(bag: Path) -> None:
    got = play({"/bot/imu/data": Imu}, namespace="/bot", bag=bag, topics="[/imu/data]")
    assert len(got["/bot/imu/data"]) == 50


def test_player_begins_again_with_the_recorded_stamps_when_looping(bag: Path) -> None:
    got = play({"/imu/data": Imu}, enough=60, bag=bag, loop=True, stamps="bag", topics="[/imu/data]")[
        "/imu/data"
    ]
    stamps = [stamp_ns(message) for _, message in got]
    assert stamps[50:60] == stamps[:10]


def test_player_does_not_flood_when_it_loops_on_a_recording_that_lasts_no_time(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "one.mcap", bags.drive([Modality.IMU], seconds=0.01))
    got = play({"/imu/data": Imu}, enough=4, bag=bag, loop=True, rate=2)["/imu/data"]
    stamps = [stamp_ns(message) for _, message in got]
    assert min(later - earlier for earlier, later in itertools.pairwise(stamps)) >= 49_000_000


@pytest.mark.parametrize(
    ("parameters", "error", "names"),
    [
        ({}, ConfigError, "bag"),
        ({"bag": "x.mcap", "rat": 2}, ConfigError, "did you mean 'rate'"),
        ({"bag": "x.mcap", "stamps": "then"}, ConfigError, "then"),
        ({"bag": "x.mcap", "rate": "fast"}, ConfigError, "fast"),
        ({"topics": "[/radar]"}, TopicError, "/radar"),
    ],
)
def test_player_names_the_parameter_or_topic_when_wrong(
    parameters: dict[str, Any], error: type[Exception], names: str, bag: Path
) -> None:
    if "topics" in parameters:
        parameters = {"bag": bag, **parameters}
    with pytest.raises(error, match=names), playing(Stop(), **parameters):
        pass


def test_player_ends_with_one_line_and_status_2_when_the_bag_is_missing(tmp_path: Path) -> None:
    missing = tmp_path / "none.mcap"
    run = subprocess.run(
        node_command("player_node", bag=missing),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert run.returncode == 2
    errors = [line for line in run.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert str(missing) in errors[0]


@pytest.fixture
def digit(bag: Path, tmp_path: Path) -> Path:
    """The same beside a topic of ROS 1 whose name ROS 2 does not take."""
    path = tmp_path / "digit.mcap"
    with BagReader(bag) as reader, BagWriter(path) as writer:
        for item in reader.messages(raw=True):
            writer.write_cdr(item.topic, item.type_name, item.log_time_ns, item.message)
        writer.write("/camera/0/imu", "sensor_msgs/msg/Imu", reader.end_ns, {})
    return path


def test_player_leaves_a_topic_out_when_ros2_does_not_take_its_name(
    digit: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    got = play({"/imu/data": Imu, "/audio": Int16MultiArray}, bag=digit)
    assert {topic: len(messages) for topic, messages in got.items()} == {"/imu/data": 50, "/audio": 5}
    assert "left out /camera/0/imu" in (told := capfd.readouterr().err)
    assert "remap renames it" in told
    renamed = {"remap": "['/camera/0/imu:=/camera0/imu']", "topics": "[/camera/0/imu]"}
    got = play({"/camera0/imu": Imu}, bag=digit, **renamed)
    assert len(got["/camera0/imu"]) == 1


@pytest.mark.parametrize(
    ("parameters", "error", "names"),
    [
        ({"remap": "['/imu/data:=/imu/0/data']"}, ConfigError, "/imu/0/data"),
        ({"topics": "[/camera/0/imu]"}, TopicError, "remap renames it"),
        ({"prefix": "/raw-"}, TopicError, "/raw-/imu/data"),
    ],
)
def test_player_names_the_topic_when_ros2_takes_none_that_was_asked_for(
    parameters: dict[str, Any], error: type[Exception], names: str, digit: Path
) -> None:
    with pytest.raises(error, match=names), playing(Stop(), bag=digit, **parameters):
        pass


def test_player_plays_what_most_of_a_topic_is_when_it_was_recorded_under_two_types(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    drive = bags.drive([Modality.IMU, Modality.CAMERA], seconds=0.3)
    mixed = [item._replace(topic="/mixed") for item in drive]
    bag = bags.write(tmp_path / "mixed.mcap", mixed)
    got = play({"/mixed": Imu}, bag=bag)
    assert [round(message.linear_acceleration.z) for _, message in got["/mixed"]] == [10] * 30
    assert "left out /mixed of sensor_msgs/msg/CompressedImage" in capfd.readouterr().err


def test_player_plays_both_when_ros1_had_two_names_for_the_type_of_transforms(tmp_path: Path) -> None:
    if find_spec("tf2_msgs") is None:
        pytest.skip("needs tf2_ros")
    from tf2_msgs.msg import TFMessage

    old = [turret(index)._replace(type_name="tf/msg/tfMessage") for index in range(0, 5, 2)]
    bag = bags.write(
        tmp_path / "both.mcap", sorted([*old, turret(1), turret(3)], key=lambda m: m.log_time_ns)
    )
    got = play({"/tf": TFMessage}, bag=bag)["/tf"]
    assert [message.transforms[0].transform.translation.x for _, message in got] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("stamps", "told_s", "publishers"), [("clock", START_NS // S, 1), ("bag", 5, 1), ("now", None, 0)]
)
def test_player_lets_no_recorded_clock_contradict_the_stamps_it_gives(
    stamps: str, told_s: int | None, publishers: int, bag: Path, tmp_path: Path
) -> None:
    path = tmp_path / "sim.mcap"
    with BagReader(bag) as reader, BagWriter(path) as writer:
        for index, item in enumerate(reader.messages(raw=True)):
            writer.write_cdr(item.topic, item.type_name, item.log_time_ns, item.message)
            tick = {"clock": {"sec": 5, "nanosec": index}}
            writer.write("/clock", "rosgraph_msgs/msg/Clock", item.log_time_ns, tick)
    with playing(Stop(), bag=path, stamps=stamps, wait_s=WITHIN_S) as found:
        ticks, readings = found.heard(Clock, "/clock"), found.heard(Imu, "/imu/data")
        sounds = found.heard(Int16MultiArray, "/audio")
        found.until(lambda: len(readings) == 50 and len(sounds) == 5)
        assert found.bench.count_publishers("/clock") == publishers
    assert {message.clock.sec for message in ticks} == ({told_s} if told_s is not None else set())


def test_player_goes_on_to_the_recordings_own_end_when_its_topics_end_before(tmp_path: Path) -> None:
    path = tmp_path / "late.mcap"
    with BagWriter(path) as writer:
        writer.write("/imu/data", "sensor_msgs/msg/Imu", START_NS, {})
        writer.write("/other", "std_msgs/msg/Int16MultiArray", START_NS + 2 * S, {"data": [1]})
    got = play({"/imu/data": Imu}, bag=path, topics='["/imu/data"]')
    came_ns = got["/imu/data"][0][0]
    assert time.time_ns() - came_ns > 1.5 * S


def turret(index: int) -> bags.Message:
    """A transform on /tf each 100 ms, stamped 2 ms before it was recorded."""
    at_ns = START_NS + index * 100_000_000
    moved = bags.transform("turret", "base_link", (float(index), 0.0, 0.0), stamp_ns=at_ns - 2_000_000)
    return bags.transforms(moved, topic="/tf", log_time_ns=at_ns)


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """Transforms of two publishers, one told late, beside one that moves and an IMU."""
    if find_spec("tf2_msgs") is None:
        pytest.skip("needs tf2_ros")
    path = tmp_path / "mounted.mcap"
    static = [
        bags.transforms(bags.transform("mast", "base_link", (1.0, 0.0, 0.0)), log_time_ns=START_NS),
        bags.transforms(bags.transform("imu", "mast", (0.0, 2.0, 0.0)), log_time_ns=START_NS + 450_000_000),
    ]
    drive = bags.drive([Modality.IMU], seconds=0.5, start_ns=START_NS)
    moving = [turret(index) for index in range(5)]
    return bags.write(path, sorted([*static, *moving, *drive], key=lambda item: item.log_time_ns))


def test_player_publishes_static_transforms_first_and_for_those_who_come_late(mounted: Path) -> None:
    from tf2_msgs.msg import TFMessage

    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    kinds = {"/tf_static": TFMessage, "/imu/data": Imu}
    got = play(kinds, bag=mounted, qos={"/tf_static": latched}, topics="[/tf_static, /imu/data]")
    ((arrival, message),) = got["/tf_static"]
    assert {item.child_frame_id: item.header.frame_id for item in message.transforms} == {
        "mast": "base_link",
        "imu": "mast",
    }
    assert arrival < got["/imu/data"][-1][0]


def test_player_says_static_transforms_again_when_looping(mounted: Path) -> None:
    from tf2_msgs.msg import TFMessage

    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    got = play(
        {"/tf_static": TFMessage},
        bag=mounted,
        qos={"/tf_static": latched},
        topics="[/tf_static, /imu/data]",
        loop="true",
        wait_s=0.0,
        enough=2,
    )
    assert [len(message.transforms) for _, message in got["/tf_static"][:2]] == [2, 2]


def test_player_moves_the_stamps_of_transforms_with_those_of_the_sensors(mounted: Path) -> None:
    from tf2_msgs.msg import TFMessage

    got = play({"/tf": TFMessage, "/imu/data": Imu}, bag=mounted)
    assert len(got["/tf"]) == 5
    for arrival, message in got["/tf"]:
        assert abs(arrival - stamp_ns(message.transforms[0]) - 2_000_000) < 5 * S
    between = stamp_ns(got["/tf"][4][1].transforms[0]) - stamp_ns(got["/tf"][0][1].transforms[0])
    assert between == 400_000_000
    assert stamp_ns(got["/imu/data"][0][1]) - stamp_ns(got["/tf"][0][1].transforms[0]) == 2_000_000


OFFER = "- history: 1\n  depth: 1\n  reliability: {}\n  durability: {}"


@pytest.mark.parametrize(
    ("profiles", "durability", "reliability", "held"),
    [
        (OFFER.format("reliable", "transient_local"), "TRANSIENT_LOCAL", "RELIABLE", 3),
        (OFFER.format(2, 2), "VOLATILE", "BEST_EFFORT", 0),
        (OFFER.format(2, 2) + "\n" + OFFER.format(1, 1), "TRANSIENT_LOCAL", "RELIABLE", 3),
        ("", "VOLATILE", "RELIABLE", 0),
    ],
)
def test_player_offers_a_topic_as_it_was_recorded(
    profiles: str, durability: str, reliability: str, held: int, tmp_path: Path
) -> None:
    words = [
        bags.Message("/map", "std_msgs/msg/String", START_NS + index, {"data": str(index)})
        for index in range(3)
    ]
    end = bags.drive([Modality.IMU], seconds=0.02, start_ns=START_NS + 3 * S)  # until when the player stays
    metadata = {"offered_qos_profiles": profiles}
    bag = mcaps.write(tmp_path / "a.mcap", [*words, *end], metadata=metadata, chunks=0)
    with playing(Stop(), bag=bag) as found:
        found.until(lambda: found.node.published >= len(words))
        (offer,) = found.bench.get_publishers_info_by_topic("/map")
        assert offer.qos_profile.durability.name == durability
        assert offer.qos_profile.reliability.name == reliability
        if held:
            latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            late = found.heard(String, "/map", latched)
            found.until(lambda: len(late) == held)
            assert [message.data for message in late] == ["0", "1", "2"]
