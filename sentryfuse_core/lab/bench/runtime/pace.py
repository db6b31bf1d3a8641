"""Sets in a row with a switch before each, and the same sets without: which are lost, which come late.

The robot's own main path runs from trust to detections. Only decoding is left out: the recording's sets were
prepared before, as they would be the same. Sets follow each other at once, so that ten thousand take
minutes; when each would have come out had they come at a sensor's pace follows from what each took.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Any

from sentryfuse_core.config import Config, ModelConfig
from sentryfuse_core.errors import SentryFuseError
from sentryfuse_core.lab.bench.runtime.context import Context, steps, undisturbed
from sentryfuse_core.lab.bench.runtime.latency import ranks
from sentryfuse_core.lab.bench.runtime.recording import Heard
from sentryfuse_core.lab.bench.runtime.switch import Choice, choices_of, random_switches
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.types import Absence, Modality, ModalitySet, Sample, SyncedSet

__all__ = ["late_sets", "pace_part"]

_CHUNK = 2000  # sets in random order, then the same ones in groups, so that both see the same machine
_PERIODS_MS = (100.0, 1e3 / 30)  # of the lidar, which anchors sets, and of a camera


def pace_part(context: Context) -> dict[str, Any]:
    """What happened to sets with a switch before each, and to the same ones without."""
    switches = context.setting.switches
    switched: list[tuple[float, float] | None] = []
    grouped: list[tuple[float, float] | None] = []
    with steps(context, "sets with a switch before each", 2 * switches) as step, undisturbed():
        runner = _Runner(context.heard, context.setting.model(), step)
        choices = list(enumerate(random_switches(runner.choices, switches)))
        for start in range(0, switches, _CHUNK):
            chunk = choices[start : start + _CHUNK]
            switched += [runner.run(*item) for item in chunk]
            in_groups = sorted(chunk, key=lambda item: (item[1][0].bits, item[1][1]))
            grouped += [runner.run(*item) for item in in_groups]
    switched_ms, grouped_ms = ([item[0] for item in found if item] for found in (switched, grouped))
    return {
        "sets": switches,
        "lost": switches - len(switched_ms),
        "grouped_lost": switches - len(grouped_ms),
        "switch_us": ranks(item[1] for item in switched if item),  # the first set is no switch: NaN
        "switched_ms": ranks(switched_ms),
        "grouped_ms": ranks(grouped_ms),
        "late": [
            {
                "period_ms": round(period_ms, 3),
                "switched": late_sets(switched_ms, period_ms=period_ms),
                "grouped": late_sets(grouped_ms, period_ms=period_ms),
            }
            for period_ms in _PERIODS_MS
        ],
    }


def late_sets(took_ms: Sequence[float], *, period_ms: float) -> int:
    """How many sets are done later than a period after they came, when one comes every `period_ms`.

    A set begins when it has come and the one before is done.
    """
    late, done_ms = 0, 0.0
    for index, took in enumerate(took_ms):
        came_ms = index * period_ms
        done_ms = max(came_ms, done_ms) + took
        late += done_ms > came_ms + period_ms
    return late


class _Made(Preprocessor):
    """Hands out what was prepared before, cut to the sensors that the set has."""

    def __init__(self, config: Config, heard: Heard) -> None:
        super().__init__(config)
        pairs = zip(heard.sets, heard.prepared, strict=True)
        self._prepared = {synced.sequence: prepared for synced, prepared in pairs}

    def __call__(self, synced: SyncedSet, mask: Container[str], **_: Any) -> Prepared:
        """Tensors of the sensors in `mask`."""
        names = tuple(name for name in synced.samples if name in mask)
        made = self._prepared[synced.sequence].inputs.only(ModalitySet.of(*map(Modality, names)))
        return Prepared((made,), {}, {}, sensors=names)


class _Runner:
    """The main path on prepared sets, its sensors and level chosen from outside."""

    def __init__(self, heard: Heard, model: ModelConfig, on_set: Callable[[], None]) -> None:
        config = replace(Config(), model=model)
        self._sets = heard.sets
        self._on_set = on_set
        self._pipeline = Pipeline.build(config, clock=heard.clock)
        self._pipeline.ingest = heard.ingest
        self._pipeline.preprocessor = _Made(config, heard)
        self._pipeline.warm_up()
        self.choices = choices_of(self._pipeline.bank, poor=False)  # the data says which are

    def run(self, index: int, choice: Choice) -> tuple[float, float] | None:
        """Milliseconds of one set and microseconds of its switch; None: no result, or not that one."""
        mask, level, _ = choice
        synced = self._sets[index % len(self._sets)]
        samples: dict[str, tuple[Sample, ...]] = {kind: synced.samples[kind] for kind in mask}
        absent: dict[str, Absence] = dict.fromkeys(ModalitySet.all() - mask, Absence.NEVER)
        self._pipeline.budget.config = replace(self._pipeline.budget.config, level=level)
        self._on_set()
        try:
            result = self._pipeline.step(replace(synced, samples=samples, absent=absent))
        except SentryFuseError:
            return None
        left_out = (Modality(name) for name, why in result.absent.items() if why is Absence.LEFT_OUT)
        if (result.used | ModalitySet.of(*left_out), result.plan.level) != (mask, level):
            return None
        times = result.times
        return times.pre + times.infer + times.post, result.switch_us
