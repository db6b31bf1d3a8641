"""What runs while the node is active: messages into the ingest, sets through the pipeline, results out."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from sentryfuse_core.budget import BudgetController
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S, Clock
from sentryfuse_core.config import Config
from sentryfuse_core.convert import camera_info
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.machine import MachineMonitor
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.replay.diagnostics import WARN, Diagnostics, diagnostic_array
from sentryfuse_core.replay.messages import PublishContext
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.load import load_bank, make_backend
from sentryfuse_core.types import FusionResult, Modality, SensorState, SyncedSet
from sentryfuse_ros.causes import Causes
from sentryfuse_ros.failed import failed_result, idle_result
from sentryfuse_ros.frames import TransformTree
from sentryfuse_ros.publish import Outputs
from sentryfuse_ros.subscribe import Problem
from sentryfuse_ros.worker import Worker

__all__ = ["Engine", "Host", "Session"]

_DIAGNOSTICS_GAP_NS = NS_PER_S // 10  # transitions are told at once, but not more often than this
_MOST_POSED = 100  # lines about poses in the log, however often a driver changes its frame
_PATIENCE_NS = 5 * NS_PER_S  # after activation, before the log says which sensors bring nothing


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What is expensive to load, kept from configuration to clean-up."""

    bank: Bank
    backend: Backend
    preprocessor: Preprocessor
    budget: BudgetController
    machine: MachineMonitor

    @classmethod
    def load(cls, config: Config) -> Engine:
        """Load the weights and make the backend; raises CheckpointError or BackendError with the remedy."""
        bank = load_bank(config.model)
        backend = make_backend(bank, config.model)
        return cls(
            bank=bank,
            backend=backend,
            preprocessor=Preprocessor(config),
            budget=BudgetController(config.budget, levels=bank.levels, maps=bank.maps()),
            machine=MachineMonitor.of_device(backend.device),
        )


@dataclass(frozen=True, kw_only=True)
class Host:
    """What the node lends to a session."""

    clock: Clock  # steady
    simulated: bool  # both clocks follow /clock
    ros_now_ns: Callable[[], int]  # the clock that stamps are compared with
    paused_s: Callable[[], float]  # how long simulated time has been standing still
    problems: Callable[[], dict[Modality, Problem]]
    catch_up: Callable[[], None]
    logger: RcutilsLogger


class Session:
    """One activation; its `on_*` methods are called by the executor, the rest of the work is the worker's."""

    def __init__(
        self,
        *,
        config: Config,
        engine: Engine,
        outputs: Outputs,
        host: Host,
        topics: dict[Modality, str],
        frames: TransformTree | None,
        notes: tuple[str, ...],
    ) -> None:
        self._config = config
        self._engine = engine
        self._outputs = outputs
        self._host = host
        engine.preprocessor.placer.transforms = self._frames = frames
        self._notes = notes
        self._ingest = Ingest(config, topics=topics, on_ready=self._wake)
        self.pipeline = Pipeline(
            config,
            ingest=self._ingest,
            preprocessor=engine.preprocessor,
            bank=engine.bank,
            backend=engine.backend,
            budget=engine.budget,
            clock=host.clock,
        )
        self._worker = Worker(
            self._ingest,
            clock=host.clock,
            catch_up=host.catch_up,
            handle=self._handle,
            idle=self._tell,
            report=self._failed,
        )
        self._arrival_ns = 0  # steady time at which the last message came
        self._started_ns = 0
        self._last_set: SyncedSet | None = None  # the worker's, as is the next
        self._posed: dict[Modality, str] = {}  # the worker's: what is said of each pose,
        self._posed_texts: set[str] = set()  # and what was logged of any
        self._said_ns = 0  # steady time of the last status
        self._causes = Causes(host.problems, host.logger)
        self._lock = threading.Lock()  # guards the next three
        self._diagnostics = Diagnostics(config)
        self._counters: Counter[str] = Counter()
        self._diagnosed_ns = 0

    def _wake(self) -> None:
        self._worker.wake()  # made after the ingest

    def start(self) -> None:
        """Begin to handle sets."""
        self._started_ns = self._host.clock.now_ns()
        self._worker.start()

    def close(self) -> None:
        """End after the set in hand."""
        self._worker.stop()

    def reconfigure(self, config: Config) -> None:
        """Take over options that may change at run time; the next set is handled with them."""
        self._config = config
        self.pipeline.model_options = config.model

    def on_sensor(self, modality: Modality, message: Any, type_name: str, waited_ns: int) -> None:
        """Stamp, check and enqueue one message of a sensor that came `waited_ns` ago."""
        if self._host.simulated:
            waited_ns = 0  # /clock waited in the same queue: on that time the message comes now
        # Never before the one handled last, however the two clocks behind `waited_ns` are set.
        self._arrival_ns = max(self._arrival_ns, self._host.clock.now_ns() - waited_ns)
        try:
            self._ingest.message(
                modality,
                message,
                type_name=type_name,
                arrival_ns=self._arrival_ns,
                received_ns=self._host.ros_now_ns() - waited_ns,
            )
        except Exception as error:  # noqa: BLE001 - the callback's boundary: what escapes would end the node
            self._failed(error)
        self._worker.wake_by(self._ingest.next_deadline_ns())

    def on_camera_info(self, message: Any) -> None:
        """Take over the camera's intrinsics."""
        self.guarded("camera_info", lambda: self._engine.preprocessor.set_intrinsics(camera_info(message)))

    def on_battery(self, message: Any) -> None:
        """Tell the budget how full the battery is."""
        self.guarded("battery", lambda: self._engine.budget.update_battery(_charge(message)))

    def on_budget(self, message: Any) -> None:
        """Take over a budget."""

        def take() -> None:
            latency_ms, power_w = _limit("latency_ms", message), _limit("power_w", message)
            if message.level < -1:
                raise InvalidMessageError("bad_level", f"level {message.level}; give -1 or a level")
            now_ns = self._host.clock.now_ns()
            self._engine.budget.update_budget(latency_ms, power_w, message.level, message.source, now_ns)

        self.guarded("budget", take)

    def read_machine(self) -> None:
        """Tell the budget how much power the machine draws and how hot it is."""
        self._engine.budget.update_machine(self._engine.machine.poll(self._host.clock.now_ns()))

    def on_jump(self, reason: str) -> None:
        """Start anew after a jump of the clock that stamps are compared with."""
        self._ingest.jump(self._host.clock.now_ns())
        if self._frames is not None:
            self._frames.clear()
        self._host.logger.warning(f"time jump: {reason}; starting anew")

    def publish_diagnostics(self) -> None:
        """Publish the state of everything."""
        now_ns = self._host.clock.now_ns()
        paused_s = self._host.paused_s()
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
            statuses = self._diagnostics.statuses(
                reports=reports,
                counters=counters,
                budget=self._engine.budget.account(),
                placements=self._engine.preprocessor.placer.placements,
                now_ns=now_ns,
            )
            self._diagnosed_ns = time.monotonic_ns()
        if paused_s > 0:
            message = f"PAUSED: /clock has not moved for {paused_s:.1f} s; sensors keep their states"
            sync = next(status for status in statuses if status["name"] == "sentryfuse: sync")
            sync.update(level=WARN, message=message)
        self._outputs.publish_diagnostics(diagnostic_array(self._host.ros_now_ns(), statuses))

    def _handle(self, synced: SyncedSet) -> None:
        """Run the pipeline on one set and publish what it made of it."""
        result, failed = self._step(synced)
        self._last_set = synced
        self._log_poses()
        result = replace(result, reports=self._causes.explained(result.reports))
        now_ns = self._host.clock.now_ns()
        e2e_ms = result.times.age + (now_ns - synced.anchor_arrival_ns) / NS_PER_MS
        limit_ms = self._config.output.max_output_age_s * 1e3
        stale = e2e_ms > limit_ms
        if stale:
            result = replace(result, errors=(*result.errors, _stale(result, e2e_ms, limit_ms)))
        context = self._context(result, e2e_ms=e2e_ms)
        if stale or failed:
            self._outputs.publish_status(result, context)
        else:
            self._outputs.publish(result, context, markers=self._config.output.markers)
        self._said_ns = now_ns
        with self._lock:
            self._counters["stale"] += stale
            self._diagnostics.add(result, e2e_ms=e2e_ms, now_ns=now_ns, deadline_ms=context.deadline_ms)

    def _context(self, result: FusionResult, *, e2e_ms: float) -> PublishContext:
        return PublishContext(
            published_ns=self._host.ros_now_ns(),
            checkpoint=self._engine.bank.identity,
            base_frame=self._config.output.base_frame,
            e2e_ms=e2e_ms,
            deadline_ms=self._engine.budget.latency_ms,
            power_w=self._engine.budget.power_w,
            skipped_sets=self._worker.skipped,
            notes=(*self._notes, *self._assumed(result)),
        )

    def _say_idle(self, now_ns: int) -> None:
        """Go on with the status at the pace of ticks when no sensor is left to make a set of."""
        last = self._last_set
        if last is None or now_ns - self._said_ns < round(self._config.sync.tick_period_s * NS_PER_S):
            return
        reports = self._ingest.reports(now_ns)
        if any(report.state in (SensorState.OK, SensorState.DEGRADED) for report in reports.values()):
            return
        ros_now_ns = self._host.ros_now_ns()
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
            return failed_result(self.pipeline, synced, error, now_ns=self._host.clock.now_ns()), True

    def _tell(self, now_ns: int) -> None:
        """Log transitions and publish diagnostics because of them, within the rate allowed."""
        self._say_idle(now_ns)
        transitions = self._ingest.take_transitions()
        # From the steady clock to the one of the stamps.
        ahead_ns = self._host.ros_now_ns() - self._host.clock.now_ns() if transitions else 0
        for item in transitions:
            change = f"{item.modality.value}: {item.before.name} -> {item.after.name}"
            text = ": ".join(part for part in (change, item.reason, item.remedy) if part)
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

    def _log_poses(self) -> None:
        """Log, once, what is wrong with a pose in use, and when the sensor is placed well again."""
        for modality, placed in self._engine.preprocessor.placer.placements.items():
            text = f"{modality.value} {placed.problem}" if placed.told else ""
            if text == self._posed.get(modality, ""):
                continue
            self._posed[modality] = text
            text = text or f"{modality.value} is placed by {placed.source} now"
            if text in self._posed_texts or len(self._posed_texts) >= _MOST_POSED:
                continue
            self._posed_texts.add(text)
            if placed.told:
                self._host.logger.warning(text)
            else:
                self._host.logger.info(text)

    def _assumed(self, result: FusionResult) -> tuple[str, ...]:
        """What the result took for granted because nobody said otherwise."""
        if Modality.CAMERA in result.used and self._engine.preprocessor.assumed_intrinsics:
            return ("no CameraInfo received: the intrinsics are the parameters camera.fx and so on",)
        return ()

    def guarded(self, what: str, action: Callable[[], None]) -> None:
        """Run a callback's work; what it raises is counted and logged, since it would end the node."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the callback's boundary
            self._count(f"{what}_{getattr(error, 'reason', type(error).__name__)}", error)

    def _failed(self, error: Exception) -> None:
        self._count(type(error).__name__, error)

    def _count(self, key: str, error: Exception) -> None:
        with self._lock:
            self._counters[key] += 1
            count = self._counters[key]
        if count & (count - 1) == 0:  # 1, 2, 4, 8, ...: an error that keeps coming does not fill the log
            self._host.logger.warning(f"{key} ({count} so far): {' '.join(str(error).split())}")


def _charge(message: Any) -> float:
    """Charge of a BatteryState, 0..1; NaN means that the driver does not know."""
    if message.percentage < 0.0 or message.percentage > 1.0:
        raise InvalidMessageError("bad_percentage", f"percentage {message.percentage} is outside 0 .. 1")
    return float(message.percentage)


def _limit(name: str, message: Any) -> float:
    """A limit of a Budget; 0 and NaN mean none."""
    value = float(getattr(message, name))
    if value < 0.0 or math.isinf(value):
        raise InvalidMessageError(f"bad_{name}", f"{name} {value}; give a positive number, or 0 for none")
    return value


def _stale(result: FusionResult, e2e_ms: float, limit_ms: float) -> str:
    text = f"stale output withheld: {e2e_ms:.0f} ms old, output.max_output_age_s allows {limit_ms:.0f} ms"
    if result.times.age > limit_ms:
        return f"{text}; the stamps are old: with a recording, play its clock and set use_sim_time"
    return f"{text}; set a latency budget or a faster device"
