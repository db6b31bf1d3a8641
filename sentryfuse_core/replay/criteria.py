"""Pass criteria of a replay: read from YAML, held against metrics.json; what was not measured has failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from sentryfuse_core.account.latency import STAGES
from sentryfuse_core.errors import CriteriaError
from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.safe_files import read_yaml

__all__ = ["Criterion", "Verdict", "judge", "load_criteria"]

Measured: TypeAlias = tuple[float, str]  # NaN and why nothing was measured, or a value and what it says
Measure: TypeAlias = Callable[[Mapping[str, Any], str], Measured]  # of the metrics and the criterion's key
_SHARES = ("map_min", "nds_min", "recall_min", "relative_accuracy_min", "coverage_min", "injected_min")
_TOLD = 3  # of what was not injected; the notes have all
_NO_LABELS = "no box was labelled in what was played; give --labels FILE"
_NO_CLEAN = "no clean run to compare with; give --scenario and labels, and leave out --no-clean"


@dataclass(frozen=True)
class Criterion:
    """One limit; `key` is a fault or a stage where the criterion has several."""

    name: str
    key: str
    limit: float

    @property
    def title(self) -> str:
        """As a test case is called."""
        return f"{self.name}.{self.key}" if self.key else self.name

    @property
    def at_most(self) -> bool:
        """Whether the limit is an upper one."""
        return "_max" in self.name

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g}"


@dataclass(frozen=True)
class Verdict:
    """What became of one criterion; `measured` is NaN where `why` says that nothing was."""

    criterion: Criterion
    measured: float
    passed: bool
    why: str

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for metrics.json; a measurement that is missing or has no bound is null."""
        return {
            "name": self.criterion.title,
            "limit": self.criterion.limit,
            "measured": self.measured if math.isfinite(self.measured) else None,
            "passed": self.passed,
            "message": self.message,
        }

    @property
    def found(self) -> str:
        """The measured value, or why there is none."""
        return f"not measured: {self.why}" if math.isnan(self.measured) else f"{self.measured:.4g}{self.why}"

    @property
    def message(self) -> str:
        """Measured value and limit in one line."""
        return f"{self.criterion.title}: {self.found}, wanted {self.criterion.wanted}"


_WHOLE = Criterion("injected_min", "", 1.0)


def load_criteria(path: Path) -> tuple[Criterion, ...]:
    """Read a file of criteria; CriteriaError names what is unknown and what would be valid."""
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CriteriaError(f"cannot read the criteria {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping) or not content:
        raise CriteriaError(f"{path}: give names and limits, such as map_min: 0.2; found {content!r:.80}")
    return tuple(item for name, value in content.items() for item in _criteria(path, str(name), value))


def _criteria(path: Path, name: str, value: Any) -> Iterator[Criterion]:
    if name not in _MEASURES:
        raise CriteriaError(f"{path}: unknown criterion {name!r}; give one of {', '.join(_MEASURES)}")
    keys = _MEASURES[name][0]
    if not keys:
        yield Criterion(name, "", _limit(path, name, value))
        return
    if not isinstance(value, Mapping) or not value:
        raise CriteriaError(f"{path}: {name}: give a limit for each, such as {{{keys[0]}: 1.0}}")
    for key, limit in value.items():
        if key not in keys:
            raise CriteriaError(f"{path}: {name}: unknown {key!r}; give one of {', '.join(keys)}")
        yield Criterion(name, str(key), _limit(path, f"{name}.{key}", limit))


def _limit(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise CriteriaError(f"{path}: {name} = {value!r}; give a number")
    if value < 0.0:
        raise CriteriaError(f"{path}: {name} = {value!r}; give 0 or more")
    if name in _SHARES and value > 1.0:
        raise CriteriaError(f"{path}: {name} = {value!r}; give a share from 0 to 1, such as 0.8")
    return float(value)


def judge(criteria: Sequence[Criterion], metrics: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """The verdict on each criterion, in their order; `metrics` as in metrics.json.

    Whoever judges a run with a scenario means it to have happened: where the criteria do not say how much
    of it has to, all of it.
    """
    named = (metrics.get("injected") or {}).get("named")
    if criteria and named and all(item.name != _WHOLE.name for item in criteria):
        criteria = (_WHOLE, *criteria)
    verdicts = []
    for item in criteria:
        measured, why = _MEASURES[item.name][1](metrics, item.key)
        passed = measured <= item.limit if item.at_most else measured >= item.limit  # NaN passes neither
        verdicts.append(Verdict(item, measured, passed, why))
    return tuple(verdicts)


def _known(value: float | None, why: str) -> Measured:
    return (math.nan, why) if value is None else (value, "")


def _overall(name: str, why: str) -> Measure:
    def read(metrics: Mapping[str, Any], _key: str) -> Measured:
        overall = (metrics.get("accuracy") or {}).get("overall") or {}
        return _known(overall.get(name), why)

    return read


def _recall(metrics: Mapping[str, Any], _key: str) -> Measured:
    scores = metrics["recall_4m"].values()
    boxes = sum(score["boxes"] for score in scores)
    return _known(sum(score["found"] for score in scores) / boxes if boxes else None, _NO_LABELS)


def _output(name: str) -> Measure:
    return lambda metrics, _key: _known(metrics["output"][name], "nothing was played")


def _injected(metrics: Mapping[str, Any], _key: str) -> Measured:
    found = metrics.get("injected") or {}
    if not found.get("named"):
        return math.nan, "nothing was to be injected; give a --scenario that names faults or budgets"
    told = [*found["missed"][:_TOLD]]
    if more := len(found["missed"]) - len(told):
        told.append(f"and {more} more")
    return found["reached"] / found["named"], f" ({'; '.join(told)})" if told else ""


def _false_alarms(metrics: Mapping[str, Any], _key: str) -> Measured:
    alarms = metrics["false_alarms"]
    if alarms["per_hour"] is None:
        return math.nan, "nothing was played"
    return alarms["per_hour"], f" ({alarms['count']} in {metrics['played_s']:.1f} s)"


def _detection_delay(metrics: Mapping[str, Any], fault: str) -> Measured:
    hits = [item for item in metrics["faults"] if item["fault"] == fault]
    fresh = [item for item in hits if not item["already_out"]]
    if hits and not fresh:
        return math.nan, f"each {fault} hit a sensor that was not well before; let it begin when that is OK"
    return _slowest(fresh, "noticed_after_s", fault, "was not noticed")


def _recovery_delay(metrics: Mapping[str, Any], fault: str) -> Measured:
    hits = [item for item in metrics["faults"] if item["fault"] == fault]
    over = [item for item in hits if item["recovered_after_s"] is not None or item["still_out"]]
    left_s = min((metrics["played_s"] - item["until_s"] for item in over if item["still_out"]), default=0.0)
    missed = f"is not well in the {left_s:.1f} s that were played after the fault"
    return _slowest(over, "recovered_after_s", fault, missed)


def _slowest(hits: Sequence[Mapping[str, Any]], name: str, fault: str, missed: str) -> Measured:
    """The longest delay; infinite where one fault had no reaction at all."""
    if not hits:
        return math.nan, f"no {fault} to judge; give a --scenario that injects one and ends in time"
    for item in hits:
        if item[name] is None:
            return math.inf, f" ({item['sensor']} at {item['at_s']:g} s {missed})"
    worst = max(hits, key=lambda item: float(item[name]))
    return worst[name], f" ({worst['sensor']} at {worst['at_s']:g} s)"


def _latency(metrics: Mapping[str, Any], stage: str) -> Measured:
    return _known(metrics["latency_ms"][stage]["p95"], "no set was made")


# By name: the keys that a limit is given for each of, none: the one limit is given as it is.
_MEASURES: Mapping[str, tuple[Sequence[str], Measure]] = {
    "map_min": ((), _overall("map", _NO_LABELS)),
    "nds_min": ((), _overall("nds", _NO_LABELS)),
    "recall_min": ((), _recall),
    "relative_accuracy_min": ((), _overall("relative_map", _NO_CLEAN)),
    "coverage_min": ((), _output("share")),
    "injected_min": ((), _injected),
    "longest_silence_max_s": ((), _output("longest_silence_s")),
    "false_alarms_per_hour_max": ((), _false_alarms),
    "detection_delay_max_s": (tuple(FAULTS), _detection_delay),
    "recovery_delay_max_s": (tuple(FAULTS), _recovery_delay),
    "latency_p95_max_ms": ((*STAGES, "step"), _latency),
}
