"""The node beside vision_msgs: who listens late still learns what the classes of its detections mean."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros.support import WITHIN_S, Listener, running

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]


def test_classes_are_told_to_who_listens_late(listener: Listener) -> None:
    vision_msgs = pytest.importorskip("vision_msgs.msg", reason="needs vision_msgs")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    came: dict[str, Any] = {}
    both = threading.Event()

    def keep(name: str, message: Any) -> None:
        came[name] = message
        if len(came) == 2:
            both.set()

    with running(listener, autostart=False):
        assert listener.change_state(Transition.TRANSITION_CONFIGURE)
        assert listener.state() == "inactive"
        for name, kind in (("vision_info", "VisionInfo"), ("label_info", "LabelInfo")):
            listener.node.create_subscription(
                getattr(vision_msgs, kind),
                f"/sentryfuse/{name}",
                lambda message, name=name: keep(name, message),
                latched,
            )
        assert both.wait(WITHIN_S)
    assert "world" in came["vision_info"].method
    assert came["vision_info"].database_location == "/sentryfuse/label_info"
    names = {item.class_id: item.class_name for item in came["label_info"].class_map}
    assert names[0] == "car"
    assert 0.0 < came["label_info"].threshold < 1.0  # the checkpoint's own, as the option is 0
    assert came["label_info"].header.frame_id == "base_link"
