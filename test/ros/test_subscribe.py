"""Which topics the node listens to, and that it can let go of them."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from ros.support import WITHIN_S, happens, participant, patiently, rig, until
from sensor_msgs.msg import CameraInfo, Image, Imu
from sentryfuse.msg import AudioChunk, Budget
from std_msgs.msg import Int16MultiArray, String

from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import TopicError
from sentryfuse_core.types import Modality
from sentryfuse_ros import qos, subscribe
from sentryfuse_ros.messages import message_class
from sentryfuse_ros.problems import unknown_type
from sentryfuse_ros.subscribe import Inputs, sensor_topics

UNHEARD = ("on_sensor", "on_camera_info", "on_audio_info", "on_battery", "on_budget", "on_odometry")

PATIENCE_S = (15.0, 30.0, 60.0, 120.0)  # of two participants in this process: see `happens`
SUBSCRIPTIONS = 2_000
# In a process of its own, which what goes wrong would end. Publishers come and go meanwhile, some with a QoS
# and a type that the subscriptions do not match, which is what the middleware makes events of.
SUBSCRIBE_ANEW = """
import sys, threading
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu, PointCloud2
from std_msgs.msg import String
from sentryfuse_core.config import Config, override
from sentryfuse_ros.spin import make_executor
from sentryfuse_ros.subscribe import Inputs

class Handler:
    def __getattr__(self, name):
        return lambda *_: None

done = threading.Event()
strangers = rclpy.Context()
rclpy.init(context=strangers)
stranger = rclpy.create_node("stranger", context=strangers)

def come_and_go():
    while not done.is_set():
        made = []
        for kind, topic in ((Imu, "imu/data"), (PointCloud2, "lidar/points"), (String, "camera/image")):
            for reliability in (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE):
                qos = QoSProfile(depth=1, reliability=reliability)
                made.append(stranger.create_publisher(kind, topic, qos))
                made[-1].publish(kind())
        for publisher in made:
            stranger.destroy_publisher(publisher)

thread = threading.Thread(target=come_and_go)
thread.start()
rclpy.init()
node = rclpy.create_node("listener")
executor = make_executor()
executor.add_node(node)
reliable = {f"{name}.reliability": "reliable" for name in ("camera", "lidar", "imu")}
config, made = override(Config(), reliable), 0
while made < int(sys.argv[1]):
    before = len(list(node.subscriptions))
    inputs = Inputs(node, config, Handler())
    made += len(list(node.subscriptions)) - before
    executor.spin_once(timeout_sec=0.002)
    inputs.poll()
    inputs.close()
    executor.spin_once(timeout_sec=0.0)
done.set()
thread.join()
executor.shutdown()
print("subscribed", made)
"""


@pytest.mark.ros
def test_process_goes_on_when_it_subscribes_anew_again_and_again() -> None:
    command = [sys.executable, "-c", SUBSCRIBE_ANEW, str(SUBSCRIPTIONS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("subscribed 2")


@pytest.mark.parametrize(
    ("topic", "modality"), [("camera/image", Modality.CAMERA), ("imu/data", Modality.IMU)]
)
def test_type_that_the_table_of_readers_names_is_subscribed_when_it_is_offered(
    node: Node, topic: str, modality: Modality, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def on_sensor(*given: Any) -> None:
        heard.append(given[2])

    silent: dict[str, Any] = dict.fromkeys(UNHEARD, lambda *_: None)
    handler: Any = SimpleNamespace(**{**silent, "on_sensor": on_sensor})
    inputs = Inputs(node, Config(), handler)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def code() -> str:
        inputs.poll()
        return inputs.problems[modality].code if modality in inputs.problems else ""

    def comes(within_s: float) -> bool:
        with participant("driver") as driver:  # a participant has one type on a topic
            publisher = driver.create_publisher(String, topic, 1)

            def turn() -> None:
                publisher.publish(String(data="pixels"))
                inputs.poll()
                executor.spin_once(timeout_sec=0.02)

            return happens(lambda: bool(heard), within_s, turn=turn)

    with participant("other") as other:
        other.create_publisher(String, topic, 1)
        until(lambda: code() == "unknown_type")
        known = {**subscribe.SUPPORTED_TYPES, "std_msgs/msg/String": modality}
        monkeypatch.setattr(subscribe, "SUPPORTED_TYPES", known)
        assert code() == ""
        patiently(comes, PATIENCE_S)
    assert set(heard) == {"std_msgs/msg/String"}
    executor.shutdown()


def test_other_type_is_heard_when_the_driver_is_started_anew_with_it() -> None:
    heard: list[str] = []
    handler: Any = Mock(on_sensor=lambda _name, _message, type_name, _waited_ns: heard.append(type_name))
    with rig(lambda: Node("listener")) as found:
        inputs = Inputs(found.node, Config(), handler)
        for kind in (AudioChunk, Int16MultiArray, AudioChunk):
            before = len(heard)

            def comes(within_s: float, kind: Any = kind, before: int = before) -> bool:
                """Behind what the last driver left in the queue."""
                with participant("driver") as driver:  # a participant has one type on a topic
                    publisher = driver.create_publisher(kind, "/audio", 1)

                    def turn() -> None:
                        publisher.publish(kind())
                        inputs.poll()
                        found.spin()

                    def came() -> bool:
                        return any(name.endswith(f"/{kind.__name__}") for name in heard[before:])

                    return happens(came, within_s, turn=turn)

            patiently(comes, PATIENCE_S)
        inputs.close()


@pytest.mark.parametrize("name", ["/front/cam", "/front/cam/compressed"])
def test_camera_topic_ends_in_compressed_once_when_the_transport_is_compressed(name: str) -> None:
    node: Any = SimpleNamespace(resolve_topic_name=lambda topic: f"/{topic.lstrip('/')}")
    config = override(Config(), {"camera.transport": "compressed", "camera.topic": name})
    assert sensor_topics(node, config)[Modality.CAMERA] == "/front/cam/compressed"
    raw = override(Config(), {"camera.topic": name})
    assert sensor_topics(node, raw)[Modality.CAMERA] == name


def remapped(*rules: str) -> list[str]:
    return [item for rule in rules for item in ("-r", rule)]


def test_cameras_trade_places_when_each_is_remapped_to_the_others_topics() -> None:
    cameras = {"sensors": ["left", "right"], "left.kind": "camera", "right.kind": "camera"}
    config = override(Config(), cameras)
    swapped = remapped(
        *(
            f"{one}/{topic}:={other}/{topic}"
            for one, other in (("left", "right"), ("right", "left"))
            for topic in ("image", "camera_info")
        )
    )
    heard: set[tuple[str, str]] = set()
    callbacks: dict[str, Any] = dict.fromkeys(UNHEARD, print)
    callbacks["on_sensor"] = lambda name, message, *_: heard.add((name, message.header.frame_id))
    callbacks["on_camera_info"] = lambda message, name: heard.add((name, message.header.frame_id))
    with rig(lambda: Node("listener"), *swapped) as found:
        handler: Any = SimpleNamespace(**callbacks)
        inputs = Inputs(found.node, config, handler)
        image = found.bench.create_publisher(Image, "/right/image", qos.RESULTS)
        info = found.bench.create_publisher(CameraInfo, "/right/camera_info", qos.LATCHED)

        def turn() -> None:
            for publisher in (image, info):
                message = publisher.msg_type()
                message.header.frame_id = publisher.topic_name
                publisher.publish(message)
            found.spin()
            inputs.poll()

        until(lambda: len(heard) == 2 and inputs.publishers["left"] == ("/bench",), turn=turn)
        assert heard == {("left", "/right/image"), ("left", "/right/camera_info")}
        assert inputs.problems["right"].code == "no_publisher"
        assert "/left/image" in inputs.problems["right"].reason
        inputs.close()


def test_topics_are_remapped_once_when_another_rule_would_take_them_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    once = {"battery": "/cells", "odometry": "/odom", "imu/data": "/body", "~/budget": "/power"}
    rules = [
        f"{name}:={other}" for name, other in [*once.items(), *((name, "/far") for name in once.values())]
    ]
    lines: list[str] = []
    with rig(lambda: Node("listener"), *remapped(*rules)) as found:
        logger = type(found.node.get_logger())
        monkeypatch.setattr(logger, "warning", lambda _, text, **__: lines.append(text) or True)
        handler: Any = SimpleNamespace(**dict.fromkeys(UNHEARD, print))
        inputs = Inputs(found.node, override(Config(), {"imu.reliability": "reliable"}), handler)
        topics = {subscription.topic_name for subscription in found.node.subscriptions}
        assert topics > set(once.values())
        assert "/far" not in topics
        best_effort = qos.sensor_profile(reliability="best_effort", depth=1)
        for kind, topic in ((Imu, "/body"), (Budget, "/power")):  # which their subscriptions hear nothing of
            found.bench.create_publisher(kind, topic, best_effort)

        def turn() -> None:
            found.spin()
            inputs.poll()

        until(
            lambda: "imu" in inputs.problems and inputs.problems["imu"].code == "incompatible_qos", turn=turn
        )
        until(lambda: any("a publisher on /power" in line for line in lines), turn=turn)
        inputs.close()


@pytest.mark.parametrize(
    "option", ["camera.topic", "camera.info_topic", "audio.info_topic", "odometry.topic"]
)
def test_nothing_is_subscribed_when_a_topic_is_no_name(node: Node, option: str) -> None:
    handler: Any = SimpleNamespace(**dict.fromkeys(UNHEARD, print))
    before = list(node.subscriptions)
    with pytest.raises(TopicError, match=option):
        Inputs(node, override(Config(), {option: "bad name"}), handler)
    assert list(node.subscriptions) == before


def test_nothing_stays_subscribed_when_an_input_cannot_be_opened(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(type_name: str) -> Any:
        if type_name.endswith("Budget"):
            raise ImportError("No module named 'sentryfuse.msg'")
        return message_class(type_name)

    monkeypatch.setattr(subscribe, "message_class", without)
    before = list(node.subscriptions)
    handler: Any = SimpleNamespace(**dict.fromkeys(UNHEARD, print))
    with pytest.raises(ImportError):
        Inputs(node, Config(), handler)
    assert list(node.subscriptions) == before


@pytest.mark.parametrize(
    ("topic", "offered", "told"),
    [
        ("/livox/lidar", "livox_ros_driver2/msg/CustomMsg", "xfer_format"),
        ("/odom", "nav_msgs/msg/Odometry", "remap"),
        ("/points", "sensor_msgs/msg/Image", "remap"),  # of the camera, whose transport is no matter here
    ],
)
def test_type_of_another_kind_is_told_with_its_remedy(topic: str, offered: str, told: str) -> None:
    assert told in unknown_type("lidar", Modality.LIDAR, topic, {offered}, wanted="PointCloud2").remedy


@pytest.mark.parametrize(
    "profile",
    [qos.LATCHED, qos.latched(reliability="best_effort", depth=1), qos.RESULTS],
    ids=["latched", "latched best effort", "volatile"],
)
@pytest.mark.parametrize("info", ["camera", "audio"])
def test_info_is_heard_when_its_publisher_latches_it_or_not(
    node: Node, info: str, profile: QoSProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    # AudioInfo's own package is not installed.
    monkeypatch.setattr(subscribe, "AUDIO_INFO_TYPE", "std_msgs/msg/String")
    kind, topic = {"camera": (CameraInfo, "/camera/camera_info"), "audio": (String, "/audio_info")}[info]
    publisher = node.create_publisher(kind, topic, profile)
    publisher.publish(kind())  # before anybody listened
    heard: list[str] = []
    callbacks = dict.fromkeys(UNHEARD, print) | {f"on_{info}_info": lambda _message, name: heard.append(name)}
    handler: Any = SimpleNamespace(**callbacks)
    inputs = Inputs(node, Config(), handler)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def turn() -> None:
        inputs.poll()
        if profile is not qos.LATCHED:
            publisher.publish(kind())
        executor.spin_once(timeout_sec=0.1)

    until(lambda: bool(heard), turn=turn)
    inputs.close()
    assert set(heard) == {info}  # the sensor that it is of


def test_publishers_are_named_when_both_send_and_not_when_one_took_the_others_place(node: Node) -> None:
    handler: Any = SimpleNamespace(**dict.fromkeys(UNHEARD, lambda *_: None))
    inputs = Inputs(node, Config(), handler)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def spin() -> None:
        executor.spin_once(timeout_sec=0.1)

    before, after = (node.create_publisher(Imu, "/imu/data", qos.RESULTS) for _ in range(2))

    def send(publisher: Any, count: int = 5) -> None:
        until(lambda: publisher.get_subscription_count() > 0, turn=spin)
        for _ in range(count):
            publisher.publish(Imu())
            spin()

    until(lambda: node.count_publishers("/imu/data") == 2, turn=spin)
    inputs.poll()
    assert inputs.publishers[Modality.IMU] == ()  # neither has sent, and one may have died before
    for publisher in (before, after):  # the first one is still listed, as after a crash
        send(publisher)
        inputs.poll()
        assert inputs.publishers[Modality.IMU] == ()

    def both() -> None:
        send(before, 1)
        send(after, 1)
        inputs.poll()

    until(lambda: len(inputs.publishers[Modality.IMU]) == 2, turn=both)
    assert set(inputs.publishers[Modality.IMU]) == {node.get_fully_qualified_name()}
    inputs.close()


def test_odometry_is_heard_when_somebody_publishes_it(node: Node) -> None:
    publisher = node.create_publisher(Odometry, "/odometry", qos.RESULTS)
    heard: list[Odometry] = []
    quiet = dict.fromkeys(UNHEARD, print)
    handler: Any = SimpleNamespace(**{**quiet, "on_odometry": heard.append})
    inputs = Inputs(node, Config(), handler)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def turn() -> None:
        publisher.publish(Odometry(child_frame_id="base_link"))
        executor.spin_once(timeout_sec=0.1)

    until(lambda: bool(heard), turn=turn)
    inputs.close()
    assert heard[0].child_frame_id == "base_link"
    off = Inputs(node, override(Config(), {"odometry.enabled": False}), handler)
    assert "/odometry" not in [subscription.topic_name for subscription in node.subscriptions]
    off.close()


def test_one_line_says_what_is_missing_when_odometry_is_published_without_its_package(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(type_name: str) -> Any:
        if type_name.startswith("nav_msgs"):
            raise ImportError("No module named 'nav_msgs'")
        return message_class(type_name)

    lines: list[str] = []
    monkeypatch.setattr(subscribe, "message_class", without)
    monkeypatch.setattr(type(node.get_logger()), "warning", lambda _, text, **__: lines.append(text) or True)
    handler: Any = SimpleNamespace(**dict.fromkeys(UNHEARD, print))
    inputs = Inputs(node, Config(), handler)
    inputs.poll()
    assert lines == [], "nobody misses what nobody publishes"
    publisher = node.create_publisher(Odometry, "/odometry", qos.RESULTS)
    until(lambda: bool(lines), turn=inputs.poll)
    inputs.poll()
    inputs.close()
    node.destroy_publisher(publisher)
    assert lines == ["odometry on /odometry is not read: the input needs nav_msgs, which is not installed"]
