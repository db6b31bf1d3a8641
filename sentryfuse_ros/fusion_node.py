"""The node `sentryfuse`: a lifecycle around one session of the pipeline."""

from __future__ import annotations

import gc
import importlib
import math
import time
import traceback
from collections.abc import Callable
from concurrent import futures
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future

from sentryfuse_core.config import Config
from sentryfuse_core.errors import SentryFuseError
from sentryfuse_core.loading import loading
from sentryfuse_ros import middleware
from sentryfuse_ros.arrival import catch_up
from sentryfuse_ros.aside import Aside
from sentryfuse_ros.clocks import clocks_of
from sentryfuse_ros.frames import TransformTree, tf2_available
from sentryfuse_ros.params import declare_config, follow_changes
from sentryfuse_ros.publish import Outputs, vision_msgs_available
from sentryfuse_ros.spin import Stop, events_executor_available, run_process
from sentryfuse_ros.subscribe import Inputs, sensor_topics

if TYPE_CHECKING:
    from lifecycle_msgs.srv import ChangeState

    from sentryfuse_ros.engine import Engine
    from sentryfuse_ros.session import Session

__all__ = ["FusionNode", "main"]

_FIXED = ParameterDescriptor(
    description="configure and activate at once, without a lifecycle manager", read_only=True
)
_MACHINE_POLL_S = 1.0  # how often power and heat are read
_BEAT_S = 0.05  # how often the executor shows that it listens, also while no sensor sends
_GRAPH_POLL_S = 0.25  # how soon a publisher of audio, or of a wrong type, is noticed


class FusionNode(LifecycleNode):
    """Configuring loads the network, activating warms it up and listens; each is undone by its opposite."""

    def __init__(
        self,
        *,
        on_failure: Callable[[SentryFuseError], None] | None = None,
        ahead: futures.Future[None] | None = None,
        **options: Any,
    ) -> None:
        """`ahead` loads what configuring waits for."""
        # Before anything can raise: rclpy destroys a node that was not made to its end, too.
        self.failure: SentryFuseError | None = None
        self._on_failure = on_failure
        self._ahead = ahead
        self._aside = Aside()
        self._starting = False
        self._engine: Engine | None = None
        self._outputs: Outputs | None = None
        self._frames: TransformTree | None = None
        self._session: Session | None = None
        self._inputs: Inputs | None = None
        self._timers_on: list[Any] = []
        self._jumps: Any = None
        self._memory = middleware.shared_memory_notes()
        super().__init__("sentryfuse", **options)
        self._change_state_here = self._service_change_state.callback
        self._service_change_state.callback = self._change_state
        self.autostart = bool(self.declare_parameter("autostart", value=True, descriptor=_FIXED).value)
        self.config = declare_config(self)
        follow_changes(self, lambda: self.config, self._reconfigure)

    def start(self) -> None:
        """Configure and activate once an executor spins; what stands in the way goes to `on_failure`."""

        def begin() -> None:
            self.destroy_timer(timer)
            self._aside.start(self.executor, self._start)

        timer = self.create_timer(0.0, begin, clock=RosClock(clock_type=ClockType.STEADY_TIME))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, make the backend, advertise."""
        return self._transition(state, super().on_configure, slow=self._load, work=self._advertise)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run the sub-networks that are needed first, then subscribe."""
        return self._transition(
            state, super().on_activate, slow=self._warm_up, then=self._listen, undo=self._deactivate
        )

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and working."""
        return self._transition(state, super().on_deactivate, work=self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the network and the publishers."""
        return self._transition(state, super().on_cleanup, work=self._clean_up)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything, from whichever state."""
        return self._transition(state, super().on_shutdown, work=self._free)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything; the node can be configured again."""
        return self._transition(state, super().on_error, work=self._free)

    def destroy_node(self) -> None:
        """Let go of everything and end."""
        self._aside.end()
        self._free()
        super().destroy_node()
        # rclpy leaves it, and it keeps the participant: others would see the node for 20 s after its end.
        machine = getattr(self, "_state_machine", None)  # a node that was not made to its end has none
        if machine is not None:
            machine.destroy_when_not_in_use()

    def _start(self) -> None:
        self._starting = self._on_failure is not None
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() is not TransitionCallbackReturn.SUCCESS:
                unknown = SentryFuseError("the node cannot start; its log has the traceback")
                if self._on_failure is not None:
                    self._on_failure(self.failure or unknown)
                break
        self._starting = False

    async def _change_state(self, request: ChangeState.Request, response: ChangeState.Response) -> Any:
        """Answer the service once the transition is through; other services are answered meanwhile."""
        through: Future[Any] = Future(executor=self.executor)
        change = partial(self._change_state_here, request, response)
        if not self._aside.start(self.executor, change, then=through.set_result):
            self.get_logger().warning("a transition is under way; ask again when it is through")
            return response  # not successful
        return await through

    def _load(self) -> Engine:
        # Not at the top: it brings the network's runtime, and a misspelt parameter is told without that.
        if self._ahead is not None:
            self._ahead.result()  # raises what its imports did
        with loading():
            from sentryfuse_ros.engine import Engine

            return Engine.load(self.config)

    def _advertise(self, engine: Engine) -> None:
        engine.budget.config = self.config.budget  # which may have changed meanwhile
        self._engine = engine
        # Kept over a clean-up: tf2's subscriptions have event callbacks (see qos.QUIET_SUBSCRIPTION).
        if self._frames is None and self.config.output.extrinsics == "auto" and tf2_available():
            self._frames = TransformTree(self, base_frame=self.config.output.base_frame)
        self._outputs = Outputs(self)
        self._publish_classes()

    def _warm_up(self) -> Session:
        from sentryfuse_ros.session import Host, Session

        engine, outputs = self._engine, self._outputs
        if engine is None or outputs is None:
            raise SentryFuseError("activated without being configured; configure the node first")
        host = Host(
            clocks=clocks_of(self),
            node=self.get_fully_qualified_name(),
            problems=lambda: self._inputs.problems if self._inputs else {},
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
        if math.isnan(engine.budget.latency_ms):
            session.pipeline.warm_up_first()
        else:  # the first set's level goes by what every sub-network takes
            session.pipeline.warm_up()
        self.get_logger().info(
            f"{engine.bank.identity} on {engine.backend.device}, "
            f"warmed up in {time.perf_counter() - started_s:.1f} s"
        )
        # What is there by now stays, as what was loaded does. Looked through again and again, it would cost
        # every full collection a tenth of a second in which no message is taken in.
        gc.collect()
        gc.freeze()
        return session

    def _listen(self, session: Session) -> None:
        self._session = session
        session.reconfigure(self.config)  # which may have changed meanwhile
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
            for name, publishers in inputs.publishers.items():
                session.on_publishers(name, publishers)

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
        gc.unfreeze()  # else the session, which is in circles, would never be found to be garbage

    def _clean_up(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        self._engine = None

    def _free(self) -> None:
        self._deactivate()
        self._clean_up()

    def _publish_classes(self) -> None:
        if self._outputs is not None and self._engine is not None:
            self._outputs.publish_classes(self._engine.bank, self.config)

    def _reconfigure(self, config: Config) -> None:
        changed = config.model.score_threshold != self.config.model.score_threshold
        self.config = config
        if changed:
            self._publish_classes()
        if self._engine is not None:
            self._engine.budget.config = config.budget
        if self._session is not None:
            self._session.reconfigure(config)

    def _transition(
        self,
        state: LifecycleState,
        base: Callable[[LifecycleState], TransitionCallbackReturn],
        *,
        slow: Callable[[], Any] = lambda: None,
        work: Callable[..., None] = lambda *_: None,
        then: Callable[..., None] = lambda *_: None,
        undo: Callable[[], None] | None = None,
    ) -> TransitionCallbackReturn:
        """Do a transition's work; what it raises, rclpy would swallow without a word.

        `slow` may be done beside the executor, the rest is the executor's: `work` and, once rclpy's own
        part is done, `then`, both with what `slow` made.
        """

        def finish(*made: Any) -> TransitionCallbackReturn:
            work(*made)
            done = base(state)
            then(*made)
            return done

        self.failure = None
        try:
            made = slow()
            given = () if made is None else (made,)
            return self._aside.hand_back(lambda: finish(*given))
        except SentryFuseError as error:
            self.failure = error
            self._aside.hand_back(undo or self._free)
            if not self._starting:  # else `on_failure` gets it, to tell
                self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:  # noqa: BLE001 - a bug; rclpy calls on_error next, which lets go of everything
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR

    def _notes(self) -> tuple[str, ...]:
        """What this machine, or this version, lacks."""
        lacking = {
            "tf2 not installed: extrinsics from parameters": not tf2_available(),
            "vision_msgs not installed: ~/detections_3d is off": not vision_msgs_available(),
            "this rclpy has no events executor: the slower single-threaded one runs": (
                not events_executor_available()
            ),
        }
        return (*(note for note, lacks in lacking.items() if lacks), *self._memory)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM; exit status 2 after an error, told in one line."""
    run_process(_make, args=args)


def _make(stop: Stop) -> FusionNode:
    # DDS takes a fifth of a second to let a node in, and most of that without Python: torch begins meanwhile.
    loader = futures.ThreadPoolExecutor(1, thread_name_prefix="sentryfuse-load")
    node = FusionNode(on_failure=stop.request, ahead=loader.submit(_load_ahead))
    loader.shutdown(wait=False)
    if node.autostart:
        node.start()
    else:
        node.get_logger().info("unconfigured: waiting for a lifecycle manager to configure and activate it")
    return node


def _load_ahead() -> None:
    """Import what `_load` does, torch above all."""
    with loading():
        importlib.import_module("sentryfuse_ros.engine")


if __name__ == "__main__":
    main()
