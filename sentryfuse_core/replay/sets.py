"""The sets of a replay on their way: through the pipeline, in their order, and into every output."""

from __future__ import annotations

import math
import time
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sentryfuse_core.account.diagnostics import Diagnostics
from sentryfuse_core.account.messages import PublishContext
from sentryfuse_core.clock import Clock
from sentryfuse_core.config import Config
from sentryfuse_core.pipeline import Begun, Inferred, Pipeline
from sentryfuse_core.preprocess.fit import FitCheck
from sentryfuse_core.replay.frames import FrameSampler
from sentryfuse_core.replay.kept import kept
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.runtime.beside import DEPTH, Beside
from sentryfuse_core.types import Intrinsics, Pose, SensorReport, SyncedSet

__all__ = ["Sets"]


@dataclass(frozen=True, kw_only=True)
class _UnderWay:
    """A set that waits for the network, and what of its moment its outputs will need."""

    begun: Begun
    begin_ms: float
    now_ns: int
    reports: Mapping[str, SensorReport]
    context: PublishContext
    intrinsics: Mapping[str, Intrinsics]
    poses: Mapping[str, Pose]


class Sets:
    """Begins sets and finishes them in the same order.

    Without `beside` each is finished at once. With it the recording goes on while the network runs, up to
    DEPTH sets ahead; as each set keeps what it needs of its own moment, the outputs are the same.
    """

    def __init__(
        self,
        config: Config,
        pipeline: Pipeline,
        clock: Clock,
        outputs: RunOutputs,
        *,
        diagnostics: Diagnostics,
        fit: FitCheck,
        sampler: FrameSampler,
    ) -> None:
        self.records: list[SetRecord] = []  # of those finished
        self.steps_ms = array("d")
        self.beside: Beside | None = None  # None: the network runs in between
        self._config = config
        self._pipeline = pipeline
        self._clock = clock
        self._outputs = outputs
        self._diagnostics = diagnostics
        self._fit = fit
        self._sampler = sampler
        self._under_way: deque[_UnderWay] = deque()

    def begin(self, synced: SyncedSet) -> None:
        """One set up to the network, and a look at its data for the parameters."""
        began_s = time.perf_counter()
        begun = self._pipeline.begin(synced)
        begin_ms = (time.perf_counter() - began_s) * 1e3
        preprocessor = self._pipeline.preprocessor
        placements = preprocessor.placer.placements.items()
        if self.beside is not None and begun.runs:
            while sum(bool(item.begun.runs) for item in self._under_way) >= DEPTH:
                self._finish_first()
            self.beside.send([(run.inputs, run.plan) for run in begun.runs])
        item = _UnderWay(
            begun=begun,
            begin_ms=begin_ms,
            now_ns=self._clock.now_ns(),
            reports=self._pipeline.reports(),
            context=self._context(synced),
            intrinsics=dict(preprocessor.intrinsics),
            poses={name: placed.pose for name, placed in placements if placed.pose},
        )
        self._under_way.append(item)
        if self.beside is None:
            self._finish_first()
        self._fit.look(synced, felt_m_s2=preprocessor.felt_m_s2)

    def finish_all(self) -> None:
        """Wait for the sets on their way."""
        while self._under_way:
            self._finish_first()

    def _finish_first(self) -> None:
        item = self._under_way.popleft()
        inferred = self._inferred(item.begun)
        began_s = time.perf_counter()
        result = self._pipeline.finish(item.begun, inferred, reports=item.reports)
        step_ms = item.begin_ms + inferred.infer_ms + (time.perf_counter() - began_s) * 1e3
        context = replace(item.context, e2e_ms=result.times.age + result.times.wait + step_ms)
        record = self._outputs.add(result, context, config=self._config.output)
        self.records.append(kept(record, self.records[-1] if self.records else None))
        self.steps_ms.append(step_ms)
        self._diagnostics.add(
            result, e2e_ms=context.e2e_ms, now_ns=item.now_ns, deadline_ms=context.deadline_ms
        )
        shown = replace(record, tracks=result.tracks)  # with their trails, which no message tells
        self._sampler.offer(shown, item.begun.synced, intrinsics=item.intrinsics, poses=item.poses)

    def _inferred(self, begun: Begun) -> Inferred:
        if self.beside is None or not begun.runs:
            return self._pipeline.infer(begun)
        return Inferred(*self.beside.receive())

    def _context(self, synced: SyncedSet) -> PublishContext:
        budget = self._pipeline.budget
        return PublishContext(
            published_ns=synced.released_ns,
            checkpoint=self._pipeline.bank.identity,
            base_frame=self._config.output.base_frame,
            e2e_ms=math.nan,  # not over yet
            deadline_ms=budget.latency_ms,
            power_w=budget.power_w,
        )
