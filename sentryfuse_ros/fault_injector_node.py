"""Stands between drivers and the fusion node and plays a fault scenario on whatever passes through.

Every topic under a prefix is republished without it, whatever its type and whenever it appears.
Messages pass as bytes; only a fault that changes their content has them decoded.
"""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING, Any, NoReturn

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from sentryfuse_core.account.diagnostics import OK, WARN
from sentryfuse_core.bags.offers import Offer, agreed
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config, load_yaml, override
from sentryfuse_core.convert import type_modality
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.faults.injector import Delivery, FaultInjector
from sentryfuse_core.faults.scenario import Action, Event, Scenario, load_scenario
from sentryfuse_core.faults.scenario_files import find_scenario
from sentryfuse_core.home import out_of_home
from sentryfuse_ros.arrival import told_wait
from sentryfuse_ros.declare import declare
from sentryfuse_ros.messages import message_class
from sentryfuse_ros.problems import COMPRESSED
from sentryfuse_ros.qos import QUIET_SUBSCRIPTION, latched, mismatch, sensor_profile
from sentryfuse_ros.relay import DEPTH, in_namespace, passed_on, refusal_of, reporter
from sentryfuse_ros.spin import Stop, run_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rclpy.publisher import Publisher
    from rclpy.qos import QoSProfile
    from rclpy.subscription import Subscription

    from sentryfuse_core.types import Modality

__all__ = ["SCENARIO_STATUS", "FaultInjectorNode", "main"]

SCENARIO_STATUS = "fault_injector: scenario"  # without a namespace
_PARAMETERS: Mapping[str, tuple[Any, str]] = {
    "scenario": ("", "YAML file of the faults, or a shipped scenario's name; empty: everything passes"),
    "prefix": (
        "/raw",
        "topics under this are taken, and republished without it; without a slash: in the node's namespace",
    ),
    "sensors_from": (
        "",
        "the fusion node's parameter file: a scenario then knows the sensors by the names and topics in it",
    ),
    "sensors_of": ("", "the fusion node's full name, where sensors_from has several nodes' parameters"),
    "sensors": (
        [""],
        "as the fusion node's, with <name>.kind and <name>.topic; go before those of sensors_from",
    ),
    "budget_topic": ("sentryfuse/budget", "where the scenario's budgets go"),
}
_SCAN_PERIOD_S = 0.2
_SCHEDULE_PERIOD_S = 0.05
_QUEUED_S = 1.0  # a message may wait so long to be looked at
_REPORT_PERIOD_S = 1.0
_DELAY_PERIOD_S = 0.005


class FaultInjectorNode(Node):
    """The scenario's clock starts with the first message of a sensor and is steady."""

    def __init__(self, _: Stop) -> None:
        super().__init__("fault_injector")
        values = declare(self, _PARAMETERS)
        if not values["prefix"].strip("/"):
            raise ConfigError(
                f"parameter prefix = {values['prefix']!r} takes every topic, its own too; give one, as /raw"
            )
        if refusal := refusal_of(self, values["prefix"].rstrip("/")):
            raise ConfigError(f"parameter prefix = {values['prefix']!r} is no name of ROS 2: {refusal}")
        self._prefix = self.resolve_topic_name(values["prefix"].rstrip("/"), only_expand=True)
        path = values["scenario"]
        named, warn = values["sensors_from"], self.get_logger().warning
        told = load_yaml(out_of_home(named), node=values["sensors_of"], tell=warn) if named else Config()
        self._config = self._renamed(told, [name for name in values["sensors"] if name])
        kinds = self._config.kinds
        none = Scenario("none", 0, float("inf"))
        self._scenario = load_scenario(find_scenario(path), kinds=kinds) if path else none
        self._injector = FaultInjector(self._scenario, kinds)
        self._inputs: dict[str, Subscription[Any]] = {}
        self._outputs: dict[str, Publisher[Any]] = {}
        self._unknown: set[str] = set()
        self._delayed: list[tuple[float, int, Publisher[Any], Any]] = []
        self._order = itertools.count()
        self._started: float | None = None
        self._start_ns = 0
        self._done: set[Action] = set()
        self._warned: set[Event] = set()  # of faults that are over and altered no message
        self._shown: tuple[Event, ...] = ()
        self._next_report = 0.0
        self.errors = 0  # messages that a fault could not be applied to, passed on as they were
        self._say = reporter(self, "scenario", self._scenario.name)
        self._budget: Publisher[Any] | None = None
        if self._scenario.actions:
            kind = message_class("sentryfuse/msg/Budget")
            self._budget = self.create_publisher(kind, values["budget_topic"], 10)
        self.get_logger().info(
            f"scenario {self._scenario.name}: waiting for topics under {self._prefix}/; the first message of "
            "a sensor starts it"
        )
        # Not ROS timers: under use_sim_time those wait for /clock, which may have to pass through here.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._delay_timer = self.create_timer(
            _DELAY_PERIOD_S, self._send_delayed, clock=steady, autostart=False
        )
        self.create_timer(_SCAN_PERIOD_S, self._scan, clock=steady)
        self.create_timer(_SCHEDULE_PERIOD_S, self._follow_schedule, clock=steady)
        self._scan()

    def _renamed(self, config: Config, names: list[str]) -> Config:
        """The configuration with the sensors' names, kinds and topics that this node's parameters give."""
        given: dict[str, Any] = {"sensors": names} if names else {}
        options = [f"{name}.{option}" for name in names or config.sensors for option in ("kind", "topic")]
        own = declare(self, dict.fromkeys(options, ("", "as the fusion node's")))
        return override(config, given | {path: value for path, value in own.items() if value})

    def _scan(self) -> None:
        """Take on topics that appeared under the prefix."""
        for topic, types in self.get_topic_names_and_types():
            if not topic.startswith(f"{self._prefix}/") or topic in self._unknown:
                continue
            if topic in self._inputs:
                self._follow(topic)
            elif self.count_publishers(topic):  # their QoS is taken over
                self._take_on(topic, types[0])

    def _take_on(self, topic: str, type_name: str) -> None:
        try:
            kind = message_class(type_name)
        except ImportError:
            self._unknown.add(topic)
            self.get_logger().warning(f"{topic} does not pass: {type_name} is not installed")
            return
        recorded = topic.removeprefix(self._prefix)  # the name by which a scenario knows it
        out = in_namespace(recorded, self.get_namespace())
        modality = type_modality(type_name)
        sensor = self._sensor(recorded, modality)
        if modality is not None and sensor is None:
            self.get_logger().warning(
                f"{topic}: no {modality} in sensors_from has the topic {recorded}; only faults whose "
                "stream is that topic hit it"
            )
        offers = self._offered(topic)
        self._outputs[topic] = output = self.create_publisher(kind, out, passed_on(agreed([offers])))

        def on_message(data: bytes, waited_ns: int) -> None:
            came_s = time.monotonic() - waited_ns / NS_PER_S
            at_s = self._at_s(came_s, starts=modality is not None)
            self._pass(recorded, sensor, kind, output, data, at_s=at_s, came_s=came_s)

        self._listen(topic, kind, told_wait(on_message), _asking(offers))
        self.get_logger().info(f"{topic} goes to {out}")

    def _listen(self, topic: str, kind: Any, callback: Callable[..., None], profile: QoSProfile) -> None:
        self._inputs[topic] = self.create_subscription(
            kind, topic, callback, profile, raw=True, event_callbacks=QUIET_SUBSCRIPTION
        )

    def _follow(self, topic: str) -> None:
        """Listen anew where a driver was started again that offers the topic so that it is not heard."""
        before = self._inputs[topic]
        infos = self.get_publishers_info_by_topic(topic)
        if any(mismatch(info.qos_profile, before.qos_profile) for info in infos):
            self.destroy_subscription(before)
            self._listen(topic, before.msg_type, before.callback, _asking(self._offered(topic)))

    def _sensor(self, topic: str, kind: Modality | None) -> str | None:
        """Name of the sensor whose topic this is; of one that is the only one of its kind, by the kind."""
        names = () if kind is None else self._config.of_kind(kind)
        bare = topic.strip("/").removesuffix(COMPRESSED)
        called = (
            name
            for name in names
            if self._config.sensor(name).topic.strip("/").removesuffix(COMPRESSED) == bare
        )
        return next(called, names[0] if len(names) == 1 else None)

    def _offered(self, topic: str) -> tuple[Offer, ...]:
        """How each of a topic's publishers offers it."""
        offers = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
        return tuple(
            Offer(
                latched=offer.durability == DurabilityPolicy.TRANSIENT_LOCAL,
                reliable=offer.reliability == ReliabilityPolicy.RELIABLE,
            )
            for offer in offers
        )

    def _at_s(self, came_s: float, *, starts: bool) -> float:
        """Scenario time at which a message came; the first one of a sensor's type starts it."""
        if self._started is None:
            if not starts:
                return 0.0
            ago_ns = round((time.monotonic() - came_s) * NS_PER_S)
            self._started, self._start_ns = came_s, self.get_clock().now().nanoseconds - ago_ns
            self._report(0.0)
        return max(0.0, came_s - self._started)

    def _pass(
        self,
        topic: str,
        sensor: str | None,
        kind: Any,
        output: Publisher[Any],
        data: bytes,
        *,
        at_s: float,
        came_s: float,
    ) -> None:
        """Apply the faults of scenario time `at_s` to a message that came at the monotonic time `came_s`."""
        try:
            whole = self._injector.needs_content(topic, sensor, at_s)
            message = deserialize_message(data, kind) if whole else data
            deliveries = self._injector.apply(topic, sensor, message, at_s=at_s)
        except Exception as error:  # noqa: BLE001 - callback boundary: an odd message must not end the stream
            self.errors += 1
            self.get_logger().error(f"{topic}: fault not applied: {error}", throttle_duration_sec=1.0)
            output.publish(data)
            return
        self._send(output, deliveries, came_s=came_s)

    def _send(self, output: Publisher[Any], deliveries: Iterable[Delivery], *, came_s: float) -> None:
        for message, delay_s in deliveries:
            if delay_s <= 0.0:
                output.publish(message)
                continue
            heapq.heappush(self._delayed, (came_s + delay_s, next(self._order), output, message))
            if self._delay_timer.is_canceled():  # a reset would begin its period anew, again and again
                self._delay_timer.reset()

    def _send_delayed(self) -> None:
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            _, _, output, message = heapq.heappop(self._delayed)
            output.publish(message)
        if not self._delayed:
            self._delay_timer.cancel()

    def _follow_schedule(self) -> None:
        """Publish budgets due, what events now over still hold, and a report when the faults change."""
        if self._started is None:
            return
        at_s = time.monotonic() - self._started
        for topic, delivery in self._injector.flush(at_s):
            self._send(self._outputs[f"{self._prefix}{topic}"], [delivery], came_s=time.monotonic())
        for action in self._scenario.actions:
            if action.at_s <= at_s and action not in self._done:
                self._done.add(action)
                self._publish_budget(action)
        self._look_for_missed(at_s)
        if self._scenario.running(at_s) != self._shown or time.monotonic() >= self._next_report:
            self._report(at_s)

    def _look_for_missed(self, at_s: float) -> None:
        """Warn of faults that ended without a message that they altered: nothing was tested then."""
        for event in self._missed(at_s):
            if event not in self._warned:
                self._warned.add(event)
                self.get_logger().warning(
                    f"{event.title} was not injected: until {event.until_s:g} s no message came under "
                    f"{self._prefix}/ that it alters; start that driver there, or give another stream"
                )

    def _missed(self, at_s: float) -> list[Event]:
        altered = {event for event, _ in self._injector.altered}
        over = (event for event in self._scenario.events if event.until_s + _QUEUED_S <= at_s)
        return [event for event in over if event not in altered]

    def _publish_budget(self, action: Action) -> None:
        if self._budget is None:
            return
        message = self._budget.msg_type()
        message.header.stamp = self.get_clock().now().to_msg()
        message.power_w, message.latency_ms, message.level = action.power_w, action.latency_ms, action.level
        message.source = f"scenario {self._scenario.name}"
        self._budget.publish(message)

    def _report(self, at_s: float) -> None:
        self._next_report = time.monotonic() + _REPORT_PERIOD_S
        self._shown = self._scenario.running(at_s)
        story = ", ".join(f"{event.stream}: {event.fault}" for event in self._shown)
        values = {
            "at_s": f"{at_s:.3f}",
            "start_ns": self._start_ns,
            "errors": self.errors,
            "missed": "; ".join(event.title for event in self._missed(at_s)) or "none",
        }
        self._say(story or "no fault", values, level=WARN if story else OK)


def _asking(offers: Iterable[Offer]) -> QoSProfile:
    """Latched or reliable where every publisher is: nothing is lost but what the scenario says."""
    is_reliable = all(offer.reliable for offer in offers)
    reliability = "reliable" if is_reliable else "best_effort"
    if all(offer.latched for offer in offers):
        return latched(reliability=reliability)
    return sensor_profile(reliability=reliability, depth=DEPTH)


def main() -> NoReturn:
    """Run the node; the exit status is 2 after an error."""
    run_process(FaultInjectorNode)


if __name__ == "__main__":
    main()
