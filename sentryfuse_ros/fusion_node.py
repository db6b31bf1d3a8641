"""The node `sentryfuse`: a lifecycle around one session of the pipeline."""

from __future__ import annotations

import gc
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from sentryfuse_core.clock import SteadyClock
from sentryfuse_core.config import Config
from sentryfuse_core.errors import SentryFuseError
from sentryfuse_ros import middleware
from sentryfuse_ros.arrival import catch_up
from sentryfuse_ros.frames import TransformTree, tf2_available
from sentryfuse_ros.params import declare_config, follow_changes
from sentryfuse_ros.pause import SimulatedClock
from sentryfuse_ros.publish import Outputs, vision_msgs_available
from sentryfuse_ros.spin import Stop, events_executor_available, run_node
from sentryfuse_ros.subscribe import Inputs, sensor_topics

if TYPE_CHECKING:
    from sentryfuse_ros.session import Engine, Session

__all__ = ["FusionNode", "main"]

_MACHINE_POLL_S = 1.0  # how often power and heat are read
_BEAT_S = 0.05  # how often the executor shows that it listens, also while no sensor sends
_GRAPH_POLL_S = 0.25  # how soon a publisher of audio, or of a wrong type, is noticed


class FusionNode(LifecycleNode):
    """Configuring loads the network, activating warms it up and listens; each is undone by its opposite."""

    def __init__(self, **options: Any) -> None:
        # Before anything can raise: rclpy destroys a node that was not made to its end, too.
        self.failure: SentryFuseError | None = None
        self._starting = False
        self._engine: Engine | None = None
        self._outputs: Outputs | None = None
        self._frames: TransformTree | None = None
        self._session: Session | None = None
        self._inputs: Inputs | None = None
        self._timers_on: list[Any] = []
        self._jumps: Any = None
        super().__init__("sentryfuse", **options)
        self.autostart = bool(self.declare_parameter("autostart", value=True).value)
        self.config = declare_config(self)
        follow_changes(self, lambda: self.config, self._reconfigure)

    def start(self) -> None:
        """Configure and activate; raises the SentryFuseError that stood in the way."""
        self._starting = True
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() is not TransitionCallbackReturn.SUCCESS:
                raise self.failure or SentryFuseError("the node cannot start; its log has the traceback")
        self._starting = False

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, make the backend, advertise."""
        return self._transition(self._configure, super().on_configure, state, undo=self._free)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run every sub-network once, then subscribe."""
        return self._transition(
            self._activate, super().on_activate, state, then=self._listen, undo=self._deactivate
        )

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and working."""
        return self._transition(self._deactivate, super().on_deactivate, state, undo=self._free)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the network and the publishers."""
        return self._transition(self._clean_up, super().on_cleanup, state, undo=self._free)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything, from whichever state."""
        return self._transition(self._free, super().on_shutdown, state, undo=self._free)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything; the node can be configured again."""
        return self._transition(self._free, super().on_error, state, undo=self._free)

    def destroy_node(self) -> None:
        """Let go of everything and end."""
        self._free()
        super().destroy_node()

    def _configure(self) -> None:
        # Not at the top: it brings the network's runtime, and a misspelt parameter is told without that.
        from sentryfuse_ros.session import Engine

        self._engine = Engine.load(self.config)
        if self.config.output.extrinsics == "auto" and tf2_available():
            self._frames = TransformTree(self, base_frame=self.config.output.base_frame)
        self._outputs = Outputs(self)

    def _activate(self) -> None:
        from sentryfuse_ros.session import Host, Session

        engine, outputs = self._engine, self._outputs
        if engine is None or outputs is None:
            raise SentryFuseError("activated without being configured; configure the node first")
        ros_clock = self.get_clock()
        simulated = self.get_parameter("use_sim_time").value

        def ros_now_ns() -> int:
            return ros_clock.now().nanoseconds

        paced = SimulatedClock(ros_now_ns) if simulated else None
        host = Host(
            clock=paced or SteadyClock(),
            simulated=bool(simulated),
            ros_now_ns=paced.ros_now_ns if paced else ros_now_ns,
            node=self.get_fully_qualified_name(),
            paused_s=lambda: paced.paused_s if paced else 0.0,
            problems=lambda: self._inputs.problems() if self._inputs else {},
            catch_up=lambda: catch_up(self.executor),
            logger=self.get_logger(),
        )
        session = Session(
            config=self.config,
            engine=engine,
            outputs=outputs,
            host=host,
            topics=sensor_topics(self, self.config),
            frames=self._frames,
            notes=self._notes(),
        )
        started_s = time.perf_counter()
        session.pipeline.warm_up()
        self.get_logger().info(
            f"{engine.bank.identity} on {engine.backend.device}, "
            f"warmed up in {time.perf_counter() - started_s:.1f} s"
        )
        self._session = session
        # What is loaded by now stays. Looked through again and again, it would cost every full collection
        # a tenth of a second in which no message is taken in.
        gc.collect()
        gc.freeze()

    def _listen(self) -> None:
        session = self._session
        if session is None:
            raise SentryFuseError("nothing to listen for; activate the node first")
        session.start()
        self._inputs = Inputs(self, self.config, session)
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self._timers_on = [
            self.create_timer(period_s, partial(session.guarded, what, work), clock=steady)
            for period_s, what, work in (
                (self.config.output.diagnostics_period_s, "diagnostics", session.publish_diagnostics),
                (_BEAT_S, "heartbeat", session.listen),
                (_GRAPH_POLL_S, "graph", self._poll_graph),
                (_MACHINE_POLL_S, "machine", session.read_machine),
            )
        ]
        back = Duration(nanoseconds=-round(self.config.sync.jump_back_s * 1e9))
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=back, on_clock_change=True),
            post_callback=lambda jump: session.on_jump(
                f"the ROS clock moved by {jump.delta.nanoseconds / 1e9:.3f} s"
            ),
        )

    def _poll_graph(self) -> None:
        inputs, session = self._inputs, self._session
        if inputs is not None and session is not None:
            inputs.poll()
            for modality, names in inputs.publishers.items():
                session.on_publishers(modality, names)

    def _deactivate(self) -> None:
        if self._jumps is not None:
            self._jumps.unregister()
            self._jumps = None
        for timer in self._timers_on:
            self.destroy_timer(timer)
        self._timers_on = []
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        if self._session is not None:
            self._session.close()
            self._session = None

    def _clean_up(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        if self._frames is not None:
            self._frames.close()
            self._frames = None
        self._engine = None
        gc.unfreeze()

    def _free(self) -> None:
        self._deactivate()
        self._clean_up()

    def _reconfigure(self, config: Config) -> None:
        self.config = config
        if self._engine is not None:
            self._engine.budget.config = config.budget
        if self._session is not None:
            self._session.reconfigure(config)

    def _transition(
        self,
        work: Callable[[], None],
        base: Callable[[LifecycleState], TransitionCallbackReturn],
        state: LifecycleState,
        *,
        then: Callable[[], None] = lambda: None,
        undo: Callable[[], None],
    ) -> TransitionCallbackReturn:
        """Do the work of a transition; rclpy would swallow what it raises without a word."""
        try:
            work()
            done = base(state)
            then()
        except SentryFuseError as error:
            self.failure = error
            undo()
            if not self._starting:  # `start` raises it for the caller to tell
                self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:  # noqa: BLE001 - a bug; rclpy calls on_error next, which lets go of everything
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return done

    def _notes(self) -> tuple[str, ...]:
        """What this machine, or this version, lacks."""
        notes = []
        if not tf2_available():
            notes.append("tf2 not installed: extrinsics from parameters")
        if not vision_msgs_available():
            notes.append("vision_msgs not installed: ~/detections_3d is off")
        if not events_executor_available():
            notes.append("this rclpy has no events executor: the slower single-threaded one runs")
        return (*notes, *middleware.shared_memory_notes())


def main(args: list[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM; exit status 2 after an error, told in one line."""
    sys.exit(run_node(_make, args=args))


def _make(_stop: Stop) -> FusionNode:
    node = FusionNode()
    if node.autostart:
        try:
            node.start()
        except SentryFuseError:
            node.destroy_node()
            raise
    else:
        node.get_logger().info("unconfigured: waiting for a lifecycle manager to configure and activate it")
    return node


if __name__ == "__main__":
    main()
