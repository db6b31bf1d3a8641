"""The replay: one recording through the same pipeline as on the robot, on the recording's own time.

Deadlines fire between messages and no set is skipped, so the result does not depend on the machine's
speed; only the latencies of the network's stages are measured by wall clock.
"""

from __future__ import annotations

import gc
import math
import time
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentryfuse_core.account.diagnostics import Diagnostics, diagnostic_array
from sentryfuse_core.bags.arrivals import Arrival, arrivals
from sentryfuse_core.bags.poses import BagTransforms, pose_facts, pose_notes
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.bags.topics import Selection, encodings, select
from sentryfuse_core.bags.undecoded import Undecoded
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S, ManualClock
from sentryfuse_core.config import Config
from sentryfuse_core.errors import BagError
from sentryfuse_core.faults import stamps
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.scenario import Scenario
from sentryfuse_core.health.senders import Senders
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.preprocess.fit import FitCheck
from sentryfuse_core.replay.frames import FrameSampler
from sentryfuse_core.replay.metrics import ANCHORS, event_mapping, output_mapping, sensor_mapping, totals
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.reactions import Altered, cut_off, false_alarms, missed, reactions
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.report_data import ReportFrame
from sentryfuse_core.replay.sets import Sets
from sentryfuse_core.replay.truth import Truth
from sentryfuse_core.runtime.backend import RanBy, ran_by
from sentryfuse_core.runtime.beside import beside, can_run_beside
from sentryfuse_core.types import SensorReport, SensorState, Transition

__all__ = ["Progress", "ReplayOptions", "ReplayResult", "replay"]

_TRANSITION_GAP_NS = 100 * NS_PER_MS  # diagnostics of transitions come at 10 Hz at most
Progress = Callable[[float, float, int], None]  # bag time done and to do in s, sets so far


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """What to replay and how; `seconds` limits it to the start of the recording."""

    bag: Path
    config: Config = field(default_factory=Config)
    topics: dict[str, str] = field(default_factory=dict)
    scenario: Scenario | None = None
    seconds: float | None = None
    truth: Truth | None = None  # boxes to score against, where they are known
    beside: bool = False  # the network on another core, where that can be; the results are the same


@dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """What a replay found, apart from what it wrote as it went."""

    selection: Selection
    metrics: dict[str, Any]  # as in metrics.json
    records: tuple[SetRecord, ...]
    frames: tuple[ReportFrame, ...]
    checkpoint: str
    ran_by: RanBy
    start_ns: int
    notes: tuple[str, ...]
    poses: dict[str, str]  # by sensor, the chain of frames that placed it, or 'parameters'
    interrupted: bool
    damage: BagError | None  # the recording turned out to be damaged on the way


def replay(
    options: ReplayOptions,
    outputs: RunOutputs,
    *,
    pipeline: Callable[..., Pipeline] = Pipeline.build,
    progress: Progress = lambda _done_s, _total_s, _sets: None,
    stop: Callable[[], bool] = lambda: False,
) -> ReplayResult:
    """Run `options.bag` through a pipeline into `outputs`, until its end or until `stop` says so.

    Opens `outputs` once everything else is ready, and closes them.

    Raises BagError, TopicError, CheckpointError or OutputError before anything ran; damage found on the
    way ends the run and is handed back, with the results up to there.
    """
    with BagReader(options.bag) as reader:
        selection = select(reader.topics(), options.topics, config=options.config, encoding=encodings(reader))
        clock = ManualClock(reader.start_ns)
        names = {name: topic.name for name, topic in selection.topics.items()}
        built = pipeline(options.config, clock=clock, topics=names)
        placer = built.preprocessor.placer
        poses = BagTransforms(reader, options.config, tuple(names.values()), placer)
        total_s = min(reader.duration_s, options.seconds or math.inf)
        run = _Run(options, selection, built, clock, outputs, poses, total_s=total_s)
        story = options.scenario
        actions = () if story is None else story.actions
        limits_ms = (options.config.budget.latency_ms, *(action.latency_ms for action in actions))
        if any(limit_ms > 0 for limit_ms in limits_ms):
            built.warm_up()  # inferences whose time is limited at any moment are measured beforehand
        injector = None if story is None else FaultInjector(story, options.config.kinds)
        interrupted, damage = False, None
        began_s = time.perf_counter()
        with outputs, ExitStack() as stack:
            gc.freeze()  # what is there by now stays: it need not be searched for garbage again and again
            stack.callback(gc.unfreeze)
            # Measured inferences that choose the next set's level have to be over by then.
            alone = not options.beside or any(limit_ms > 0 for limit_ms in limits_ms)
            if not alone and can_run_beside(built.backend, threads=options.config.model.threads):
                run.sets.beside = stack.enter_context(beside(built.backend))
            start_ns = reader.start_ns
            try:
                for arrival in arrivals(reader, selection.feeds, injector=injector, seconds=options.seconds):
                    run.take(arrival)
                    progress((arrival.at_ns - start_ns) / NS_PER_S, total_s, len(run.sets.records))
                    if stop():
                        interrupted = True
                        break
                if not interrupted:
                    # Silence of the chosen topics up to the recording's own end is theirs.
                    run.pass_time(start_ns + round(total_s * NS_PER_S))
                run.finish()
                if not interrupted:
                    progress(total_s, total_s, len(run.sets.records))
                damage = run.undecoded.error() or run.unusable()
            except BagError as error:
                damage = error
                run.finish()  # what came before it is judged all the same
        wall_s = time.perf_counter() - began_s
        altered = frozenset() if injector is None else injector.altered
        return run.result(reader, altered, wall_s=wall_s, interrupted=interrupted, damage=damage)


class _Run:
    """State of one replay."""

    def __init__(
        self,
        options: ReplayOptions,
        selection: Selection,
        pipeline: Pipeline,
        clock: ManualClock,
        outputs: RunOutputs,
        poses: BagTransforms,
        *,
        total_s: float,
    ) -> None:
        self._options = options
        self._selection = selection
        self._pipeline = pipeline
        self._clock = clock
        self._outputs = outputs
        self._poses = poses
        self._diagnostics = Diagnostics(options.config)
        self._diagnosed_ns = clock.now_ns()
        self._events: list[Transition] = []
        anchors = (name for kind in ANCHORS for name in options.config.of_kind(kind))
        self._stamps_ns = {name: array("q") for name in anchors}  # an hour of them is long
        self._over = False
        self._end_ns = clock.now_ns()  # of what was played
        self._senders = {name: Senders() for name in selection.topics}
        self._mixed: dict[str, list[str]] = {name: [] for name in selection.topics}
        self.undecoded = Undecoded(options.bag, selection.topics)
        self._reports: dict[str, SensorReport] = {}  # at the end
        self._start_ns = clock.now_ns()
        self._notes: list[str] = [*selection.notes, *selection.intrinsics]
        story = options.scenario
        self._actions = [] if story is None else sorted(story.actions, key=lambda action: action.at_s)
        self._fit = FitCheck(options.config, pipeline.preprocessor.intrinsics)
        self._sampler = FrameSampler(
            options.config,
            start_ns=self._start_ns,
            seconds=total_s,
            faults=() if story is None else story.events,
            truth=options.truth,
        )
        self.sets = Sets(
            options.config,
            pipeline,
            clock,
            outputs,
            diagnostics=self._diagnostics,
            fit=self._fit,
            sampler=self._sampler,
        )

    def take(self, arrival: Arrival) -> None:
        """Let time pass to the arrival, then hand the message over."""
        self._poses.now_ns = arrival.at_ns
        self.pass_time(arrival.at_ns)
        if arrival.sensor is None:
            self._info(arrival)
            return
        self.undecoded.note(arrival)
        self._look_for_mixing(arrival.sensor, arrival.publisher, self._clock.now_ns())
        arrival.hand_to(self._pipeline.ingest)
        if arrival.sensor in self._stamps_ns and (stamp_ns := stamps.stamp_ns(arrival.message)) is not None:
            offset_s = self._options.config.sensor(arrival.sensor).stamp_offset_s
            self._stamps_ns[arrival.sensor].append(stamp_ns - round(offset_s * NS_PER_S))
        self._step_all()

    def _look_for_mixing(self, name: str, publisher: int, now_ns: int) -> None:
        """Tell of several publishers on a topic, where the recording keeps them apart."""
        senders = self._senders[name]
        senders.heard(f"recorded as no. {publisher + 1}", now_ns)
        mixed = senders.mixed(now_ns)
        if not mixed and not self._mixed[name]:
            return
        names = sorted(map(str, mixed))
        if names != self._mixed[name]:
            self._mixed[name] = names
            self._pipeline.ingest.observe_publishers(name, names, now_ns)

    def finish(self) -> None:
        """Let the last sets go: the recording is over, but their wait is not."""
        self._take_transitions()
        # Silence from here on is no fault of the sensors, and no reason to tick.
        self._over = True
        self._end_ns = self._clock.now_ns()
        self._reports = dict(self._pipeline.ingest.reports(self._clock.now_ns()))
        self.pass_time(self._clock.now_ns() + round(self._options.config.sync.max_wait_s * NS_PER_S))
        self._report(self._clock.now_ns())

    def pass_time(self, until_ns: int) -> None:
        """Fire every deadline up to `until_ns` at its own time, then stand at `until_ns`."""
        last_ns = -1
        while True:
            deadline_ns = self._pipeline.ingest.next_deadline_ns()
            if deadline_ns is None or deadline_ns > until_ns or deadline_ns <= last_ns:
                break
            last_ns = deadline_ns
            self._advance(deadline_ns)
        self._advance(until_ns)

    def _advance(self, now_ns: int) -> None:
        self._clock.set(max(now_ns, self._clock.now_ns()))
        now_ns = self._clock.now_ns()
        while self._actions and self._start_ns + round(self._actions[0].at_s * NS_PER_S) <= now_ns:
            action = self._actions.pop(0)
            self._pipeline.budget.update_budget(
                latency_ms=action.latency_ms,
                power_w=action.power_w,
                level=action.level,
                source="scenario",
                now_ns=now_ns,
            )
        self._pipeline.ingest.advance(now_ns)
        self._step_all()
        self._take_transitions()
        period_ns = round(self._options.config.output.diagnostics_period_s * NS_PER_S)
        since_ns = now_ns - self._diagnosed_ns
        if since_ns >= period_ns or (self._diagnostics.untold and since_ns >= _TRANSITION_GAP_NS):
            self._report(now_ns)

    def _step_all(self) -> None:
        for synced in self._pipeline.ingest.take():
            if not (self._over and synced.anchor is None):
                self.sets.begin(synced)

    def _report(self, now_ns: int) -> None:
        self.sets.finish_all()  # diagnostics count the sets before them
        ingest = self._pipeline.ingest
        statuses = self._diagnostics.statuses(
            reports=ingest.reports(now_ns),
            counters=ingest.sync_counters(),
            budget=self._pipeline.budget.account(),
            placements=self._pipeline.preprocessor.placer.placements,
            ego=ingest.ego,
            now_ns=now_ns,
        )
        self._outputs.add_diagnostics(now_ns, diagnostic_array(now_ns, statuses))
        self._diagnosed_ns = now_ns

    def _take_transitions(self) -> None:
        """Keep what the sensors went through, for the diagnostics and for the list of events."""
        for item in self._pipeline.ingest.take_transitions():
            if not self._over:
                self._events.append(item)
                self._diagnostics.note(item, stamp_ns=item.at_ns)

    def _info(self, arrival: Arrival) -> None:
        """Take over what is told about a sensor; what cannot be used is noted once."""
        pipeline = self._pipeline
        note = arrival.tell(self._selection, pipeline.ingest, pipeline.preprocessor, self._fit)
        if note is not None and note not in self._notes:
            self._notes.append(note)

    def unusable(self) -> BagError | None:
        """A recording whose sensors all spoke in vain: not one set has data of any of them."""
        if self._options.scenario is not None or any(record.used for record in self.sets.records):
            return None
        reasons = self._unused()
        if len(reasons) < len(self._selection.topics):
            return None
        return BagError(f"{self._options.bag}: no message of any sensor could be used: {'; '.join(reasons)}")

    def _unused(self) -> list[str]:
        """Why sensors that sent something are not believed at the end: without a set nothing else says it."""
        return [
            f"{name}: {report.state.name}, {report.reason}"
            for name, report in self._reports.items()
            if report.invalid and report.state is not SensorState.OK
        ]

    def result(
        self,
        reader: BagReader,
        altered: Altered,
        *,
        wall_s: float,
        interrupted: bool,
        damage: BagError | None,
    ) -> ReplayResult:
        """Everything that is known at the end."""
        self._notes += self._unused()
        played_s = (self._end_ns - self._start_ns) / NS_PER_S
        placements = self._pipeline.preprocessor.placer.placements
        events = [event_mapping(item, start_ns=self._start_ns) for item in self._events]
        topics = {name: topic.name for name, topic in self._selection.topics.items()}
        kinds, story = dict(self._options.config.kinds), self._options.scenario
        unreached: list[str] = []
        unended: list[str] = []
        injected: dict[str, Any] | None = None
        if story is not None:
            read = {topic for topic, _ in self._selection.feeds}
            unreached = missed(
                story, topics=topics, kinds=kinds, played_s=played_s, read=read, altered=altered
            )
            unended = cut_off(story, altered=altered, played_s=played_s)
            named = len(story.events) + len(story.actions)
            injected = {"named": named, "reached": named - len(unreached), "missed": unreached}
        metrics = {
            "recording": {"seconds": reader.duration_s, "messages": reader.message_count},
            "played_s": round(played_s, 6),
            "wall_s": round(wall_s, 3),
            "real_time_factor": round(played_s / wall_s, 3) if wall_s > 0 else None,
            "sets_per_wall_s": round(len(self.sets.records) / wall_s, 3) if wall_s > 0 else None,
            "interrupted": interrupted,
            **totals(
                self.sets.records,
                stamps=self._stamps_ns,
                steps_ms=self.sets.steps_ms,
                truth=self._options.truth,
            ),
            "output": output_mapping(
                (record.released_ns for record in self.sets.records if record.used),
                start_ns=self._start_ns,
                end_ns=self._end_ns,
                holds_ns=round(self._options.config.output.max_output_age_s * NS_PER_S),
            ),
            "events": events,
            "injected": injected,
            "faults": reactions(
                story,
                events,
                topics=topics,
                kinds=kinds,
                played_s=played_s,
                altered=altered,
            ),
            "false_alarms": false_alarms(
                events, scenario=story, topics=topics, kinds=kinds, played_s=played_s, altered=altered
            ),
            "sensors": {name: sensor_mapping(report) for name, report in self._reports.items()},
            "sync": {name: dict(counts) for name, counts in self._pipeline.ingest.sync_counters().items()},
        }
        return ReplayResult(
            selection=self._selection,
            metrics=metrics,
            records=tuple(self.sets.records),
            frames=tuple(self._sampler.frames),
            checkpoint=self._pipeline.bank.identity,
            ran_by=ran_by(self._pipeline.backend),
            start_ns=self._start_ns,
            notes=(
                *reader.notes,
                *self._notes,
                *(f"scenario: {line}" for line in (*unreached, *unended)),
                *self._fit.told,
                *self.undecoded.notes(),
                *self._poses.notes,
                *pose_notes(placements, self._options.config),
            ),
            poses=pose_facts(placements),
            interrupted=interrupted,
            damage=damage,
        )
