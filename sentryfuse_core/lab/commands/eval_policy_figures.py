"""What policies and faults come to: figures with aims, and intervals over frames drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sentryfuse_core.boxes import Floats
from sentryfuse_core.faults.severities import SEVERITY_NAMES
from sentryfuse_core.lab.bench.results import Figure
from sentryfuse_core.lab.scoring.resample import Interval, interval_of
from sentryfuse_core.lab.training.fault_table import FaultRow
from sentryfuse_core.lab.training.policies import ORACLE, QUALITY, UNIFORM, Outcome
from sentryfuse_core.types import ModalitySet

__all__ = ["FaultStudy", "PolicyStudy", "fault_figures", "policy_figures"]

CLEAN = "as they are"
_FEWER = {0.5: 3.0, 1.5: 5.0}  # points below full width, and how many times fewer MACs are aimed at there
_LEAST_GAIN = 3.0  # points over uniform widths at the same MACs
_LEAST_SHARE = 80.0  # % of the oracle's savings
_LEAST_AGAINST_NONE = -1.0  # points that a bad sensor may cost against its absence
_MOST = 50.0  # % of faults and severities
_LEAST_MRA = 0.9  # mean over faults of mAP against clean mAP

Key = tuple[str, int]  # policy, level


@dataclass(frozen=True, eq=False)
class PolicyStudy:
    """Every policy on frames of one kind; mAPs in points, as found and by draws of frames anew."""

    kind: str
    outcomes: Sequence[Outcome]
    points: Floats  # [outcomes]
    drawn: Floats  # [draws, outcomes]
    sensors: ModalitySet = field(default_factory=ModalitySet.all)  # that the frames have

    @property
    def keys(self) -> list[Key]:
        """Policies and levels, in the order they are to be told: by policy, then level."""
        names = dict.fromkeys(one.policy for one in self.outcomes)
        found = dict.fromkeys((one.policy, one.level) for one in self.outcomes)
        return sorted(found, key=lambda key: (list(names).index(key[0]), key[1]))

    def rows(self, key: Key, present: ModalitySet | None = None) -> list[int]:
        """Which outcomes are of a policy and level, for one set of sensors or for all sets."""
        return [
            index
            for index, one in enumerate(self.outcomes)
            if (one.policy, one.level) == key and present in (None, one.present)
        ]

    def gmacs(self, key: Key, present: ModalitySet | None = None) -> float:
        """Mean over frames, and over the sets of sensors unless one is given."""
        return float(np.mean([self.outcomes[row].gmacs for row in self.rows(key, present)]))

    def map(self, key: Key, present: ModalitySet | None = None) -> Interval:
        """In points; the mean over the sets of sensors unless one is given."""
        rows = self.rows(key, present)
        return self.interval(lambda points: float(points[rows].mean()))

    def interval(self, of: Callable[[Floats], float]) -> Interval:
        """What `of` makes of the mAPs [outcomes], and the interval by the draws."""
        return interval_of(of(self.points), np.array([of(row) for row in self.drawn]))


@dataclass(frozen=True, eq=False)
class FaultStudy:
    """Every fault and severity; mAPs in points with the bad sensor, without it and with it good."""

    rows: Sequence[FaultRow]
    points: Floats  # [rows, 3]
    drawn: Floats  # [draws, rows, 3]

    @property
    def kinds(self) -> list[list[int]]:
        """The rows of each fault of each sensor."""
        found: dict[tuple[str, str], list[int]] = {}
        for index, row in enumerate(self.rows):
            found.setdefault((row.sensor.value, row.fault), []).append(index)
        return list(found.values())

    def kept(self, points: Floats) -> float:
        """Bad against clean mAP [rows, 3], mean over severities, then faults; NaN where clean is 0."""
        unknown = np.full(len(points), np.nan)
        shares = np.divide(points[:, 0], points[:, 2], out=unknown, where=points[:, 2] > 0.0)
        return float(np.mean([shares[rows].mean() for rows in self.kinds]))

    def interval(self, of: Callable[[Floats], float]) -> Interval:
        """What `of` makes of the mAPs [rows, 3], and the interval by the draws."""
        return interval_of(of(self.points), np.array([of(one) for one in self.drawn]))


def policy_figures(study: PolicyStudy) -> list[Figure]:
    """MACs saved at few points lost, points gained at equal MACs, and the share of the oracle's savings."""
    everything, where = study.sensors, f"frames {study.kind}"
    ladder = [key for key in study.keys if key[0] == QUALITY]
    full = study.rows((UNIFORM, 0), everything)[0]
    whole = study.outcomes[full].gmacs
    steps = [study.rows(key, everything)[0] for key in ladder]
    costs = [study.outcomes[row].gmacs for row in steps]
    sets = len(study.rows(ladder[0]))
    oracle = study.rows((ORACLE, 0), everything)[0]

    def fewer(points: Floats, most: float) -> float:
        good = [cost for row, cost in zip(steps, costs, strict=True) if points[full] - points[row] <= most]
        return whole / min([whole, *good])

    def gained(points: Floats, level: int) -> float:
        pairs = sorted((study.gmacs(key), float(points[study.rows(key)].mean())) for key in ladder)
        uniform = (UNIFORM, level)
        mine = np.interp(study.gmacs(uniform), *np.array(pairs).T)
        return float(mine - points[study.rows(uniform)].mean())

    def saved(points: Floats) -> float:
        mine = _cost_of(list(zip(costs, points[steps], strict=True)), points[oracle], whole)
        return 100.0 * (whole - mine) / max(whole - study.outcomes[oracle].gmacs, 1e-9)

    return [
        *(
            _figure(
                f"times fewer MACs, at most {most:g} points below full width, all sensors, {where}",
                study.interval(partial(fewer, most=most)),
                "x",
                target if study.kind == CLEAN else None,
            )
            for most, target in _FEWER.items()
        ),
        *(
            _figure(
                f"gate over uniform level {level} at its MACs, mean of {sets} sets, {where}",
                study.interval(partial(gained, level=level)),
                "points",
                _LEAST_GAIN,
            )
            for level in sorted({key[1] for key in study.keys if key[0] == UNIFORM} - {0})
        ),
        _figure(
            f"the gate's share of the MACs that the oracle saves, at its mAP, all sensors, {where}",
            study.interval(saved),
            "%",
            _LEAST_SHARE,
        ),
    ]


def _cost_of(ladder: Sequence[tuple[float, float]], points: float, most: float) -> float:
    """The least GMACs of a ladder of (GMACs, mAP) that reaches `points`; `most` where none does."""
    steps: list[tuple[float, float]] = []
    for gmacs, value in sorted(ladder):
        if not steps or value > steps[-1][1]:
            steps.append((gmacs, value))
    costs, values = np.array(steps).T
    return float(np.interp(points, values, costs, right=most))


def fault_figures(study: FaultStudy) -> list[Figure]:
    """The worst of a bad sensor against none, how often it is better, and mAP against clean mAP."""
    gains = study.points[:, 0] - study.points[:, 1]
    worst = int(np.argmin(gains))
    one = study.rows[worst]
    name = f"{one.sensor.value} {one.fault}, {SEVERITY_NAMES[one.severity - 1]}"

    def share(points: Floats, least: float) -> float:
        return 100.0 * float(np.mean(points[:, 0] - points[:, 1] > least))

    return [
        _figure(
            f"a bad sensor against its absence, the worst of {len(gains)}: {name}",
            study.interval(lambda points: float(points[worst, 0] - points[worst, 1])),
            "points",
            _LEAST_AGAINST_NONE,
        ),
        _figure(
            f"faults and severities in which it costs at most {-_LEAST_AGAINST_NONE:g} point",
            study.interval(lambda points: share(points, _LEAST_AGAINST_NONE)),
            "%",
            100.0,
        ),
        _figure(
            "faults and severities in which it is better than its absence",
            study.interval(lambda points: share(points, 0.0)),
            "%",
            _MOST,
        ),
        _figure(
            f"mAP against clean mAP, mean over severities and then over {len(study.kinds)} faults (as mRA)",
            study.interval(study.kept),
            "",
            _LEAST_MRA,
        ),
    ]


def _figure(what: str, found: Interval, unit: str, target: float | None) -> Figure:
    return Figure(what=what, measured=found.value, unit=unit, target=target, low=found.low, high=found.high)
