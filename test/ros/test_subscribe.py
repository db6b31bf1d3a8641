"""Which topics the node listens to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sentryfuse_core.config import Config, override
from sentryfuse_core.types import Modality
from sentryfuse_ros.subscribe import sensor_topics


@pytest.mark.parametrize("name", ["/front/cam", "/front/cam/compressed"])
def test_camera_topic_ends_in_compressed_once_when_the_transport_is_compressed(name: str) -> None:
    node: Any = SimpleNamespace(resolve_topic_name=lambda topic: f"/{topic.lstrip('/')}")
    config = override(Config(), {"camera.transport": "compressed", "camera.topic": name})
    assert sensor_topics(node, config)[Modality.CAMERA] == "/front/cam/compressed"
    raw = override(Config(), {"camera.topic": name})
    assert sensor_topics(node, raw)[Modality.CAMERA] == name
