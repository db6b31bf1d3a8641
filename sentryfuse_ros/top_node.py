"""Listens to one fusion node for `sentryfuse top`: finds it in the graph, follows it, shows what it says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from sentryfuse_core.account import messages
from sentryfuse_core.account.diagnostics import DIAGNOSTICS_TYPE
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_ros.arrival import told_wait
from sentryfuse_ros.messages import message_class
from sentryfuse_ros.node_state import NodeState, Snapshot
from sentryfuse_ros.qos import sensor_profile
from sentryfuse_ros.subscribe import UNKNOWN_NODE, full_name

__all__ = ["Found", "TopNode"]

_TURN_S = 0.25
_GATHER_S = 1.5  # from the last new node seen until all are thought to be
_DEFAULT = "/sentryfuse"
# The node must not resend for somebody who only watches.
_QOS = sensor_profile(reliability="best_effort", depth=10)


@dataclass(frozen=True)
class Found:
    """A fusion node in the graph, and a topic of its, which may be remapped: that of its status."""

    name: str
    topic: str


class TopNode(Node):
    """Follows the node `wanted`, or the only one there is; `turn` is called four times a second.

    `several` is called, once, with their names where nobody said which of many.
    """

    def __init__(
        self,
        wanted: str | None,
        *,
        turn: Callable[[TopNode], None],
        several: Callable[[Sequence[str]], None],
    ) -> None:
        super().__init__("sentryfuse_top")
        self._wanted = wanted
        self._turn = turn
        self._several = several
        self._since_s = time.monotonic()
        self._gathered: tuple[Found, ...] = ()  # the nodes seen while choosing
        self._changed_s = 0.0  # when they last changed
        self._state: NodeState | None = None
        self._followed: Found | None = None
        self._visible: tuple[Found, ...] = ()
        self._others: dict[str, tuple[str, Callable[[Any], None]]] = {}  # by type, as long as not seen
        # Not a ROS timer: under use_sim_time that one would wait for /clock.
        self.create_timer(_TURN_S, self._on_turn, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def snapshot(self) -> Snapshot | None:
        """What is known of the node by now; None before its first status."""
        return self._state.snapshot(time.monotonic()) if self._state else None

    @property
    def diagnosed(self) -> bool:
        """Whether the node's own figures have come too."""
        return self._state is not None and self._state.diagnosed

    @property
    def gone(self) -> bool:
        """Whether nobody publishes the status that is followed."""
        return self._followed is not None and not self.count_publishers(self._followed.topic)

    def hint(self) -> list[str]:
        """Why there may be nothing to show, and what to do about it."""
        waited = f"after {time.monotonic() - self._since_s:.0f} s"
        found = self._followed
        if found is None and self._wanted is None and len({item.name for item in self._visible}) == 1:
            found = self._visible[0]  # soon followed, unless there are more
        name = found.name if found else self._wanted or _DEFAULT
        topic = found.topic if found else f"{name}/status"
        domain = os.environ.get("ROS_DOMAIN_ID") or "0 (ROS_DOMAIN_ID is not set)"
        listening = f"listening to {topic} and /diagnostics in ROS domain {domain}"
        if found and not self.gone:
            return [
                f"{name} is there, but has sent no status yet, {waited}",
                listening,
                "no set before a camera, lidar or audio message: `sentryfuse check` finds what is wrong",
                f"with autostart: false the node waits: `ros2 lifecycle set {name} activate`",
            ]
        if any(service == f"{name}/change_state" for service, _ in self.get_service_names_and_types()):
            waits = f"`ros2 lifecycle set {name} configure`, then `activate`"
            return [
                f"{name} is there, but not configured, {waited}",
                listening,
                f"it loads its weights, or with autostart: false waits: {waits}",
            ]
        others = [item.name for item in self._visible]
        lines = [f"no fusion node {name} {waited}", listening]
        if others:
            lines.append(f"there are {', '.join(others)}: choose with --node")
        return [
            *lines,
            "start it: `ros2 run sentryfuse fusion_node`, or `fusion_node` where ROS came from pip",
            "one in another namespace: --node /robot/sentryfuse",
            "if it runs: compare ROS_DOMAIN_ID and ROS_AUTOMATIC_DISCOVERY_RANGE on both sides",
        ]

    def _on_turn(self) -> None:
        if self._state is None or self._state.since_status_s(time.monotonic()) > 1.0:
            self._visible = self._look()
        if self._followed is None:
            self._choose()
        if self._followed is not None:
            self._find_others(self._followed.name)
        self._turn(self)

    def _look(self, type_name: str = messages.STATUS_TYPE) -> tuple[Found, ...]:
        """Every publisher of this type whose name is known, by default of a FusionStatus."""
        found = set()
        for topic, types in self.get_topic_names_and_types():
            if type_name not in types:
                continue
            for info in self.get_publishers_info_by_topic(topic):
                if (name := full_name(info)) != UNKNOWN_NODE:
                    found.add(Found(name, topic))
        return tuple(sorted(found, key=lambda item: item.name))

    def _choose(self) -> None:
        found = self._visible
        if self._wanted is not None:
            found = tuple(item for item in found if item.name == self._wanted)
        if not found:
            return
        now_s = time.monotonic()
        if found != self._gathered:
            self._gathered, self._changed_s = found, now_s
        if self._wanted is None and now_s - self._changed_s < _GATHER_S:
            return
        if len({item.name for item in found}) > 1:
            self._several([item.name for item in found])
            return
        self._follow(found[0])

    def _follow(self, found: Found) -> None:
        self._followed = found
        state = self._state = NodeState(found.name, window_s=Config().output.latency_window_s)

        def take_status(item: Any, waited_ns: int) -> None:
            state.take_status(item, time.monotonic() - waited_ns / NS_PER_S)

        self._listen(messages.STATUS_TYPE, found.topic, told_wait(take_status))
        self._others = {
            messages.DETECTIONS_TYPE: (f"{found.name}/detections", state.take_detections),
            DIAGNOSTICS_TYPE: ("/diagnostics", state.take_diagnostics),
        }
        for type_name, (topic, take) in self._others.items():
            self._listen(type_name, topic, take)

    def _find_others(self, name: str) -> None:
        """Listen to the node's other topics where they are remapped; they may be seen after its status."""
        for type_name, (usual, take) in [*self._others.items()]:
            topics = [item.topic for item in self._look(type_name) if item.name == name]
            if topics:
                del self._others[type_name]
            if topics and usual not in topics:
                self._listen(type_name, topics[0], take)

    def _listen(self, type_name: str, topic: str, take: Callable[..., None]) -> None:
        self.create_subscription(message_class(type_name), topic, take, _QOS)
