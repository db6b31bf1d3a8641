"""The main path: one synchronised set in, detections, tracks and an account of how they were made out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sentryfuse_core.around import (
    Claim,
    Run,
    View,
    in_base,
    joint_plan,
    merged,
    most_trusted,
    runs_of,
    sector_uses,
)
from sentryfuse_core.budget import BudgetController
from sentryfuse_core.clock import NS_PER_MS, Clock
from sentryfuse_core.config import Config, ModelConfig, TrackingConfig
from sentryfuse_core.ego import EgoMotion
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.model.heads import HeadOutput, decode
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.preprocess.coverage import covered
from sentryfuse_core.pruning.plan import UNIFORM
from sentryfuse_core.runtime.backend import Backend, RanBy, ran_by
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.load import load_bank, make_backend
from sentryfuse_core.runtime.warm_up import WarmUp
from sentryfuse_core.surroundings import unwatched
from sentryfuse_core.track import Track
from sentryfuse_core.tracking.follow import FAINT, Follower
from sentryfuse_core.tracking.smooth import smoothed
from sentryfuse_core.tracking.watch import Watch
from sentryfuse_core.types import (
    Absence,
    Detection,
    FusionResult,
    Modality,
    ModalitySet,
    PartLevels,
    Plan,
    SensorReport,
    StageTimes,
    SyncedSet,
)

__all__ = ["NOTHING_USABLE", "PERCEIVING", "Begun", "Inferred", "Pipeline", "prepare"]

NOTHING_USABLE = "nothing usable: no camera, lidar or audio in this set; check the sensors' states"

# Rotation and acceleration of the robot itself hold no information about what stands around it.
PERCEIVING = ModalitySet.of(Modality.CAMERA, Modality.LIDAR, Modality.AUDIO)

_WATCHING = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)

_PASSING = (Absence.LATE, Absence.OUT_OF_SLOP, Absence.LEFT_OUT)  # absent for a set, or by choice

_COMPARED_NS = 100 * NS_PER_MS  # odometry with the gyro, up to each set


@dataclass(frozen=True, eq=False)
class Begun:
    """A set up to the network, with all that is needed of its moment once the network has run."""

    synced: SyncedSet
    prepared: Prepared
    absent: Mapping[str, Absence]  # by name
    views: tuple[View, ...]  # of each sector
    runs: tuple[Run, ...]  # of the network; empty: nothing that perceives is left
    plan: Plan  # of all sectors together
    switch_us: float
    queue_ms: float
    pre_ms: float  # trust and preprocessing
    yaw_since: Callable[[int], float]  # how far the robot has turned left since a stamp, in rad
    ego: EgoMotion  # as of this set

    @property
    def ran(self) -> tuple[tuple[int, View], ...]:
        """The views that the network ran for, and their numbers."""
        indices = sorted(index for run in self.runs for index in run.sectors)
        return tuple((index, self.views[index]) for index in indices)

    @property
    def trust(self) -> Mapping[Modality, float]:
        """In each sensor, where the weights tell it: that of the sector where it is trusted most."""
        return most_trusted([view.trust for view in self.views])


@dataclass(frozen=True, eq=False)
class Inferred:
    """What the network made of a set: one output for each run."""

    outputs: tuple[HeadOutput, ...]
    infer_ms: float
    errors: tuple[str, ...]
    by: RanBy


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
        self._warming: WarmUp | None = None  # what is left of the warm-up
        self._planned: tuple[tuple[ModalitySet, PartLevels], ...] | None = None  # what the last set ran

    @classmethod
    def build(cls, config: Config, *, clock: Clock, topics: Mapping[str, str] | None = None) -> Pipeline:
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

    def warm_up(self) -> None:
        """Run every sub-network and teach the budget their latency."""
        self._learn(self.backend.warm_up())

    def warm_up_first(self) -> None:
        """As `warm_up`, but what is not needed to begin is left to `warm_up_more`."""
        if not self.backend.open_beside():
            self.warm_up()  # others compile or record: a set would have to wait for that
            return
        self._warming = WarmUp(self.backend, self.bank)
        self._learn(self._warming.guesses())

    def warm_up_more(self) -> None:
        """Go on with the warm-up a bit; to be called when nothing else is to be done."""
        if self._warming is None:
            return
        found = self._warming.go_on()
        if found is not None:
            self._learn(found)
        if self._warming.through:
            self._warming = None

    def _learn(self, latency_ms: Mapping[tuple[int, int], float]) -> None:
        unloaded = range(self.bank.loaded.start)  # meets no deadline: the budget is not to hope for it
        never = {(mask.bits, level): math.inf for mask in ModalitySet.subsets() for level in unloaded}
        self.budget.set_latency_table({**never, **latency_ms})

    def step(self, synced: SyncedSet) -> FusionResult:
        """Make detections and tracks of one set: trust, preprocess, plan, infer, decode, track."""
        begun = self.begin(synced)
        inferred = self.infer(begun)
        return self.finish(begun, inferred, reports=self.reports())

    def begin(self, synced: SyncedSet) -> Begun:
        """All that comes before the network; sets are begun, and finished, in their order."""
        queue_ms = (self._clock.now_ns() - synced.released_ns) / NS_PER_MS
        watch = _Stopwatch()
        trusted, absent = self.ingest.trust(synced)
        prepared = prepare(self.ingest, self.preprocessor, synced, trusted)
        pre_ms = watch.lap_ms()
        views, switch_us = self._plan(synced, prepared)
        runs, plan = runs_of(views, perceiving=PERCEIVING, batches=self.backend.batches), joint_plan(views)
        # Also where the plan has no IMU: what the network takes for poor may turn tracks well enough.
        yaw_since = self.preprocessor.turning(synced, prepared.present)
        ego = self.ingest.ego.as_of_now()
        return Begun(synced, prepared, absent, views, runs, plan, switch_us, queue_ms, pre_ms, yaw_since, ego)

    def infer(self, begun: Begun) -> Inferred:
        """Run the sub-networks; none when no sensor that perceives anything is left."""
        watch = _Stopwatch()
        if not begun.runs:
            return Inferred((), watch.lap_ms(), (NOTHING_USABLE,), ran_by(self.backend))
        outputs = tuple(self.backend.run(run.inputs, run.plan) for run in begun.runs)
        return Inferred(outputs, watch.lap_ms(), self.backend.faults, ran_by(self.backend))

    def finish(
        self, begun: Begun, inferred: Inferred, *, reports: Mapping[str, SensorReport]
    ) -> FusionResult:
        """All that comes after the network; `reports` say how the sensors stand."""
        watch = _Stopwatch()
        claims = self._decode(begun, inferred)
        post_ms = watch.lap_ms()
        detections, tracks = self._track(begun, claims)
        track_ms = math.nan if tracks is None else watch.lap_ms()
        result = self._account(begun, inferred, detections, reports, post_ms=post_ms, track_ms=track_ms)
        over_ground = self._follower.over_ground and tracks is not None
        placed_in = self._placed_in(begun) if over_ground else None
        return replace(
            result,
            tracks=tracks,
            over_ground=over_ground,
            placed_in=placed_in,
            notes=(*result.notes, *_notes(result)),
        )

    def reports(self) -> Mapping[str, SensorReport]:
        """How the sensors stand now."""
        return self.ingest.reports(self._clock.now_ns())

    def _plan(self, synced: SyncedSet, prepared: Prepared) -> tuple[tuple[View, ...], float]:
        """The sub-network of each sector, and the us that a switch took; NaN: none."""
        trusts = [self.bank.trust(inputs) for inputs in prepared.views]
        poor = [self.bank.gate.poor(trust) for trust in trusts]
        trusted = most_trusted(trusts)
        everywhere = self.bank.gate.poor(trusted)
        for name in prepared.sensors:
            kind = synced.samples[name][-1].modality
            if kind in trusted:
                self.ingest.observe_trust(
                    name, trusted[kind], poor=kind in everywhere, now_ns=synced.released_ns
                )
        present = tuple(inputs.present for inputs in prepared.views)
        level, reason = self.budget.choose(prepared.present, self._clock.now_ns(), sectors=present)
        widest = self.bank.loaded.start
        if level < widest:
            level, reason = widest, f"{reason}; model.max_level = {widest}: no wider level is loaded"
        began_ns = time.perf_counter_ns()
        plans = [
            self.bank.plan(there, level, reason, hardly) for there, hardly in zip(present, poor, strict=True)
        ]
        switch_us = (time.perf_counter_ns() - began_ns) / 1e3
        before, self._planned = self._planned, tuple((plan.mask, plan.parts) for plan in plans)
        yaws = self.preprocessor.yaws_rad
        views = tuple(map(View, yaws, prepared.views, plans, trusts))
        return views, math.nan if before in (None, self._planned) else switch_us

    def _decode(self, begun: Begun, inferred: Inferred) -> list[Claim]:
        """What is found, and what is too faint to be told but says that what is followed is still there."""
        most = self.model_options.max_detections
        claims: list[Claim] = []
        for run, output in zip(begun.runs, inferred.outputs, strict=True):
            threshold = self._threshold(run.plan)
            slope, offset = self.bank.calibration(run.plan.mask, run.plan.level)
            found = decode(
                replace(output, heatmap=output.heatmap * slope + offset),
                score_threshold=min(threshold, FAINT) if self.tracking_options.enabled else threshold,
                max_detections=most,
                labels=self.bank.labels,
            )
            for sector, items in zip(run.sectors, found, strict=True):
                yaw = begun.views[sector].yaw_rad
                claims += [Claim(in_base(item, yaw), sector, item.score >= threshold) for item in items]
        return merged(claims, {index: view.yaw_rad for index, view in begun.ran})[:most]

    def _threshold(self, plan: Plan) -> float:
        """What detections score at least."""
        return self.bank.threshold(plan.mask, plan.level, asked=self.model_options.score_threshold)

    def _track(
        self, begun: Begun, claims: Sequence[Claim]
    ) -> tuple[tuple[Detection, ...], tuple[Track, ...] | None]:
        """Detections, and tracks as of the set, also where nothing is found in it; None: tracking is off."""
        options = self.tracking_options
        smooth = options.enabled and options.smooth_detections
        # With smoothing a faint one may be told after all, for the score of the track that it belongs to.
        detections = tuple(claim.detection for claim in claims if claim.told or smooth)
        faint = tuple(claim.detection for claim in claims if not (claim.told or smooth))
        if not options.enabled:
            self._follower.forget()
            return detections, None
        tracks = self._follower.step(
            begun.synced,
            detections,
            options,
            faint=faint,
            watches=[self._watch(view) for _, view in begun.ran or enumerate(begun.views)],
            yaw_since=begun.yaw_since,
            ego=begun.ego,
        )
        if not smooth:
            return detections, tracks
        least = [self._threshold(begun.views[claim.sector].plan) for claim in claims]
        return smoothed(detections, tracks, least=least)

    def _watch(self, view: View) -> Watch:
        """What looks at a sector, and what it finds."""
        level = view.plan.level
        return Watch(view.yaw_rad, view.plan.mask, lambda sensors: self.bank.found(sensors, level))

    def _placed_in(self, begun: Begun) -> tuple[str, EgoStep] | None:
        """Odometry's frame and the base in it, where tracks are asked for in it and it has a name."""
        in_odom = self.tracking_options.frame == "odom" and begun.ego.frame_id
        pose = begun.ego.pose(begun.synced.stamp_ns) if in_odom else None
        return None if pose is None else (begun.ego.frame_id, pose)

    def _odometry_notes(self, ego: EgoMotion) -> tuple[str, ...]:
        """What a reader of the tracks must know of odometry."""
        options = self.tracking_options
        if ego.problem:
            of_tracks = "; until then velocities of tracks are relative to the robot"
            return (f"odometry is not used: {ego.problem}{of_tracks * options.enabled}",)
        if options.enabled and options.frame == "odom" and ego.now is not None and not ego.frame_id:
            return (
                "tracks are in the base frame: odometry's header.frame_id is empty; let its source set it",
            )
        return ()

    def _account(
        self,
        begun: Begun,
        inferred: Inferred,
        detections: tuple[Detection, ...],
        reports: Mapping[str, SensorReport],
        *,
        post_ms: float,
        track_ms: float,
    ) -> FusionResult:
        synced, plan = begun.synced, begun.plan
        present, used = begun.prepared.present, plan.mask
        poor, spared = self.bank.gate.poor(begun.trust), present - used
        if begun.runs:
            sectors = tuple(view.inputs.present for view in begun.views)
            self.budget.observe(present, plan.level, inferred.infer_ms, sectors=sectors)
        recall, prior = self.bank.recall(used, plan.level)
        age_ms, wait_ms = synced.age_ns / NS_PER_MS, synced.wait_ns / NS_PER_MS
        return FusionResult(
            synced=synced,
            used=used,
            absent={**begun.absent, **_left_out(begun, spared=spared, poor=poor)},
            detections=detections,
            plan=plan,
            times=StageTimes(
                age_ms, wait_ms, begun.queue_ms, begun.pre_ms, inferred.infer_ms, post_ms, track_ms
            ),
            backend=inferred.by.name,
            device=inferred.by.device,
            backend_reason=inferred.by.reason,
            mask_recall_4m=recall,
            prior_recall_4m=prior,
            reports=reports,
            errors=inferred.errors,
            notes=(
                *(f"{name} left out, {error}" for name, error in begun.prepared.invalid.items()),
                *(
                    f"{name.value} is trusted {begun.trust[name]:.2f} of 1: its data looks poor"
                    for name in poor
                ),
                *begun.prepared.notes,
                *self._odometry_notes(begun.ego),
            ),
            switch_us=begun.switch_us,
            trust=begun.trust,
            sectors=sector_uses(begun.views),
            coverage=covered([(view.yaw_rad, view.inputs.only(view.plan.mask)) for _, view in begun.ran]),
        )


def prepare(
    ingest: Ingest, preprocessor: Preprocessor, synced: SyncedSet, trusted: Container[str]
) -> Prepared:
    """Tensors of the trusted sensors, by name; what turns out unusable only now is reported and left out."""
    now_ns, ego = synced.released_ns, ingest.ego
    ego.follow(synced.stamp_ns, epoch=synced.epoch, mount=preprocessor.placer.mount)
    prepared = preprocessor(synced, trusted, ego=ego, readings=ingest.readings(synced))
    if ego.received and Modality.IMU in prepared.present and preprocessor.tells_turns:
        since_ns = synced.stamp_ns - _COMPARED_NS
        ego.compare(since_ns, synced.stamp_ns, preprocessor.yaw_since(synced, prepared.present, since_ns))
    ingest.observe_placed(prepared.placed, now_ns)
    for name in prepared.sensors:
        ingest.observe_decoded(name, prepared.content.get(name), now_ns)
    for name, error in prepared.invalid.items():
        ingest.observe_invalid(name, error.reason, error.detail, now_ns)
    return prepared


def _left_out(begun: Begun, *, spared: ModalitySet, poor: ModalitySet) -> dict[str, Absence]:
    """Why each trusted sensor that the network did not read was not read.

    Its data could not be used; its kind is not trusted or not needed; or another of its kind is read, or no
    sector looks its way.
    """
    found: dict[str, Absence] = {}
    for name, samples in begun.synced.samples.items():
        kind = samples[-1].modality
        if name in begun.absent:
            continue
        if name in begun.prepared.invalid:
            found[name] = _absence(begun.prepared.invalid[name])
        elif name not in begun.prepared.sensors:
            found[name] = Absence.LEFT_OUT
        elif kind in spared:
            found[name] = Absence.POOR if kind in poor else Absence.LEFT_OUT
    return found


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
    if len(result.sectors) > 1:
        notes += _unwatched(result)
    if result.used & PERCEIVING and not result.above_prior:
        what = f"{result.used} at level {result.plan.level}"
        found, prior = result.mask_recall_4m, result.prior_recall_4m
        if math.isnan(found) or math.isnan(prior):
            notes.append(f"{what} is not evaluated: do not rely on it")
        else:
            notes.append(
                f"{what} finds {found:.0%} within 4 m, "
                f"not twice the {prior:.0%} of guessing without any sensor: do not rely on it"
            )
    return tuple(notes)


def _unwatched(result: FusionResult) -> Iterator[str]:
    """Directions that nothing watches, and those without a camera or a lidar while one of several is gone."""
    if blind := unwatched(result.coverage, _WATCHING.bits):
        yield f"neither camera nor lidar watches {blind} degrees left of ahead: slow down there"
    gone = {name for name, why in result.absent.items() if why not in _PASSING}
    for kind in result.used & _WATCHING:
        lost = [name for name, report in result.reports.items() if name in gone and report.modality is kind]
        if lost and (gap := unwatched(result.coverage, kind.bit)) not in ("", blind):
            yield f"{' and '.join(lost)} gone: no {kind.value} in use watches {gap} degrees left of ahead"


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
