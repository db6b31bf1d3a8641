"""What runs while the node is active: messages into the ingest, sets through the pipeline, results out."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from sentryfuse_core.account.diagnostics import NODE_NAME, WARN, Diagnostics, diagnostic_array, status_name
from sentryfuse_core.account.messages import PublishContext
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.health.heartbeat import Heartbeat
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.text import bounded
from sentryfuse_core.types import FusionResult, SensorState, SyncedSet
from sentryfuse_ros.assumed import Assumptions
from sentryfuse_ros.causes import Causes
from sentryfuse_ros.clocks import Clocks
from sentryfuse_ros.engine import Engine
from sentryfuse_ros.failed import failed_result, idle_result
from sentryfuse_ros.frames import TransformTree
from sentryfuse_ros.problems import Problem
from sentryfuse_ros.publish import Outputs
from sentryfuse_ros.worker import Worker

__all__ = ["Host", "Session"]

_DIAGNOSTICS_GAP_NS = NS_PER_S // 10  # transitions are told at once, but not more often than this
_BACKLOG_NS = NS_PER_S // 2  # after a stall, until the sets that piled up meanwhile are through
_KINDS = 64  # of errors that are counted by name; the others are counted together
_PATIENCE_NS = 5 * NS_PER_S  # after activation, before the log says which sensors bring nothing


@dataclass(frozen=True, kw_only=True)
class Host:
    """What the node lends to a session."""

    clocks: Clocks
    problems: Callable[[], dict[str, Problem]]
    catch_up: Callable[[], None]
    logger: RcutilsLogger
    node: str = NODE_NAME  # full name


class Session:
    """One activation; its `on_*` methods are called by the executor, the rest of the work is the worker's."""

    def __init__(
        self,
        *,
        config: Config,
        engine: Engine,
        outputs: Outputs,
        host: Host,
        topics: dict[str, str],
        frames: TransformTree | None,
        notes: tuple[str, ...],
    ) -> None:
        self._config = config
        self._engine = engine
        self._outputs = outputs
        self._host = host
        self._clock = host.clocks.steady
        engine.preprocessor.placer.transforms = self._frames = frames
        self._notes = notes
        self._assumed = Assumptions(config, engine.preprocessor, host.logger, topics=topics)
        self._ingest = Ingest(config, topics=topics, on_ready=self._wake)
        self._forget_moved()  # time may have jumped while nobody listened
        self.pipeline = Pipeline(
            config,
            ingest=self._ingest,
            preprocessor=engine.preprocessor,
            bank=engine.bank,
            backend=engine.backend,
            budget=engine.budget,
            clock=self._clock,
        )
        self._worker = Worker(
            self._ingest,
            clock=self._clock,
            catch_up=host.catch_up,
            heard_ns=self._heard_ns,
            handle=self._handle,
            idle=self._tell,
            report=self._failed,
        )
        self._heart = Heartbeat()
        self._beating = False  # whether somebody promised to call `listen` again and again
        self._stalled_ns = 0  # machine's time at which the last stall ended; the executor's
        self._arrival_ns = 0  # steady time at which the last message came
        self._started_ns = 0
        self._last_set: SyncedSet | None = None  # the worker's, as is the next
        self._skipped = 0  # of the worker's and the ingest's, as of the last set
        self._said_ns = 0  # steady time of the last status
        self._causes = Causes(host.problems, host.logger)
        self._clockless = False  # whether it was logged that no /clock comes
        self._odometry = ""  # code of what was wrong with it
        self._odometry_logged = False  # whether that was
        self._lock = threading.Lock()  # guards the next three
        self._diagnostics = Diagnostics(config, node=host.node)
        self._counters: Counter[str] = Counter()
        self._diagnosed_ns = 0

    def _wake(self) -> None:
        self._worker.wake()  # made after the ingest

    def start(self) -> None:
        """Begin to handle sets."""
        self._started_ns = self._clock.now_ns()
        self._worker.start()

    def close(self) -> None:
        """End after the set in hand."""
        self._worker.stop()

    def reconfigure(self, config: Config) -> None:
        """Take over options that may change at run time; the next set is handled with them."""
        self._config = config
        self.pipeline.model_options = config.model
        self.pipeline.tracking_options = config.tracking
        with self._lock:
            self._diagnostics.reconfigure(config.budget)

    def on_sensor(self, name: str, message: Any, type_name: str, waited_ns: int) -> None:
        """Stamp, check and enqueue one message of a sensor that came `waited_ns` ago."""
        arrival_ns, received_ns = self._host.clocks.came(waited_ns)
        # Never before the one handled last, however the two clocks behind `waited_ns` are set.
        self._arrival_ns = max(self._arrival_ns, arrival_ns)
        try:
            if self._beating:  # before the message: a time without listening must not look like its silence
                self.listen()
            self._ingest.message(
                name,
                message,
                type_name=type_name,
                arrival_ns=self._arrival_ns,
                received_ns=received_ns,
            )
            self._follow_epoch()
        except Exception as error:  # noqa: BLE001 - the callback's boundary: what escapes would end the node
            self._failed(error)
        self._worker.wake_by(self._ingest.next_deadline_ns())

    def listen(self) -> None:
        """Note that the executor is at work, and what it missed; call it a few times within a timeout."""
        self._beating = True
        now_ns = time.monotonic_ns()
        stall = self._heart.listen(now_ns, self._clock.now_ns(), slept_ns=_slept_ns())
        if stall is None:
            return
        self._ingest.stalled(stall)
        if not stall.told:
            return
        self._stalled_ns = now_ns
        self._host.logger.warning(f"{stall.reason}; {stall.remedy}")
        with self._lock:
            self._diagnostics.stalled(stall, now_ns=self._clock.now_ns())

    def _stalled(self) -> bool:
        """Whether the node did not listen a moment ago, or does not right now."""
        now_ns = time.monotonic_ns()
        deaf = self._heart.heard_ns(now_ns, now_ns) < now_ns
        return deaf or bool(self._stalled_ns and now_ns - self._stalled_ns < _BACKLOG_NS)

    def _heard_ns(self, clock_ns: int) -> int:
        now_ns = time.monotonic_ns()
        self._heart.work(now_ns)
        return self._heart.heard_ns(now_ns, clock_ns)

    def on_publishers(self, name: str, names: Sequence[str]) -> None:
        """Take over who publishes on a sensor's topic."""
        self._ingest.observe_publishers(name, names, self._clock.now_ns())

    def on_camera_info(self, message: Any, name: str) -> None:
        """Take over a camera's intrinsics."""
        self.guarded("camera_info", lambda: self._assumed.take_camera_info(message, name))

    def on_audio_info(self, message: Any, name: str) -> None:
        """Take over rate, channels and encoding of a sensor's audio that does not say them itself."""
        self.guarded("audio_info", lambda: self._ingest.audio_info(message, name))

    def on_odometry(self, message: Any) -> None:
        """Take in how the robot moves."""
        self.guarded("odometry", lambda: self._ingest.odometry(message))

    def on_battery(self, message: Any) -> None:
        """Tell the budget how full the battery is."""
        self.guarded("battery", lambda: self._engine.take_battery(message))

    def on_budget(self, message: Any) -> None:
        """Take over a budget."""
        self.guarded("budget", lambda: self._engine.take_budget(message, self._clock.now_ns()))

    def read_machine(self) -> None:
        """Tell the budget how much power the machine draws and how hot it is."""
        self._engine.read_machine(self._clock.now_ns())

    def on_jump(self, reason: str) -> None:
        """Start anew after a jump of the clock that stamps are compared with."""
        self._ingest.jump(self._clock.now_ns())
        self._forget_moved()
        self._host.logger.warning(f"time jump: {reason}; starting anew")

    def _follow_epoch(self) -> None:
        """Notice a jump that only stamps tell, before a set is placed by transforms of another time."""
        if self._ingest.epoch != self._epoch:
            self._forget_moved()

    def _forget_moved(self) -> None:
        """Forget transforms that may be of another time: tf2 would refuse those that are older."""
        self._epoch = self._ingest.epoch
        if self._frames is not None:
            self._frames.clear()

    def publish_diagnostics(self) -> None:
        """Publish the state of everything."""
        now_ns = self._clock.now_ns()
        paused_s = self._host.clocks.paused_s()
        reports = self._causes.explained(self._ingest.reports(now_ns))
        if now_ns - self._started_ns >= _PATIENCE_NS:
            self._causes.log(reports)
        streams = self._ingest.sync_counters()
        with self._lock:
            node = {
                **self._counters,
                "skipped": self._worker.skipped,
                "untaken": self._ingest.overflowed,
                "wake_errors": self._ingest.callback_errors,
            }
            counters = {**streams, "node": node}
            busy_s = self._heart.busy_s(time.monotonic_ns())
            statuses = self._diagnostics.statuses(
                reports=reports,
                counters=counters,
                budget=self._engine.budget.account(),
                placements=self._engine.preprocessor.placer.placements,
                ego=self._ingest.ego,
                now_ns=now_ns,
                busy_s=busy_s,
            )
            self._diagnosed_ns = time.monotonic_ns()
        if paused_s > 0:
            missing = self._host.clocks.missing
            if missing and paused_s >= _PATIENCE_NS / NS_PER_S and not self._clockless:
                self._clockless = True
                self._host.logger.warning(missing)
            message = f"PAUSED: /clock has not moved for {paused_s:.1f} s; sensors keep their states"
            message = missing or message
            name = status_name(self._host.node, "sync")
            sync = next(status for status in statuses if status["name"] == name)
            sync.update(level=WARN, message=message)
        self._outputs.publish_diagnostics(diagnostic_array(self._host.clocks.ros_now_ns(), statuses))

    def _handle(self, synced: SyncedSet) -> None:
        """Run the pipeline on one set and publish what it made of it."""
        began_ns = time.monotonic_ns()
        self._follow_epoch()
        result, failed = self._step(synced)
        self._last_set = synced
        self._assumed.log_poses()
        self._log_odometry()
        try:
            self._assumed.look(synced)
        except Exception as error:  # noqa: BLE001 - a check must not cost a set
            self._failed(error)
        result = replace(result, reports=self._causes.explained(result.reports))
        now_ns = self._clock.now_ns()
        e2e_ms = result.times.age + (now_ns - synced.anchor_arrival_ns) / NS_PER_MS
        limit_ms = self._config.output.max_output_age_s * 1e3
        stale = e2e_ms > limit_ms
        waited = self._stalled()
        if stale and waited:  # told as what the node did, and over with this set
            text = _too_old(e2e_ms, limit_ms)
            result = replace(result, notes=(*result.notes, f"{text}; it waited while the node did not run"))
        elif stale:
            result = replace(result, errors=(*result.errors, _stale(result, e2e_ms, limit_ms)))
        context = self._context(result, e2e_ms=e2e_ms)
        if stale or failed:
            self._outputs.publish_status(result, context)
        else:
            self._outputs.publish(result, context, config=self._config.output)
        self._said_ns = now_ns
        skipped = self._worker.skipped + self._ingest.overflowed - self._skipped
        self._skipped += skipped
        if not (waited or failed):
            done_ns = time.monotonic_ns()
            self._engine.budget.observe_pace(
                done_ns,
                skipped=skipped,
                busy_ms=(done_ns - began_ns) / NS_PER_MS,
                level=result.plan.level,
            )
        with self._lock:
            self._counters["stale"] += stale
            self._diagnostics.add(
                result,
                e2e_ms=e2e_ms,
                now_ns=now_ns,
                deadline_ms=context.deadline_ms,
                skipped=skipped,
                published=not (stale or failed),
                excused=waited,
            )

    def _log_odometry(self) -> None:
        """Say that odometry is not used and why, and after each time that was said that it is again."""
        ego, before = self._ingest.ego, self._odometry
        self._odometry = ego.code
        if ego.code and ego.code != before:
            said = self._count(f"odometry_{ego.code}", f"odometry is not used: {ego.problem}")
            self._odometry_logged |= said
        elif before and not ego.code and self._odometry_logged:
            self._odometry_logged = False
            self._host.logger.info("odometry is used again")

    def _context(self, result: FusionResult, *, e2e_ms: float) -> PublishContext:
        with self._lock:
            warnings = self._diagnostics.warnings(self._clock.now_ns())
        if missing := self._host.clocks.missing:
            warnings = (*warnings, missing)
        return PublishContext(
            published_ns=self._host.clocks.ros_now_ns(),
            checkpoint=self._engine.bank.identity,
            base_frame=self._config.output.base_frame,
            e2e_ms=e2e_ms,
            deadline_ms=self._engine.budget.latency_ms,
            power_w=self._engine.budget.power_w,
            skipped_sets=self._worker.skipped,
            notes=(*self._notes, *self._assumed.notes(result)),
            warnings=warnings,
        )

    def _say_idle(self, now_ns: int) -> None:
        """Go on with the status at the pace of ticks when no sensor is left to make a set of."""
        last = self._last_set
        if last is None or now_ns - self._said_ns < round(self._config.sync.tick_period_s * NS_PER_S):
            return
        reports = self._ingest.reports(now_ns)
        if any(report.state in (SensorState.OK, SensorState.DEGRADED) for report in reports.values()):
            return
        with self._lock:
            self._diagnostics.idle()
        ros_now_ns = self._host.clocks.ros_now_ns()
        result = idle_result(self.pipeline, last, now_ns=now_ns, ros_now_ns=ros_now_ns)
        result = replace(result, reports=self._causes.explained(result.reports))
        self._outputs.publish_status(result, self._context(result, e2e_ms=math.nan))
        self._said_ns = now_ns

    def _step(self, synced: SyncedSet) -> tuple[FusionResult, bool]:
        """What the pipeline made of the set, or the account of its failure and True."""
        try:
            return self.pipeline.step(synced), False
        except Exception as error:  # noqa: BLE001 - counted, logged and published; the next set is handled
            self._failed(error)
            return failed_result(self.pipeline, synced, error, now_ns=self._clock.now_ns()), True

    def _tell(self, now_ns: int) -> None:
        """Log transitions and publish diagnostics because of them, within the rate allowed."""
        self._say_idle(now_ns)
        transitions = self._ingest.take_transitions()
        # From the steady clock to the one of the stamps.
        ahead_ns = self._host.clocks.ros_now_ns() - self._clock.now_ns() if transitions else 0
        for item in transitions:
            change = f"{item.sensor}: {item.before.name} -> {item.after.name}"
            text = bounded(": ".join(part for part in (change, item.reason, item.remedy) if part))
            if item.after is SensorState.OK:
                self._host.logger.info(text)
            else:
                self._host.logger.warning(text)
        with self._lock:
            for item in transitions:
                self._diagnostics.note(item, stamp_ns=item.at_ns + ahead_ns)
            since_ns = time.monotonic_ns() - self._diagnosed_ns
            due = self._diagnostics.untold and since_ns >= _DIAGNOSTICS_GAP_NS
        if due:
            self.publish_diagnostics()
        self.pipeline.warm_up_more()

    def guarded(self, what: str, action: Callable[[], None]) -> None:
        """Run a callback's work; what it raises is counted and logged, since it would end the node."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the callback's boundary
            self._count(f"{what}_{getattr(error, 'reason', type(error).__name__)}", error)

    def _failed(self, error: Exception) -> None:
        self._count(type(error).__name__, error)

    def _count(self, key: str, error: Exception | str) -> bool:
        """Whether it was logged, too: an error that keeps coming does not fill the log."""
        with self._lock:
            if key not in self._counters and len(self._counters) >= _KINDS:
                key = "other_errors"
            self._counters[key] += 1
            count = self._counters[key]
        if logged := count & (count - 1) == 0:  # 1, 2, 4, 8, ...
            self._host.logger.warning(bounded(f"{key} ({count} so far): {' '.join(str(error).split())}"))
        return logged


def _slept_ns() -> int:
    """How long the machine has been suspended since it was started, or less; 0 where it does not tell."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


def _too_old(e2e_ms: float, limit_ms: float) -> str:
    return f"stale output withheld: {e2e_ms:.0f} ms old, output.max_output_age_s allows {limit_ms:.0f} ms"


def _stale(result: FusionResult, e2e_ms: float, limit_ms: float) -> str:
    text = _too_old(e2e_ms, limit_ms)
    if result.times.age > limit_ms:
        return f"{text}; the stamps are old: with a recording, play its clock and set use_sim_time"
    return f"{text}; set a latency budget or a faster device"
