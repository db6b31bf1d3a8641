"""The main path: one synchronised set in, detections, tracks and an account of how they were made out."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace

from sentryfuse_core.budget import BudgetController
from sentryfuse_core.clock import NS_PER_MS, Clock
from sentryfuse_core.config import Config, ModelConfig, TrackingConfig
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.model.heads import HeadOutput, decode
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.plan import UNIFORM
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.load import load_bank, make_backend
from sentryfuse_core.track import Track
from sentryfuse_core.tracking.follow import FAINT, Follower
from sentryfuse_core.types import (
    Absence,
    Detection,
    FusionResult,
    Modality,
    ModalitySet,
    PartLevels,
    Plan,
    StageTimes,
    SyncedSet,
)

__all__ = ["NOTHING_USABLE", "PERCEIVING", "Pipeline", "prepare"]

NOTHING_USABLE = "nothing usable: no camera, lidar or audio in this set; check the sensors' states"

# Rotation and acceleration of the robot itself hold no information about what stands around it.
PERCEIVING = ModalitySet.of(Modality.CAMERA, Modality.LIDAR, Modality.AUDIO)

_COMPARED_NS = 100 * NS_PER_MS  # odometry with the gyro, up to each set


class Pipeline:
    """Everything between a released set and its detections; one thread at a time may call `step`."""

    def __init__(
        self,
        config: Config,
        *,
        ingest: Ingest,
        preprocessor: Preprocessor,
        bank: Bank,
        backend: Backend,
        budget: BudgetController,
        clock: Clock,
    ) -> None:
        self.ingest = ingest
        self.preprocessor = preprocessor
        self.bank = bank
        self.backend = backend
        self.budget = budget
        self.model_options: ModelConfig = config.model  # replaced at run time by the node's live parameters
        self.tracking_options: TrackingConfig = config.tracking  # the same
        self._follower = Follower(bank.labels)
        self._clock = clock
        self._planned: tuple[ModalitySet, PartLevels] | None = None  # what the last set ran

    @classmethod
    def build(cls, config: Config, *, clock: Clock, topics: Mapping[Modality, str] | None = None) -> Pipeline:
        """Load the weights and put the parts together.

        Raises CheckpointError or BackendError with the remedy in their text.
        """
        bank = load_bank(config.model)
        return cls(
            config,
            ingest=Ingest(config, topics=topics or {}),
            preprocessor=Preprocessor(config, measures=bank.network.trust is not None),
            bank=bank,
            backend=make_backend(bank, config.model),
            budget=BudgetController(config.budget, levels=bank.levels, maps=bank.maps()),
            clock=clock,
        )

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Run every sub-network once and teach the budget their latency; ms by (mask bits, level)."""
        latency_ms = self.backend.warm_up()
        unloaded = range(self.bank.loaded.start)  # meets no deadline: the budget is not to hope for it
        never = {(mask.bits, level): math.inf for mask in ModalitySet.subsets() for level in unloaded}
        self.budget.set_latency_table({**never, **latency_ms})
        return latency_ms

    def step(self, synced: SyncedSet) -> FusionResult:
        """Make detections and tracks of one set: trust, preprocess, plan, infer, decode, track."""
        queue_ms = (self._clock.now_ns() - synced.released_ns) / NS_PER_MS
        watch = _Stopwatch()
        trusted, absent = self.ingest.trust(synced)
        prepared = prepare(self.ingest, self.preprocessor, synced, trusted)
        inputs = prepared.inputs
        pre_ms = watch.lap_ms()
        plan, trust, switch_us = self._plan(synced, inputs)
        output, errors = self._infer(inputs, plan)
        infer_ms = watch.lap_ms()
        detections, faint = self._decode(output, plan)
        post_ms = watch.lap_ms()
        tracks = self._track(synced, inputs.present, detections, faint, plan)
        track_ms = math.nan if tracks is None else watch.lap_ms()
        age_ms, wait_ms = synced.age_ns / NS_PER_MS, synced.wait_ns / NS_PER_MS
        times = StageTimes(age_ms, wait_ms, queue_ms, pre_ms, infer_ms, post_ms, track_ms)
        result = self._account(synced, prepared, absent, detections, plan, trust, times, errors)
        notes = (*result.notes, *_notes(result))
        over_ground = self._follower.over_ground and tracks is not None
        return replace(result, tracks=tracks, over_ground=over_ground, switch_us=switch_us, notes=notes)

    def _plan(self, synced: SyncedSet, inputs: ModelInput) -> tuple[Plan, Mapping[Modality, float], float]:
        """The sub-network for these sensors, trust in them, and the us that a switch took; NaN: none."""
        trust = self.bank.trust(inputs)
        present, poor = inputs.present, self.bank.gate.poor(trust)
        for modality, value in trust.items():
            self.ingest.observe_trust(modality, value, poor=modality in poor, now_ns=synced.released_ns)
        level, reason = self.budget.choose(present, self._clock.now_ns())
        widest = self.bank.loaded.start
        if level < widest:
            level, reason = widest, f"{reason}; model.max_level = {widest}: no wider level is loaded"
        began_ns = time.perf_counter_ns()
        plan = self.bank.plan(present, level, reason, poor)
        switch_us = (time.perf_counter_ns() - began_ns) / 1e3
        before, self._planned = self._planned, (plan.mask, plan.parts)
        return plan, trust, math.nan if before in (None, self._planned) else switch_us

    def _infer(self, inputs: ModelInput, plan: Plan) -> tuple[HeadOutput | None, tuple[str, ...]]:
        """Run the sub-network; None when no sensor that perceives anything is left."""
        if not plan.mask & PERCEIVING:
            return None, (NOTHING_USABLE,)
        return self.backend.run(inputs.only(plan.mask), plan), self.backend.faults

    def _decode(
        self, output: HeadOutput | None, plan: Plan
    ) -> tuple[tuple[Detection, ...], tuple[Detection, ...]]:
        """Detections, and fainter ones, which tell a tracker that what it follows is still there."""
        if output is None:
            return (), ()
        options = self.model_options
        threshold = self.bank.threshold(plan.mask, plan.level, asked=options.score_threshold)
        slope, offset = self.bank.calibration(plan.mask, plan.level)
        found = decode(
            replace(output, heatmap=output.heatmap * slope + offset),
            score_threshold=min(threshold, FAINT) if self.tracking_options.enabled else threshold,
            max_detections=options.max_detections,
            labels=self.bank.labels,
        )[0]
        count = sum(item.score >= threshold for item in found)  # the best come first
        return found[:count], found[count:]

    def _track(
        self,
        synced: SyncedSet,
        used: ModalitySet,
        detections: tuple[Detection, ...],
        faint: tuple[Detection, ...],
        plan: Plan,
    ) -> tuple[Track, ...] | None:
        """Tracks as of the set, also where nothing is found in it; None: tracking is off."""
        if not self.tracking_options.enabled:
            self._follower.forget()
            return None
        return self._follower.step(
            synced,
            detections,
            self.tracking_options,
            faint=faint,
            used=used,
            recall=lambda sensors: self.bank.found(sensors, plan.level),
            yaw_since=lambda stamp_ns: self.preprocessor.yaw_since(synced, used, stamp_ns),
            ego=self.ingest.ego,
        )

    def _odometry_notes(self) -> tuple[str, ...]:
        problem = self.ingest.ego.problem
        of_tracks = "; until then velocities of tracks are relative to the robot"
        return (
            (f"odometry is not used: {problem}{of_tracks * self.tracking_options.enabled}",)
            if problem
            else ()
        )

    def _account(
        self,
        synced: SyncedSet,
        prepared: Prepared,
        absent: Mapping[Modality, Absence],
        detections: tuple[Detection, ...],
        plan: Plan,
        trust: Mapping[Modality, float],
        times: StageTimes,
        errors: tuple[str, ...],
    ) -> FusionResult:
        present, used = prepared.inputs.present, plan.mask
        poor, spared = self.bank.gate.poor(trust), present - used
        if used & PERCEIVING:
            self.budget.observe(present, plan.level, times.infer)
        recall, prior = self.bank.recall(used, plan.level)
        return FusionResult(
            synced=synced,
            used=used,
            absent={
                **absent,
                **{modality: _absence(error) for modality, error in prepared.invalid.items()},
                **dict.fromkeys(spared - poor, Absence.LEFT_OUT),
                **dict.fromkeys(spared & poor, Absence.POOR),
            },
            detections=detections,
            plan=plan,
            times=times,
            backend=self.backend.name,
            device=self.backend.device,
            backend_reason=self.backend.reason,
            mask_recall_4m=recall,
            prior_recall_4m=prior,
            reports=self.ingest.reports(self._clock.now_ns()),
            errors=errors,
            notes=(
                *(f"{modality.value} left out, {error}" for modality, error in prepared.invalid.items()),
                *(f"{name.value} is trusted {trust[name]:.2f} of 1: its data looks poor" for name in poor),
                *prepared.notes,
                *self._odometry_notes(),
            ),
            switch_us=math.nan,
            trust=trust,
        )


def prepare(ingest: Ingest, preprocessor: Preprocessor, synced: SyncedSet, trusted: ModalitySet) -> Prepared:
    """Tensors of the trusted sensors; what turns out unusable only now is reported and left out."""
    now_ns, ego = synced.released_ns, ingest.ego
    ego.follow(synced.stamp_ns, epoch=synced.epoch, mount=preprocessor.placer.mount)
    prepared = preprocessor(synced, trusted, ego=ego)
    if Modality.IMU in prepared.inputs.present:
        since_ns = synced.stamp_ns - _COMPARED_NS
        ego.compare(since_ns, synced.stamp_ns, preprocessor.yaw_since(synced, trusted, since_ns))
    for modality in prepared.inputs.present:
        ingest.observe_decoded(modality, prepared.content.get(modality), now_ns)
    for modality, error in prepared.invalid.items():
        ingest.observe_invalid(modality, error.reason, error.detail, now_ns)
    return prepared


def _absence(error: InvalidMessageError) -> Absence:
    """A sensor none of whose blocks reaches into the set's window is late for it, not at fault."""
    return Absence.LATE if error.reason == "no_data" else Absence.INVALID


def _notes(result: FusionResult) -> tuple[str, ...]:
    """What a reader of the status must know to judge these detections."""
    notes = []
    if result.plan.kind == UNIFORM:
        notes.append("pruning: uniform widths, not chosen by SentryGate")
    elif result.plan.words:
        notes.append(f"pruning: {result.plan.words}")
    if result.used & PERCEIVING and not result.above_prior:
        what = f"{result.used} at level {result.plan.level}"
        found, prior = result.mask_recall_4m, result.prior_recall_4m
        if math.isnan(found) or math.isnan(prior):
            notes.append(f"{what} is not evaluated: do not rely on it")
        else:
            notes.append(
                f"{what} finds {found:.0%} within 4 m, "
                f"not twice the {prior:.0%} of the canvas without tokens: do not rely on it"
            )
    return tuple(notes)


class _Stopwatch:
    """Wall time of consecutive stages; also in a replay, whose clock is the bag's."""

    def __init__(self) -> None:
        self._last_s = time.perf_counter()

    def lap_ms(self) -> float:
        """Milliseconds since the last lap."""
        now_s = time.perf_counter()
        elapsed_ms = (now_s - self._last_s) * 1e3
        self._last_s = now_s
        return elapsed_ms
