"""A synthetic robot that publishes four sensors, a node under test in its own process, and a listener."""

from __future__ import annotations

import functools
import gc
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from bags import TOPICS
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from programs import Program
from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sentryfuse.msg import Coverage, FusedDetectionArray, FusedTrackArray, FusionStatus
from visualization_msgs.msg import MarkerArray

from sentryfuse_core.account.diagnostics import status_name
from sentryfuse_core.bags.writer import build_message, ros2_typestore
from sentryfuse_core.lab.world.record import START_NS, Recorder
from sentryfuse_core.types import Modality
from sentryfuse_ros.messages import message_class
from sentryfuse_ros.spin import make_executor

S = 1_000_000_000
# For whatever is sure to happen: it costs nothing when it does, and others may keep the cores busy.
WITHIN_S = 240.0
PARAMETERS = {
    "camera.transport": "compressed",
    "model.device": "cpu",
    "model.threads": 1,  # more would fight with whatever else runs here
    "health.relapse_s": 0.0,  # one test's fault must not lengthen the next one's recovery
    # A publisher in Python stutters: at the default 50 ms the IMU is lost about once in 20 s here,
    # rightly so. That is not what is under test.
    **{f"health.timeout_floor_{kind.value}_s": 0.5 for kind in Modality},
    "health.rate_warn": 0.2,
    "health.rate_error": 0.1,
    # Nor how warm the machine is that tests run on, and what it draws.
    "budget.measure_power": "false",
    "budget.keep_pace": "false",
    "budget.thermal": "false",
    "output.diagnostics_period_s": 0.5,
}


@dataclass(frozen=True)
class Recorded:
    """One message as bytes, whose header comes first; `offset_ns` from the start of the recording."""

    offset_ns: int
    topic: str
    type_name: str
    cdr: bytes

    def stamped(self, stamp_ns: int) -> bytes:
        """The same message with another stamp."""
        changed = bytearray(self.cdr)
        struct.pack_into("<iI", changed, 4, stamp_ns // S, stamp_ns % S)
        return bytes(changed)


class _Memory:
    """A sink that keeps serialised messages."""

    def __init__(self) -> None:
        self.messages: list[Recorded] = []
        self._types = ros2_typestore()

    def write(self, topic: str, type_name: str, log_time_ns: int, fields: Mapping[str, Any]) -> None:
        cdr = self._types.serialize_cdr(build_message(self._types, type_name, fields), type_name)
        self.messages.append(Recorded(log_time_ns - START_NS, topic, type_name, bytes(cdr)))


@functools.cache
def recording(*, seed: int = 3, seconds: float = 2.0) -> Sequence[Recorded]:
    """A short drive in the synthetic world."""
    recorder, memory = Recorder(seed=seed, seconds=seconds), _Memory()
    recorder.write(recorder.drive(), memory)
    return tuple(memory.messages)


class Robot:
    """Publishes a recording over and over, stamped now, except what is muted."""

    def __init__(self, node: Any, messages: Sequence[Recorded]) -> None:
        self._node = node
        self._messages = messages
        self._period_ns = messages[-1].offset_ns + 10_000_000
        sensor_data = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._publishers = {
            message.topic: node.create_publisher(message_class(message.type_name), message.topic, sensor_data)
            for message in {item.topic: item for item in messages}.values()
        }
        self.muted: set[str] = set()
        self.shift_ns = 0  # added to every stamp
        self._paused = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Robot:
        # A full collection over all that pytest has loaded stops every publisher for 0.15 to 0.5 s.
        gc.collect()
        gc.freeze()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        gc.unfreeze()

    def pause(self) -> None:
        """Publish nothing; what would have been published is lost."""
        self._paused = True

    def resume(self) -> None:
        """Publish again."""
        self._paused = False

    def mute(self, *modalities: Modality) -> float:
        """Let only these sensors be silent; the monotonic time in s at which they are."""
        self.muted = {TOPICS[modality] for modality in modalities}
        return time.monotonic()

    def _run(self) -> None:
        start_ns, start_stamp_ns = time.monotonic_ns(), time.time_ns()
        for index in iter(range(1_000_000_000)):
            lap, position = divmod(index, len(self._messages))
            message = self._messages[position]
            due_ns = start_ns + lap * self._period_ns + message.offset_ns
            if self._stop.wait(max(0, due_ns - time.monotonic_ns()) / S):
                return
            if message.topic not in self.muted and not self._paused:
                # As a sensor's clock has it, whenever this thread gets to run.
                stamp_ns = start_stamp_ns + due_ns - start_ns - 5_000_000 + self.shift_ns
                self._publishers[message.topic].publish(message.stamped(stamp_ns))


def patiently(expected: Callable[[float], bool], patience_s: Sequence[float]) -> None:
    """For a time that is always waited out: a short one, which does on a quiet machine, else longer ones.

    `expected` takes the time in s and returns whether it was long enough to see what must be seen.
    """
    assert any(expected(time_s) for time_s in patience_s), f"not as expected in {patience_s[-1]:g} s"


def spinning_thread(executor: SingleThreadedExecutor) -> threading.Thread:
    """A started thread that spins until the executor is shut down.

    Tests make and destroy publishers and clients beside it. What is destroyed between two looks of rclpy's
    executor at it raises InvalidHandle out of `spin`, which would end the thread without a word.
    """

    def spin() -> None:
        while executor.context.ok():
            with suppress(InvalidHandle):
                executor.spin()
                return

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    return thread


class Asking:
    """A client of a service whose node is spun elsewhere.

    A server may not have found its client yet when it answers, and the answer is lost then. Once one has come
    they know each other, and none is lost any more.
    """

    def __init__(self, node: Node, kind: Any, name: str) -> None:
        self._node, self._name = node, name
        self.client = node.create_client(kind, name)

    def __enter__(self) -> Asking:
        assert self.client.wait_for_service(WITHIN_S), f"no service {self._name}"
        return self

    def __exit__(self, *_: object) -> None:
        self._node.destroy_client(self.client)

    def __call__(self, request: Any) -> Any:
        """The first answer; the request is made again and again until then."""
        return self._answer(request, again_s=5.0)

    def once(self, request: Any) -> Any:
        """The answer to what must not be asked twice, once another answer has come."""
        return self._answer(request, again_s=WITHIN_S)

    def _answer(self, request: Any, *, again_s: float) -> Any:
        answered, futures = threading.Event(), []
        deadline_s = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline_s:
            futures.append(self.client.call_async(request))
            futures[-1].add_done_callback(lambda _: answered.set())
            if answered.wait(again_s):
                return next(future for future in futures if future.done()).result()
        raise AssertionError(f"{self._name} did not answer in {WITHIN_S:.0f} s")


class Listener:
    """Keeps what the node publishes, each with its monotonic time in s, and waits for what is expected."""

    def __init__(self, *, namespace: str = "/sentryfuse") -> None:
        self.namespace = namespace  # full name of the node that is listened to
        self._ending = ExitStack()
        self.node = self._ending.enter_context(participant("listener"))
        self.received: dict[str, list[tuple[float, Any]]] = defaultdict(list)
        self._changed = threading.Condition()
        self._executor = SingleThreadedExecutor(context=self.node.context)
        self._executor.add_node(self.node)
        for name, kind, topic in (
            ("status", FusionStatus, f"{namespace}/status"),
            ("detections", FusedDetectionArray, f"{namespace}/detections"),
            ("tracks", FusedTrackArray, f"{namespace}/tracks"),
            ("coverage", Coverage, f"{namespace}/coverage"),
            ("markers", MarkerArray, f"{namespace}/markers"),
            ("diagnostics", DiagnosticArray, "/diagnostics"),
        ):
            self.node.create_subscription(
                kind, topic, lambda message, name=name: self._note(name, message), 100
            )
        self._thread = spinning_thread(self._executor)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join()
        self._ending.close()

    def since(self, name: str, start_s: float) -> list[Any]:
        """Messages that came after `start_s`."""
        with self._changed:
            return [message for at_s, message in self.received[name] if at_s >= start_s]

    def wait_for(
        self,
        name: str,
        expected: Callable[[Any], bool],
        *,
        within_s: float = WITHIN_S,
        since_s: float | None = None,
    ) -> Any:
        """The first message after now (or `since_s`) that is as expected; fails with the last one seen."""
        return self.wait_for_run(name, expected, count=1, within_s=within_s, since_s=since_s)[0]

    def wait_for_run(
        self,
        name: str,
        expected: Callable[[Any], bool],
        *,
        count: int,
        within_s: float = WITHIN_S,
        since_s: float | None = None,
    ) -> list[Any]:
        """The first `count` messages in a row, after now or `since_s`, that are all as expected."""
        start_s = time.monotonic() if since_s is None else since_s
        deadline_s = time.monotonic() + within_s
        with self._changed:
            seen, row = 0, []
            while True:
                fresh = [message for at_s, message in self.received[name] if at_s >= start_s]
                for message in fresh[seen:]:
                    row = [*row, message] if expected(message) else []
                    if len(row) == count:
                        return row
                seen = len(fresh)
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise AssertionError(f"no {count} {name} as expected in {within_s} s; last: {fresh[-1:]}")
                self._changed.wait(left_s)

    def diagnostic(
        self, name: str, expected: Callable[[DiagnosticStatus], bool], *, within_s: float = WITHIN_S
    ) -> DiagnosticStatus:
        """The node's first status of this name that is as expected."""
        full = status_name(self.namespace, name)
        found = self.wait_for(
            "diagnostics",
            lambda array: any(status.name == full and expected(status) for status in array.status),
            within_s=within_s,
        )
        return next(status for status in found.status if status.name == full)

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """The answer of a service that may be asked twice."""
        with Asking(self.node, kind, name) as asking:
            return asking(request)

    def change_state(self, transition_id: int) -> bool:
        """Ask the node for a lifecycle transition; whether it succeeded."""
        with Asking(self.node, ChangeState, "/sentryfuse/change_state") as asking:
            none_such = ChangeState.Request(transition=Transition(label="none such"))
            assert not asking(none_such).success
            return bool(asking.once(ChangeState.Request(transition=Transition(id=transition_id))).success)

    def state(self) -> str:
        """The node's lifecycle state."""
        return str(self.call(GetState, "/sentryfuse/get_state", GetState.Request()).current_state.label)

    def _note(self, name: str, message: Any) -> None:
        with self._changed:
            self.received[name].append((time.monotonic(), message))
            self._changed.notify_all()


class NodeProcess(Program):
    """The fusion node, run as a user would."""

    def __init__(
        self, *, params_file: Path | None = None, remap: Sequence[str] = (), **parameters: Any
    ) -> None:
        arguments = ["--ros-args", *(item for rule in remap for item in ("-r", rule))]
        if params_file is not None:
            arguments += ["--params-file", str(params_file)]
        super().__init__(node_command("fusion_node", *arguments, **parameters))


def node_command(module: str, *arguments: str, **parameters: Any) -> list[str]:
    """What starts a program of this package; --ros-args goes before the parameters."""
    given = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
    ros_args = [] if "--ros-args" in arguments or not given else ["--ros-args"]
    return [sys.executable, "-m", f"sentryfuse_ros.{module}", *arguments, *ros_args, *given]


@contextmanager
def running(listener: Listener, **parameters: Any) -> Iterator[NodeProcess]:
    """A node process with PARAMETERS and these; ended, and its log shown, whatever happens."""
    with NodeProcess(**{**PARAMETERS, **parameters}) as node:
        try:
            node.wait_for_line("warmed up" if parameters.get("autostart", True) else "unconfigured")
            yield node
        except BaseException:
            sys.stderr.write(node.output)
            raise
        finally:
            node.end()
            listener.received.clear()


def until(
    done: Callable[[], bool], what: str = "", *, turn: Callable[[], object] = lambda: time.sleep(0.02)
) -> None:
    """Take turns, which wait a little where there is nothing to wait on, until it is `done`."""
    deadline_s = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < deadline_s, f"did not happen in {WITHIN_S:.0f} s: {what}"
        turn()


def happens(done: Callable[[], bool], within_s: float, *, turn: Callable[[], object]) -> bool:
    """Whether it is `done` after so long at most, for `patiently`.

    On a busy machine it happens that of two participants in one process one never hears the other, however
    long both are there. One of them has to be made anew then.
    """
    deadline_s = time.monotonic() + within_s
    while not (found := done()) and time.monotonic() < deadline_s:
        turn()
    return found


def until_subscribed(publisher: Any) -> None:
    """Until somebody subscribes to what it publishes."""
    until(lambda: bool(publisher.get_subscription_count()), f"a subscription to {publisher.topic_name}")


@contextmanager
def participant(name: str, **options: Any) -> Iterator[Node]:
    """A node with a context, and so a DDS participant, of its own."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node(name, context=context, **options)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


@dataclass(frozen=True)
class Rig:
    """A node under test and a bench beside it, both in this process and spun by this thread."""

    node: Any
    bench: Node
    executor: Any

    def spin(self) -> None:
        """One turn."""
        self.executor.spin_once(timeout_sec=0.02)

    def until(self, done: Callable[[], bool]) -> None:
        """Spin until it is `done`."""
        until(done, turn=self.spin)

    def heard(self, kind: Any, topic: str, profile: QoSProfile | int = 100) -> list[Any]:
        """A list that grows by every message on the topic."""
        got: list[Any] = []
        self.bench.create_subscription(kind, topic, got.append, profile)
        return got


@contextmanager
def rig(make: Callable[[], Node], *arguments: str) -> Iterator[Rig]:
    """The node that `make` returns, with these ROS arguments; both nodes end, whatever happens."""
    rclpy.init(args=["--ros-args", *arguments])
    bench, executor = Node("bench", use_global_arguments=False), make_executor()
    nodes = [bench]
    try:
        nodes.append(make())
        for node in nodes:
            executor.add_node(node)
        yield Rig(nodes[1], bench, executor)
    finally:
        executor.shutdown()
        for node in reversed(nodes):
            node.destroy_node()
        rclpy.shutdown()


def stamped_transform(child: str, parent: str, position: Any, rotation: Any, *, stamp_ns: int = 0) -> Any:
    """A TransformStamped; `position` in m, `rotation` a quaternion xyzw."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, S)
    for part, values in ((message.transform.translation, position), (message.transform.rotation, rotation)):
        for name, value in zip("xyzw", values, strict=False):
            setattr(part, name, float(value))
    return message


def now() -> Time:
    """The stamp of this moment."""
    sec, nanosec = divmod(time.time_ns(), S)
    return Time(sec=sec, nanosec=nanosec)
