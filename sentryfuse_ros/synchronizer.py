"""Stands where a message_filters.ApproximateTimeSynchronizer stood, and goes on when an input dies.

    lidar, camera = Input(node, PointCloud2, "lidar/points"), Input(node, Image, "camera/image")
    sync = DropoutTolerantSynchronizer([lidar, camera], 10, 0.05)
    sync.registerCallback(lambda cloud, image: ...)  # None for what is missing
    sync.registerDropCallback(lambda topic, message, reason: ...)

Works with and without message_filters. docs/migration.md has the table of differences.
"""

from __future__ import annotations

import operator
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.subscription import Subscription

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.sync import MatchedSet, StreamSpec, Synchronizer
from sentryfuse_ros.arrival import note_arrival, noted_wait_ns
from sentryfuse_ros.backlog import Backlog
from sentryfuse_ros.clocks import clocks_of

__all__ = ["DropoutTolerantSynchronizer", "Input", "Received"]

_PERIODS = 3  # silence of so many recent intervals makes an input lost
_RECENT = 8  # intervals that the usual one is taken of
_SHORTEST_TIMER_NS = NS_PER_MS
_SIMULATED_TIMER_NS = 5 * NS_PER_MS  # simulated time may stand still: do not ask it all the time


class Input:
    """One subscription that many may listen to: what a message_filters.Subscriber is, without it."""

    def __init__(self, node: Node, kind: type, topic: str, qos_profile: Any = 10) -> None:
        self.node = node
        self.topic = topic
        self._callbacks: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.sub = node.create_subscription(kind, topic, self._tell, qos_profile)

    def registerCallback(self, callback: Callable[..., None], *args: Any) -> int:  # noqa: N802 - its name there
        """Call `callback(message, *args)` with every message; returns its number."""
        self._callbacks.append((callback, args))
        return len(self._callbacks) - 1

    def _tell(self, message: Any) -> None:
        for callback, args in self._callbacks:
            callback(message, *args)


@dataclass(frozen=True)
class Received:
    """A message and its times in ns, as in `sentryfuse_core.sync.Timed`."""

    message: Any
    stamp_ns: int
    received_ns: int
    arrival_ns: int


@dataclass
class _Port:
    """One topic: where it stands among the callback's arguments, and when it last spoke."""

    topic: str
    window_s: float
    arrival_ns: int | None = None
    intervals_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def heard(self, arrival_ns: int) -> None:
        if self.arrival_ns is not None:
            self.intervals_ns.append(arrival_ns - self.arrival_ns)
        self.arrival_ns = arrival_ns

    def lost_at_ns(self, timeout_ns: int) -> int | None:
        """Steady time from which the input counts as lost; None: it never spoke."""
        if self.arrival_ns is None:
            return None
        return self.arrival_ns + max(timeout_ns, _PERIODS * self._usual_ns())

    def _usual_ns(self) -> int:
        return sorted(self.intervals_ns)[len(self.intervals_ns) // 2] if self.intervals_ns else 0


class DropoutTolerantSynchronizer:
    """Calls back with one message of every input, None for one that is missing; each message at most once.

    Inputs are `Input`s, message_filters subscribers and filters (anything with `registerCallback`), or plain
    rclpy subscriptions, whose own callbacks are then called no more. They anchor in the order given: a set
    carries the stamp of the first one that lives. Callbacks run in the executor's thread, outside every lock,
    in the order of the sets; what one raises is logged and counted in `callback_errors`.

    Raises ConfigError for no inputs, an input that is neither, a slop or wait out of range, or no node.
    """

    def __init__(  # noqa: PLR0913 - the first five are those of the class it replaces
        self,
        fs: Sequence[Any],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,  # noqa: FBT001, FBT002 - positional there, too
        sync_arrival_time: bool = False,  # noqa: FBT001, FBT002
        *,
        node: Node | None = None,
        max_wait_s: float = 0.05,
        timeout_s: float = 0.2,
        anchor: int = 0,
        windows_s: Mapping[int, float] | None = None,
        expected_lags_s: Mapping[int, float] | None = None,
        complete_only: bool = False,
    ) -> None:
        """Listen to the inputs `fs`; options by input take its index in them.

        `queue_size` is checked and not used: memory is bounded by two seconds and 64 messages an input.
        `slop`: largest distance in s from the anchor's stamp. `node` is needed where no input knows its own.
        `max_wait_s`: longest wait after the anchor came. `timeout_s`: least silence after which an input is
        not waited for (three of its usual intervals where those are longer). `anchor`: the input that anchors
        first. `windows_s`: inputs that give the list of all messages in (stamp - window, stamp]; they never
        anchor. `expected_lags_s`: known delays from stamp to arrival. `complete_only`: call back with full
        sets only; what other sets held is dropped as `incomplete`.
        """
        if not fs:
            raise ConfigError("no inputs to synchronise; give at least one subscriber")
        if queue_size < 1:
            raise ConfigError(f"queue_size = {queue_size}: give at least 1")
        self._node = node or _node_of(fs)
        self._config = override(Config(), {"sync.slop_s": slop, "sync.max_wait_s": max_wait_s}).sync
        self._timeout_ns = round(timeout_s * NS_PER_S)
        self._headerless = allow_headerless or sync_arrival_time
        self._by_arrival = sync_arrival_time
        self._complete_only = complete_only
        windows_s, lags_s = windows_s or {}, expected_lags_s or {}
        self._inputs = [_Port(_topic_of(f, index), windows_s.get(index, 0.0)) for index, f in enumerate(fs)]
        for option, indices in (("anchor", [anchor]), ("windows_s", windows_s), ("expected_lags_s", lags_s)):
            _check_indices(option, indices, len(fs))
        if windows_s and min(windows_s.values()) <= 0.0:
            raise ConfigError(f"windows_s = {dict(windows_s)}: give every input a positive time in s")
        specs = {
            index: StreamSpec(
                anchor_rank=None if port.window_s else (index if index != anchor else -1),
                window_ns=round(port.window_s * NS_PER_S),
                expected_lag_ns=round(lags_s.get(index, 0.0) * NS_PER_S),
            )
            for index, port in enumerate(self._inputs)
        }
        self._lock = threading.Lock()
        self._outbox: deque[Callable[[], None]] = deque()
        self._sending = False
        self._closed = False
        self._callbacks: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._set_callbacks: list[Callable[[MatchedSet[int, Received]], None]] = []
        self._drop_callbacks: list[Callable[[str, Any, str], None]] = []
        self.callback_errors = 0
        self.dropped: Counter[str] = Counter()  # messages that were in no set, by reason
        self._sync: Synchronizer[int, Received] = Synchronizer(self._config, specs, on_drop=self._drop)
        self._clocks = clocks_of(self._node)
        self._backlog: Backlog[Received] = Backlog(len(self._inputs))
        self._shortest_timer_ns = _SIMULATED_TIMER_NS if self._clocks.simulated else _SHORTEST_TIMER_NS
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self._node.create_timer(1.0, self._on_timer, clock=steady)
        self._timer.cancel()
        self._armed_ns: int | None = None
        back = Duration(nanoseconds=-round(self._config.jump_back_s * NS_PER_S))
        self._jumps = self._node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=back, on_clock_change=True),
            post_callback=lambda _: self._on_jump(),
        )
        self._connect(fs)

    def registerCallback(self, callback: Callable[..., None], *args: Any) -> int:  # noqa: N802 - its name there
        """Call `callback(message or None, ..., *args)` with every set; returns its number."""
        self._callbacks.append((callback, args))
        return len(self._callbacks) - 1

    def registerSetCallback(self, callback: Callable[[MatchedSet[int, Received]], None]) -> None:  # noqa: N802
        """Call `callback(matched)` with every set: stamp, anchor and why an input (by index) is absent."""
        self._set_callbacks.append(callback)

    def registerDropCallback(self, callback: Callable[[str, Any, str], None]) -> None:  # noqa: N802
        """Call `callback(topic, message, reason)` for every message that goes without having been in a set.

        docs/synchroniser.md has the reasons; here also `headerless` and `incomplete`.
        """
        self._drop_callbacks.append(callback)

    @property
    def topics(self) -> tuple[str, ...]:
        """The inputs' topics, in their order."""
        return tuple(port.topic for port in self._inputs)

    def close(self) -> None:
        """Stop listening; inputs stay the caller's, and what they bring is no longer looked at."""
        with self._lock:
            self._closed = True
        self._jumps.unregister()
        self._node.destroy_timer(self._timer)

    def _connect(self, sources: Sequence[Any]) -> None:
        for index, source in enumerate(sources):
            take = partial(self._on_message, index)
            if isinstance(source, Subscription):
                source.callback = take
                note_arrival(source)
            else:
                source.registerCallback(take)
        # Those of Input and of message_filters, at which everything begins that a filter hands on.
        for subscription in (
            *self._node.subscriptions,
            *(getattr(source, "sub", None) for source in sources),
        ):
            owner = getattr(getattr(subscription, "callback", None), "__self__", None)
            if subscription is not None and hasattr(owner, "registerCallback"):
                note_arrival(subscription)

    def _on_message(self, index: int, *handed_on: Any) -> None:
        """Take what an input hands on: a message, or several at once, which have no stamp of their own."""
        message = handed_on[0] if len(handed_on) == 1 else handed_on
        # In simulation /clock waited in the same queue: on that time the message comes now.
        waited_ns = 0 if self._clocks.simulated else noted_wait_ns()
        came_ns, received_ns = self._clocks.came(waited_ns)
        stamp_ns = received_ns if self._by_arrival else _stamp_ns(message)
        if stamp_ns is None and self._headerless:
            stamp_ns = received_ns
        with self._lock:
            if self._closed:
                return
            arrival_ns = self._backlog.heard(index, came_ns, waited_ns)
            self._inputs[index].heard(arrival_ns)
            if stamp_ns is None:
                self._drop(index, Received(message, 0, received_ns, arrival_ns), "headerless")
                text = (
                    f"{self._inputs[index].topic}: a message without a header whose stamp can be read; "
                    "give allow_headerless to stamp on arrival"
                )
                self._node.get_logger().warning(text, throttle_duration_sec=10.0)
            else:
                self._backlog.hold(index, arrival_ns, Received(message, stamp_ns, received_ns, arrival_ns))
            self._hand_on(arrival_ns)
            self._arm(came_ns)
        self._send()

    def _hand_on(self, now_ns: int) -> None:
        """Give the synchroniser what is ready, each message with the time at which it came."""
        for index, arrival_ns, received in self._backlog.ready(now_ns):
            self._follow_lost(arrival_ns)
            self._collect(self._sync.add(index, received))

    def _on_timer(self) -> None:
        now_ns = self._clocks.steady.now_ns()
        with self._lock:
            if self._closed:
                return
            self._timer.cancel()
            due_ns, self._armed_ns = self._armed_ns, None
            if self._backlog.look(now_ns - due_ns if due_ns is not None else 0):
                self._hand_on(now_ns)
                self._follow_lost(now_ns)
                self._collect(self._sync.advance(now_ns))
            self._arm(now_ns)
        self._send()

    def _on_jump(self) -> None:
        """Time went back, or is another clock's from here: nothing of before belongs to what comes."""
        with self._lock:
            self._hand_on(self._clocks.steady.now_ns())
            if not self._sync.just_went_back:
                self._sync.reset()
        self._send()

    def _follow_lost(self, now_ns: int) -> None:
        lost = [
            index
            for index, port in enumerate(self._inputs)
            if (at_ns := port.lost_at_ns(self._timeout_ns)) is not None and at_ns <= now_ns
        ]
        self._sync.set_lost(lost)

    def _arm(self, now_ns: int) -> None:
        """Set the timer to the next look or deadline, if that is before the one it is set to."""
        deadline_ns = 0 if self._backlog.behind else self._sync.next_deadline_ns()
        if deadline_ns is None or (self._armed_ns is not None and self._armed_ns <= deadline_ns):
            return
        self._armed_ns = deadline_ns
        self._timer.timer_period_ns = max(deadline_ns - now_ns, self._shortest_timer_ns)
        self._timer.reset()

    def _collect(self, released: list[MatchedSet[int, Received]]) -> None:
        for matched in released:
            if self._complete_only and matched.absent:
                for index, members in matched.samples.items():
                    if not self._inputs[index].window_s:  # the next set's window may have them
                        self._drop(index, members[0], "incomplete")
                continue
            self._outbox.append(partial(self._tell, matched))

    def _drop(self, index: int, received: Received, reason: str) -> None:
        self.dropped[reason] += 1
        topic = self._inputs[index].topic
        for callback in self._drop_callbacks:
            self._outbox.append(partial(callback, topic, received.message, reason))

    def _tell(self, matched: MatchedSet[int, Received]) -> None:
        for on_set in self._set_callbacks:
            self._guarded(partial(on_set, matched))
        messages = [self._argument(index, matched) for index in range(len(self._inputs))]
        for callback, args in self._callbacks:
            self._guarded(partial(callback, *messages, *args))

    def _argument(self, index: int, matched: MatchedSet[int, Received]) -> Any:
        members = matched.samples.get(index, ())
        if self._inputs[index].window_s:
            return [received.message for received in members]
        return members[0].message if members else None

    def _send(self) -> None:
        """Call back in order, by one thread at a time; a callback that publishes to itself waits its turn."""
        while True:
            with self._lock:
                if self._sending or not self._outbox:
                    return
                self._sending = True
                call = self._outbox.popleft()
            try:
                self._guarded(call)
            finally:
                with self._lock:
                    self._sending = False

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the user's; the next set still goes out
            self.callback_errors += 1
            text = (
                f"callback raised {type(error).__name__} ({self.callback_errors} so far)\n"
                f"{traceback.format_exc()}"
            )
            self._node.get_logger().error(text, throttle_duration_sec=1.0)


def _check_indices(option: str, indices: Iterable[int], inputs: int) -> None:
    for index in indices:
        if not 0 <= index < inputs:
            raise ConfigError(
                f"{option}: there is no input {index}; give the index of one, 0 to {inputs - 1}"
            )


def _node_of(sources: Sequence[Any]) -> Node:
    found = next(
        (node for source in sources if isinstance(node := getattr(source, "node", None), Node)), None
    )
    if found is None:
        raise ConfigError("no input knows its node; give node=")
    return found


def _topic_of(source: Any, index: int) -> str:
    if isinstance(source, Subscription):
        return str(source.topic_name)
    if not hasattr(source, "registerCallback"):
        raise ConfigError(
            f"input {index} is a {type(source).__name__}; "
            "give a message_filters subscriber or an rclpy subscription"
        )
    return str(getattr(source, "topic", f"input {index}"))


def _stamp_ns(message: Any) -> int | None:
    """The message's stamp, a message itself or an rclpy Time; None where there is none that can be read."""
    try:
        stamp = message.header.stamp
        if hasattr(stamp, "nanoseconds"):
            stamp_ns = operator.index(stamp.nanoseconds)
        else:
            stamp_ns = operator.index(stamp.sec) * NS_PER_S + operator.index(stamp.nanosec)
    except Exception:  # noqa: BLE001 - filters hand on objects of their own, which raise what they like
        return None
    return stamp_ns if stamp_ns >= 0 else None
