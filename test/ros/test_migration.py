"""The snippets of docs/migration.md run as they stand."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image, Imu, PointCloud2

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migration.md"


@pytest.mark.ros
def test_migration_snippets_run_and_call_back_when_messages_come(
    node: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    try:
        names: dict[str, Any] = {"node": node}
        snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        assert len(snippets) == 3
        for snippet in snippets:
            exec(compile(snippet, str(PAGE), "exec"), names)  # noqa: S102 - our own page
        sends = [
            (node.create_publisher(PointCloud2, "points", 10), PointCloud2(width=7)),
            (node.create_publisher(Image, "image", 10), Image(width=5)),
            (node.create_publisher(Imu, "imu", 10), Imu()),
        ]
        heard = ""
        deadline_s = time.monotonic() + 60.0
        while time.monotonic() < deadline_s:
            now = node.get_clock().now().to_msg()
            for publisher, message in sends:
                message.header.stamp = now
                publisher.publish(message)
            executor.spin_once(timeout_sec=0.02)
            heard += capsys.readouterr().out
            if "7 5\n" in heard and re.search(r"^[1-9]\d*$", heard, re.MULTILINE):
                break
        assert "7 5\n" in heard, heard
        assert re.search(r"^[1-9]\d*$", heard, re.MULTILINE), heard
    finally:
        executor.shutdown()
