"""A node's two clocks: a steady one for arrivals, and ROS time, which stamps are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node

from sentryfuse_core.clock import Clock, SteadyClock
from sentryfuse_ros.pause import SimulatedClock

__all__ = ["Clocks", "clocks_of"]


@dataclass(frozen=True)
class Clocks:
    """Both follow /clock where time is `simulated`."""

    steady: Clock
    ros_now_ns: Callable[[], int]
    simulated: bool = False
    paused_s: Callable[[], float] = lambda: 0.0  # how long simulated time has been standing still

    @property
    def missing(self) -> str:
        """What to say while simulated time is followed and none has come yet; else nothing."""
        if not self.simulated or self.ros_now_ns() > 0:
            return ""
        return (
            "use_sim_time is set, but no time comes on /clock: no sensor is found silent or late; "
            "start the simulation or the player, or leave use_sim_time off"
        )

    def came(self, waited_ns: int) -> tuple[int, int]:
        """Steady and ROS time at which a message came that has waited for the executor."""
        if self.simulated:
            waited_ns = 0  # /clock waited in the same queue: on that time the message comes now
        return self.steady.now_ns() - waited_ns, max(0, self.ros_now_ns() - waited_ns)


def clocks_of(node: Node) -> Clocks:
    """As the node's `use_sim_time` has it."""

    def ros_now_ns() -> int:
        return node.get_clock().now().nanoseconds

    if not node.get_parameter("use_sim_time").value:
        return Clocks(SteadyClock(), ros_now_ns)
    paced = SimulatedClock(ros_now_ns)
    return Clocks(paced, paced.ros_now_ns, simulated=True, paused_s=lambda: paced.paused_s)
