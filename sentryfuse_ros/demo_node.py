"""The demo's stage manager: starts the nodes, waits for them, plays, records and shows what happens."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node

from sentryfuse_core.account import messages
from sentryfuse_core.account.diagnostics import DIAGNOSTICS_TYPE, NODE_NAME
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.config.sectors import sector_yaws_deg
from sentryfuse_core.errors import SentryFuseError
from sentryfuse_core.faults.scenario import Scenario
from sentryfuse_core.replay.truth import Truth
from sentryfuse_core.surroundings import stretches
from sentryfuse_core.types import Modality
from sentryfuse_ros.demo_view import Scene
from sentryfuse_ros.fault_injector_node import SCENARIO_STATUS
from sentryfuse_ros.node_state import NodeState
from sentryfuse_ros.player_node import PLAYBACK_STATUS
from sentryfuse_ros.problems import COMPRESSED
from sentryfuse_ros.processes import Children
from sentryfuse_ros.recorder import record
from sentryfuse_ros.spin import Stop

__all__ = ["DemoNode", "DemoPlan", "RunTimes"]

_PERIOD_S = 0.2  # of the view, and of looking after the processes
_START_PATIENCE_S = 120.0  # loading and warming up on a slow machine
_DRAIN_S = 0.3  # after the story: sets still on their way


@dataclass(frozen=True)
class DemoPlan:
    """What is played, and where the results go."""

    scenario: Scenario
    scenario_file: Path
    bag: Path
    truth: Truth
    out: Path
    fusion: dict[str, Any]  # parameters of the fusion node
    config: Config  # its sensors
    rig: Path | None = None  # the parameter file that says so; None: those of the defaults


@dataclass
class RunTimes:
    """What the nodes said about time, in ns of ROS time."""

    start_ns: int = 0  # the scenario's
    stamp_shift_ns: int = 0  # added to the recording's stamps
    finished: bool = False  # played to the end


class DemoNode(Node):
    """Runs `plan` and asks for the end; `show` gets the scene five times a second."""

    def __init__(self, plan: DemoPlan, stop: Stop, times: RunTimes, show: Callable[[Scene], None]) -> None:
        # Before anything that can fail, as destroy_node uses them.
        self._children = Children(plan.out / "logs")
        self._writer = BagWriter(plan.out / "results.mcap")
        super().__init__("sentryfuse_demo")
        self._plan = plan
        self._stop_request = stop
        self._times = times
        self._show = show
        self._state = NodeState(NODE_NAME, window_s=Config().output.latency_window_s)
        around = sector_yaws_deg(plan.config.output.sectors) != (0.0,)
        self._scene = Scene(seconds=plan.scenario.seconds, story="starting", around=around)
        record(self, self._writer.open(), heard=self._hear)
        self._script = self._play()
        self.create_timer(_PERIOD_S, self._turn)

    def destroy_node(self) -> None:
        """End the processes and close the recording."""
        self._children.stop()
        super().destroy_node()
        self._writer.close()

    def _turn(self) -> None:
        """One step of the script, and a fresh view."""
        try:
            self._children.check()
            stage = next(self._script, None)
            if stage is None:
                self._times.finished = True
                self._stop_request.request()
            elif not self._times.start_ns:
                self._scene.story = stage
        except SentryFuseError as error:
            self._stop_request.request(error)
        self._follow_story()
        self._show(self._scene)

    def _play(self) -> Iterator[str]:
        """The script; each `yield` is a wait until the next turn."""
        plan = self._plan
        self._children.start("fusion_node", plan.fusion, file=plan.rig)
        named = {} if plan.rig is None else {"sensors_from": plan.rig}
        self._children.start("fault_injector_node", {"scenario": plan.scenario_file, **named})
        patience, topics = itertools.count(), [_topic(plan.config, name) for name, _ in plan.config.kinds]
        while not any(map(self.count_subscribers, topics)):  # it subscribes once it is warm
            if next(patience) * _PERIOD_S > _START_PATIENCE_S:
                raise SentryFuseError(f"the fusion node did not start; see {self._plan.out / 'logs'}")
            yield "the network warms up"
        self._children.start("player_node", {"bag": self._plan.bag, "prefix": "/raw", "wait_s": 10.0})
        while self._scene.at_s < self._plan.scenario.seconds + _DRAIN_S:
            if self._children.ended("player_node"):
                raise SentryFuseError(f"{self._plan.bag} ended before the story; record a longer one")
            yield "the player starts"

    def _hear(self, type_name: str, message: Any) -> None:
        if type_name == messages.STATUS_TYPE:
            self._state.take_status(message, time.monotonic())
        elif type_name == messages.DETECTIONS_TYPE:
            self._state.take_detections(message)
        elif type_name == messages.COVERAGE_TYPE:
            self._scene.watched = stretches(np.asarray(message.sensors, np.uint8))
        elif type_name == DIAGNOSTICS_TYPE:
            for status in message.status:
                self._hear_diagnostic(status, {item.key: item.value for item in status.values})

    def _hear_diagnostic(self, status: Any, values: dict[str, str]) -> None:
        if status.name == SCENARIO_STATUS:
            self._times.start_ns = int(values["start_ns"])
            self._scene.faults = status.message if int.from_bytes(status.level, "little") else ""
        elif status.name == PLAYBACK_STATUS:
            self._times.stamp_shift_ns = int(values["published_origin_ns"]) - int(
                values["recorded_origin_ns"]
            )

    def _follow_story(self) -> None:
        """Put time, stretch, ground truth and what the node says into the view."""
        scene, shift_ns = self._scene, self._times.stamp_shift_ns
        scene.node = self._state.snapshot(time.monotonic())
        if not self._times.start_ns:
            return
        scene.at_s = (self.get_clock().now().nanoseconds - self._times.start_ns) / NS_PER_S
        parts = self._plan.scenario.stretches
        scene.story = next((s.name for s in parts if s.at_s <= scene.at_s < s.until_s), "the end")
        if shift_ns and scene.node is not None:
            stamp = scene.node.status.header.stamp
            scene.truth = self._plan.truth.at(stamp.sec * NS_PER_S + stamp.nanosec - shift_ns)


def _topic(config: Config, name: str) -> str:
    """Where a sensor's messages come; the world's pictures are compressed."""
    topic = f"/{config.sensor(name).topic.strip('/')}"
    return (
        topic if config.kind_of(name) is not Modality.CAMERA else topic.removesuffix(COMPRESSED) + COMPRESSED
    )
