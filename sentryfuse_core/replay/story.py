"""Judges a run against its scenario: what each stretch was to show, and what it did show."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sentryfuse_core.account.latency import percentiles
from sentryfuse_core.budget.pace import PACE
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import KINDS, Kinds
from sentryfuse_core.faults.scenario import Scenario, Stretch
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.truth import Truth, matched
from sentryfuse_core.types import Absence, Detection, Modality, ModalitySet

__all__ = ["StretchResult", "judge"]

_SETTLED_SHARE = 0.8  # of the sets after settling must look as expected; a late message may cost one
_ABOVE_PRIOR = 2.0


@dataclass(frozen=True)
class StretchResult:
    """One stretch: counts over all of it; sensors, levels, detections and recall once it has settled.

    A sensor that the gate spares counts in `used` as one in use.
    """

    stretch: Stretch
    sets: int
    used: Counter[tuple[str, ...]]  # names of the sensors in use
    as_expected: int  # sets with the sensors that were expected
    levels: Counter[int]
    level_reasons: Mapping[int, str]  # of the last set at each level
    paced: int  # sets at a narrower level than expected since the machine did not keep up
    detections_per_set: float  # NaN: no set
    camera_deg: float  # how much of the surroundings cameras watch, on the mean; NaN: not told
    lidar_deg: float
    recall_4m: float  # NaN: no ground truth
    prior_recall_4m: float  # of the canvas without tokens in the same sets
    longest_silence_s: float
    e2e_ms_p50: float
    e2e_ms_p95: float

    @property
    def above_prior(self) -> bool:
        """Whether at least twice as much was found as the canvas guesses."""
        return self.recall_4m >= _ABOVE_PRIOR * self.prior_recall_4m and self.recall_4m > 0.0

    @property
    def missed(self) -> tuple[str, ...]:
        """What the stretch did not show though it should have; empty when it did."""
        if not self.sets:
            return (f"{self.stretch.name}: no sets",)
        wrong = []
        if self.as_expected < _SETTLED_SHARE * max(self.used.total(), 1):
            shown = Counter({"+".join(names) or "none": count for names, count in self.used.items()})
            wrong.append(
                f"{self.stretch.name}: expected {'+'.join(self.stretch.expect)}, saw {_counts(shown)}"
            )
        # A narrower level counts where the machine does not keep up.
        level = self.stretch.level
        if level is not None and _share(self.levels, level, more=self.paced) < _SETTLED_SHARE:
            reasons = "".join(
                f"; level {ran}: {reason}"
                for ran, reason in sorted(self.level_reasons.items())
                if ran != level and reason
            )
            seen = f"expected level {level}, saw {_counts(self.levels)}{reasons}"
            wrong.append(f"{self.stretch.name}: {seen}")
        return tuple(wrong)

    @property
    def slow(self) -> str:
        """That the machine did not keep up, where it did not; empty else."""
        if not self.paced:
            return ""
        return f"{self.stretch.name}: {self.paced} sets at a narrower level: this machine does not keep up"


def judge(
    scenario: Scenario,
    records: Sequence[SetRecord],
    *,
    start_ns: int,
    truth: Truth,
    stamp_shift_ns: int,
    prior: Mapping[int, Sequence[Detection]],
    kinds: Kinds = KINDS,
) -> tuple[StretchResult, ...]:
    """The result of every stretch.

    Args:
        scenario: whose stretches are judged.
        records: in the order of release.
        start_ns: when the scenario began, on the clock of `released_ns`.
        truth: boxes by the recording's stamps.
        stamp_shift_ns: what was added to the recording's stamps when it was played.
        prior: what the canvas proposes without tokens, by level, best first.
        kinds: names and kinds of the sensors.
    """
    released = [(record.released_ns - start_ns) / NS_PER_S for record in records]
    results = []
    for stretch in scenario.stretches:
        inside = [index for index, at_s in enumerate(released) if stretch.at_s <= at_s < stretch.until_s]
        settled = [records[i] for i in inside if released[i] >= stretch.at_s + stretch.settle_s]
        latency_ms = percentiles(records[index].latency_ms["e2e"] for index in inside)
        used = [_at_hand(record, kinds) for record in settled]
        recall, prior_recall = _recalls(settled, truth, stamp_shift_ns, prior)
        results.append(
            StretchResult(
                stretch=stretch,
                sets=len(inside),
                used=Counter(used),
                as_expected=sum(_is_expected(names, stretch.expect, dict(kinds)) for names in used),
                levels=Counter(record.level for record in settled),
                level_reasons={record.level: record.level_reason for record in settled},
                paced=sum(
                    stretch.level is not None
                    and record.level > stretch.level
                    and record.level_reason.startswith(PACE)
                    for record in settled
                ),
                detections_per_set=_mean(len(record.detections) for record in settled),
                camera_deg=_mean(
                    _watched_deg(record, Modality.CAMERA) for record in settled if record.watched
                ),
                lidar_deg=_mean(_watched_deg(record, Modality.LIDAR) for record in settled if record.watched),
                recall_4m=recall,
                prior_recall_4m=prior_recall,
                longest_silence_s=_longest_gap_s(released, stretch),
                e2e_ms_p50=latency_ms["p50"],
                e2e_ms_p95=latency_ms["p95"],
            )
        )
    return tuple(results)


def _at_hand(record: SetRecord, kinds: Kinds) -> tuple[str, ...]:
    """The sensors in use, and those that the gate spares since the others see enough for the budget."""
    return tuple(
        name
        for name, _ in kinds
        if name in record.sensors or record.absent.get(name) == Absence.LEFT_OUT.value
    )


def _is_expected(used: Sequence[str], expect: Sequence[str], kinds: Mapping[str, Modality]) -> bool:
    """Whether each sensor in use is expected, by name or kind, and nothing that is expected is missing."""
    known = set(expect)
    told = [{name, kinds[name].value} & known for name in used]
    return all(told) and known == set().union(*told)


def _watched_deg(record: SetRecord, kind: Modality) -> float:
    """How many degrees sensors of a kind watch."""
    return sum(last - first for first, last, bits in record.watched if bits & ModalitySet.of(kind).bits)


def _recalls(
    records: Sequence[SetRecord], truth: Truth, stamp_shift_ns: int, prior: Mapping[int, Sequence[Detection]]
) -> tuple[float, float]:
    boxes = found = guessed = 0
    for record in records:
        real = truth.at(record.stamp_ns - stamp_shift_ns)
        boxes += len(real)
        found += matched(record.detections, real)
        guessed += matched(prior.get(record.level, ()), real)
    return (found / boxes, guessed / boxes) if boxes else (math.nan, math.nan)


def _longest_gap_s(released: Sequence[float], stretch: Stretch) -> float:
    """The longest time without a set that ends, or is still going on, in the stretch."""
    before = [at_s for at_s in released if at_s < stretch.at_s]
    inside = [at_s for at_s in released if stretch.at_s <= at_s < stretch.until_s]
    if not inside:
        return stretch.until_s - (before[-1] if before else stretch.at_s)
    times = [*before[-1:], *inside]
    return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan


def _share(counts: Counter[Any], wanted: object, *, more: int = 0) -> float:
    return (counts[wanted] + more) / max(counts.total(), 1)


def _counts(counts: Counter[Any]) -> str:
    return ", ".join(f"{what} {count}x" for what, count in counts.most_common()) or "no sets"
