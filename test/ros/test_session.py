"""One activation without DDS: what is said of a set that the pipeline fails on."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from rclpy.logging import get_logger
from sensor_msgs.msg import Imu
from std_msgs.msg import Header

from sentryfuse_core.clock import NS_PER_S, SteadyClock
from sentryfuse_core.config import Config
from sentryfuse_core.errors import BackendError
from sentryfuse_core.replay.messages import PublishContext, fusion_status
from sentryfuse_core.types import FusionResult, Modality, SyncedSet
from sentryfuse_ros.session import Engine, Host, Session

pytestmark = pytest.mark.ros

WITHIN_S = 20.0


class FakeOutputs:
    """Keeps what would be published."""

    def __init__(self) -> None:
        self.published = 0
        self.statuses: list[dict[str, Any]] = []
        self.diagnostics: list[dict[str, Any]] = []
        self.told = threading.Event()

    def publish(self, *_: Any, **__: Any) -> None:
        self.published += 1

    def publish_status(self, result: FusionResult, context: PublishContext) -> None:
        self.statuses.append(fusion_status(result, context))
        self.told.set()

    def publish_diagnostics(self, fields: dict[str, Any]) -> None:
        self.diagnostics.append(fields)


def imu(index: int) -> Imu:
    stamp_ns = time.time_ns()
    message = Imu(header=Header(stamp=Time(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)))
    message.linear_acceleration.z = 9.8 + 1e-3 * index
    return message


def test_status_and_diagnostics_are_errors_when_the_pipeline_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, config = FakeOutputs(), Config()
    session = Session(
        config=config,
        engine=Engine.load(config),
        outputs=outputs,  # type: ignore[arg-type]
        host=Host(
            clock=SteadyClock(),
            simulated=False,
            ros_now_ns=time.time_ns,
            paused_s=lambda: 0.0,
            problems=dict,
            catch_up=lambda: None,
            logger=get_logger("session"),
        ),
        topics={},
        frames=None,
        notes=(),
    )

    def step(_synced: SyncedSet) -> FusionResult:
        raise BackendError("inference on cpu failed:\nout of memory")

    monkeypatch.setattr(session.pipeline, "step", step)
    session.start()
    try:
        deadline_s = time.monotonic() + WITHIN_S
        index = 0
        while not outputs.told.wait(0.005) and time.monotonic() < deadline_s:
            session.on_sensor(Modality.IMU, imu(index), "sensor_msgs/msg/Imu", 0)
            index += 1
    finally:
        session.close()
    session.publish_diagnostics()
    status = outputs.statuses[0]
    assert outputs.published == 0
    assert status["severity"] == 2
    assert status["mask"] == 0
    assert "inference on cpu failed: out of memory" in status["notes"][0]
    assert math.isnan(status["infer_ms"])
    inference = next(
        item for item in outputs.diagnostics[-1]["status"] if item["name"] == "sentryfuse: inference"
    )
    assert inference["level"] == 2
    assert "out of memory" in inference["message"]
    sync = next(item for item in outputs.diagnostics[-1]["status"] if item["name"] == "sentryfuse: sync")
    assert any(value["key"] == "dropped_BackendError" for value in sync["values"])
