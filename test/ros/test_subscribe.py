"""Which topics the node listens to, and that it can let go of them."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from ros.support import until
from std_msgs.msg import String

from sentryfuse_core.config import Config, override
from sentryfuse_core.types import Modality
from sentryfuse_ros import qos, subscribe
from sentryfuse_ros.problems import unknown_type
from sentryfuse_ros.subscribe import Inputs, sensor_topics

UNHEARD = ("on_sensor", "on_camera_info", "on_battery", "on_budget")

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
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("subscribed 2")


@pytest.mark.parametrize("name", ["/front/cam", "/front/cam/compressed"])
def test_camera_topic_ends_in_compressed_once_when_the_transport_is_compressed(name: str) -> None:
    node: Any = SimpleNamespace(resolve_topic_name=lambda topic: f"/{topic.lstrip('/')}")
    config = override(Config(), {"camera.transport": "compressed", "camera.topic": name})
    assert sensor_topics(node, config)[Modality.CAMERA] == "/front/cam/compressed"
    raw = override(Config(), {"camera.topic": name})
    assert sensor_topics(node, raw)[Modality.CAMERA] == name


@pytest.mark.parametrize(
    ("topic", "offered", "told"),
    [
        ("/livox/lidar", "livox_ros_driver2/msg/CustomMsg", "xfer_format"),
        ("/odom", "nav_msgs/msg/Odometry", "remap"),
        ("/points", "sensor_msgs/msg/Image", "remap"),  # of the camera, whose transport is no matter here
    ],
)
def test_type_of_another_kind_is_told_with_its_remedy(topic: str, offered: str, told: str) -> None:
    assert told in unknown_type(Modality.LIDAR, topic, {offered}, wanted="PointCloud2").remedy


@pytest.mark.parametrize("latched", [True, False])
def test_audio_info_is_heard_when_its_publisher_latches_it_or_not(
    node: Node, latched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        subscribe, "AUDIO_INFO_TYPE", "std_msgs/msg/String"
    )  # its own package is not installed
    profile = qos.LATCHED if latched else qos.RESULTS
    publisher = node.create_publisher(String, "/audio_info", profile)
    publisher.publish(String(data="before anybody listened"))
    heard: list[String] = []
    handler: Any = SimpleNamespace(on_audio_info=heard.append, **dict.fromkeys(UNHEARD, print))
    inputs = Inputs(node, Config(), handler)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def turn() -> None:
        inputs.poll()
        if not latched:
            publisher.publish(String(data="again"))
        executor.spin_once(timeout_sec=0.1)

    until(lambda: bool(heard), turn=turn)
    inputs.close()
