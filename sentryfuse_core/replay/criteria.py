"""Pass criteria of a replay: limits from a YAML file, judged against metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sentryfuse_core.errors import ConfigError

__all__ = ["CRITERIA", "Verdict", "judge", "load_criteria"]

# Name, where its figure is in metrics.json, and what it is; a name ends in the direction of its limit.
CRITERIA: Mapping[str, tuple[tuple[str, ...], str]] = {
    "map_min": (("accuracy", "all", "map"), "mean average precision, 0..1; needs labels"),
    "coverage_min": (("coverage", "share"), "share of lidar (else camera) stamps that a set carries, 0..1"),
    "sets_min": (("sets",), "sets"),
    "detections_min": (("detections",), "boxes found"),
    "longest_gap_max_s": (("longest_gap_between_sets_s",), "longest silence between two sets, s"),
    "step_p95_max_ms": (
        ("latency_ms", "step", "p95"),
        "wall time of one set on this machine, 95th percentile, ms",
    ),
    "infer_p95_max_ms": (("latency_ms", "infer", "p95"), "of it the network, 95th percentile, ms"),
    "real_time_factor_min": (("real_time_factor",), "seconds of recording replayed in a second"),
}


@dataclass(frozen=True)
class Verdict:
    """One criterion, judged; `measured` None: there is no such figure in this run, which fails."""

    name: str
    limit: float
    measured: float | None
    what: str

    @property
    def passed(self) -> bool:
        """Whether the figure is there and within its limit."""
        if self.measured is None:
            return False
        return self.measured <= self.limit if "_max" in self.name else self.measured >= self.limit

    def __str__(self) -> str:
        side = "at most" if "_max" in self.name else "at least"
        if self.measured is None:
            return f"{self.name}: not measured in this run ({self.what}); {side} {self.limit:g} is asked"
        return f"{self.name}: {self.measured:g}, {side} {self.limit:g} is asked ({self.what})"


def load_criteria(path: Path) -> dict[str, float]:
    """Limits by name; raises ConfigError that names the file and what is wrong in it."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the criteria {path}: {error.strerror}; give a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"{path} holds no criteria; write lines such as 'coverage_min: 0.95'")
    for name, limit in found.items():
        if name not in CRITERIA:
            raise ConfigError(f"{path}: unknown criterion {name!r}; there are {', '.join(CRITERIA)}")
        if isinstance(limit, bool) or not isinstance(limit, (int, float)):
            raise ConfigError(f"{path}: {name} is {limit!r}; give a number")
    return {name: float(limit) for name, limit in found.items()}


def judge(limits: Mapping[str, float], metrics: Mapping[str, Any]) -> list[Verdict]:
    """A verdict for each limit, in their order."""
    return [
        Verdict(name, limit, _look_up(metrics, name), CRITERIA[name][1]) for name, limit in limits.items()
    ]


def _look_up(metrics: Mapping[str, Any], name: str) -> float | None:
    value: Any = metrics
    for key in CRITERIA[name][0]:
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if value is None else float(value)
