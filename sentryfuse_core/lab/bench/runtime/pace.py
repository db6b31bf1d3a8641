"""Sets in a row with a switch before each, and the same sets without: which are lost, which come late.

The robot's own main path runs from trust to detections. Only decoding is left out: the recording's sets were
prepared before, as they would be the same. Sets follow each other at once, so that ten thousand take
minutes; when each would have come out had they come at a sensor's pace follows from what each took.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.config import Config, ModelConfig
from sentryfuse_core.ego import EgoMotion
from sentryfuse_core.errors import SentryFuseError
from sentryfuse_core.lab.bench.runtime.recording import Heard
from sentryfuse_core.lab.bench.runtime.switch import Choice, random_switches
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.types import Absence, ModalitySet, StageTimes, SyncedSet

__all__ = ["Paced", "late_sets", "pace"]

_CHUNK = 2000  # sets in random order, then the same ones in groups, so that both see the same machine


@dataclass(frozen=True, eq=False)
class Paced:
    """Milliseconds each set took and what switching took of it in us, in both orders; sets without result."""

    switched_ms: NDArray[np.float64]  # [sets]
    grouped_ms: NDArray[np.float64]  # [sets]
    switch_us: NDArray[np.float64]  # [switches] of the switched ones; the first set is none
    lost: int  # of the switched ones
    grouped_lost: int


class _Made(Preprocessor):
    """Hands out what was prepared before, cut to the sensors that the set has."""

    def __init__(self, config: Config, heard: Heard) -> None:
        super().__init__(config)
        pairs = zip(heard.sets, heard.prepared, strict=True)
        self._prepared = {synced.sequence: prepared for synced, prepared in pairs}

    def __call__(self, synced: SyncedSet, mask: ModalitySet, *, ego: EgoMotion | None = None) -> Prepared:  # noqa: ARG002
        """Tensors of the sensors in `mask`."""
        return Prepared(self._prepared[synced.sequence].inputs.only(mask & synced.present), {}, {})


def pace(
    heard: Heard,
    model: ModelConfig,
    *,
    switches: int,
    on_set: Callable[[], None] = lambda: None,
) -> Paced:
    """Run `switches` sets, each with other sensors or another level than the one before, and then grouped."""
    runner = _Runner(heard, model, on_set)
    choices = list(random_switches(runner.levels, switches))
    switched: list[tuple[float, float] | None] = []
    grouped: list[tuple[float, float] | None] = []
    for start in range(0, switches, _CHUNK):
        chunk = list(enumerate(choices[start : start + _CHUNK], start))
        switched += [runner.run(*item) for item in chunk]
        in_groups = sorted(chunk, key=lambda item: (item[1][0].bits, item[1][1]))
        grouped += [runner.run(*item) for item in in_groups]
    kept, kept_grouped = ([item for item in found if item] for found in (switched, grouped))
    return Paced(
        np.array([took for took, _ in kept]),
        np.array([took for took, _ in kept_grouped]),
        np.array([switch for _, switch in kept if not math.isnan(switch)]),
        len(switched) - len(kept),
        len(grouped) - len(kept_grouped),
    )


def late_sets(took_ms: NDArray[np.float64], *, period_ms: float) -> int:
    """How many sets are done later than a period after they came, when one comes every `period_ms`.

    A set begins when it has come and the one before is done.
    """
    late, done_ms = 0, 0.0
    for index, took in enumerate(took_ms):
        came_ms = index * period_ms
        done_ms = max(came_ms, done_ms) + float(took)
        late += done_ms > came_ms + period_ms
    return late


class _Runner:
    """The main path on prepared sets, its sensors and level chosen from outside."""

    def __init__(self, heard: Heard, model: ModelConfig, on_set: Callable[[], None]) -> None:
        config = replace(Config(), model=model)
        self._heard = heard
        self._on_set = on_set
        self._pipeline = Pipeline.build(config, clock=heard.clock)
        self._pipeline.ingest = heard.ingest
        self._pipeline.preprocessor = _Made(config, heard)
        self._pipeline.warm_up()
        self.levels = len(self._pipeline.bank.levels)

    def run(self, index: int, choice: Choice) -> tuple[float, float] | None:
        """Milliseconds of one set and microseconds of its switch; None: no result, or not that one."""
        mask, level = choice
        synced = _cut(self._heard.sets[index % len(self._heard.sets)], mask)
        self._pipeline.budget.config = replace(self._pipeline.budget.config, level=level)
        self._on_set()
        try:
            result = self._pipeline.step(synced)
        except SentryFuseError:
            return None
        if (result.used, result.plan.level) != choice:
            return None
        return _own_ms(result.times), result.switch_us


def _cut(synced: SyncedSet, mask: ModalitySet) -> SyncedSet:
    samples = {modality: synced.samples[modality] for modality in mask}
    return replace(synced, samples=samples, absent=dict.fromkeys(ModalitySet.all() - mask, Absence.NEVER))


def _own_ms(times: StageTimes) -> float:
    return times.pre + times.infer + times.post
