"""Scenarios: which fault hits which stream when, read from YAML as docs/faults.md has it, and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from sentryfuse_core.config import KINDS, Kinds
from sentryfuse_core.errors import ScenarioError
from sentryfuse_core.faults.kinds import FAULTS, FaultKind
from sentryfuse_core.faults.severities import SEVERITIES, SEVERITY_NAMES
from sentryfuse_core.safe_files import read_yaml
from sentryfuse_core.types import Modality, ModalitySet

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EVERY_SENSOR", "Action", "Event", "Scenario", "Stretch", "load_scenario"]

_MOST = 1e19  # more than any time, power or seed: infinity is for what has no end
_MOST_LEVEL = 2**31 - 1  # that a Budget message can carry
EVERY_SENSOR = "all"  # a stream: every message of any sensor


@dataclass(frozen=True)
class Event:
    """One fault on one stream in [at_s, until_s)."""

    at_s: float
    until_s: float
    stream: str
    fault: str
    options: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.fault} of {self.stream} at {self.at_s:g} s"

    def hits(self, topic: str, sensor: str | None, at_s: float, *, kind: Modality | None = None) -> bool:
        """Whether a message of this topic and sensor, by name and kind, is affected at `at_s`."""
        if not self.at_s <= at_s < self.until_s:
            return False
        if self.stream == topic:
            return True
        return sensor is not None and self.stream in (sensor, kind, EVERY_SENSOR)


@dataclass(frozen=True)
class Action:
    """A budget that the robot sets at `at_s`; as in Budget.msg, NaN and -1 ask for nothing."""

    at_s: float
    power_w: float = math.nan
    latency_ms: float = math.nan
    level: int = -1


@dataclass(frozen=True)
class Stretch:
    """A part of the story and the sensors that should carry it once `settle_s` have passed.

    A kind stands for one sensor of that kind or more, whatever their names.
    """

    name: str
    at_s: float
    until_s: float
    expect: tuple[str, ...]  # names of sensors or kinds
    settle_s: float
    level: int | None  # the pruning level it should run at; None: any


@dataclass(frozen=True)
class Scenario:
    """What happens in `seconds` of play."""

    name: str
    seed: int
    seconds: float
    events: tuple[Event, ...] = ()
    actions: tuple[Action, ...] = ()
    stretches: tuple[Stretch, ...] = ()

    def active(
        self, topic: str, sensor: str | None, at_s: float, *, kind: Modality | None = None
    ) -> tuple[Event, ...]:
        """The events that affect a message of this topic and sensor at `at_s`, in the order of the file."""
        return tuple(event for event in self.events if event.hits(topic, sensor, at_s, kind=kind))

    def running(self, at_s: float) -> tuple[Event, ...]:
        """Every event in force at `at_s`."""
        return tuple(event for event in self.events if event.at_s <= at_s < event.until_s)


def load_scenario(path: Path, *, kinds: Kinds = KINDS) -> Scenario:
    """Read a scenario for sensors of these names and kinds; a kind as stream is every sensor of it.

    ScenarioError names what is wrong and what would be right.
    """
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"cannot read the scenario {path}: {' '.join(str(error).split())}") from error
    top = _Reader(content, f"scenario {path.name}")
    seconds = top.number("seconds", low=0.001, high=math.inf)
    scenario = Scenario(
        name=top.text("name", default=path.stem),
        seed=top.whole("seed", default=0.0),
        seconds=seconds,
        events=tuple(_event(reader, seconds, dict(kinds)) for reader in top.items("events")),
        actions=tuple(_action(reader) for reader in top.items("actions")),
        stretches=tuple(_stretch(reader, seconds, dict(kinds)) for reader in top.items("stretches")),
    )
    top.finish()
    return scenario


def _event(reader: _Reader, seconds: float, kinds: Mapping[str, Modality]) -> Event:
    at_s, until_s = reader.interval(seconds)
    stream = reader.text("stream")
    names = [*_sensors(kinds), EVERY_SENSOR]
    if stream not in names and not stream.startswith("/"):
        raise ScenarioError(f"{reader.where}: unknown stream {stream!r}; give {', '.join(names)} or a /topic")
    fault = reader.text("fault")
    if fault not in FAULTS:
        raise ScenarioError(f"{reader.where}: unknown fault {fault!r}; give one of {', '.join(FAULTS)}")
    kind = FAULTS[fault]
    hit = ModalitySet.of(*(kind for kind in Modality if stream in (kind, EVERY_SENSOR)))
    hit |= ModalitySet.of(*(kind for name, kind in kinds.items() if name == stream))
    if hit - kind.streams:
        raise ScenarioError(f"{reader.where}: fault {fault!r} is not for {stream}; it is for {kind.streams}")
    given = _of_severity(reader, fault, kind, hit) if reader.has("severity") else {}
    options = {
        name: given[name]
        if name in given
        else reader.number(name, default=option.default, low=option.low, high=option.high)
        for name, option in kind.options.items()
    }
    reader.finish()
    return Event(at_s, until_s, stream, fault, options)


def _of_severity(reader: _Reader, fault: str, kind: FaultKind, hit: ModalitySet) -> Mapping[str, float]:
    """All options, as the severity has them; `hit` are the sensors of the stream, none if unknown."""
    severity = reader.text("severity")
    if severity not in SEVERITY_NAMES:
        valid = ", ".join(SEVERITY_NAMES)
        raise ScenarioError(f"{reader.where}: severity = {severity!r}; give one of {valid}")
    where = f"{reader.where}: severity of {fault!r}"
    known = {
        sensor: cases
        for (sensor, name), cases in SEVERITIES.items()
        if name == fault and any(cases) and all(case.keys() <= kind.options.keys() for case in cases)
    }
    if not known:
        raise ScenarioError(f"{where}: it knows no degrees; leave severity out")
    sensors = [sensor for sensor in known if sensor in (hit or known)]
    if len(sensors) != 1:
        names = ", ".join(sensor.value for sensor in known)
        raise ScenarioError(f"{where}: it differs by sensor; give one of {names} as the stream")
    others = [name for name in kind.options if reader.has(name)]
    if others:
        raise ScenarioError(f"{where}: it stands in place of {', '.join(others)}; give one or the other")
    case = known[sensors[0]][SEVERITY_NAMES.index(severity)]
    fixed = {name: option.default for name, option in kind.options.items() if option.default is not None}
    return {**fixed, **case}


def _action(reader: _Reader) -> Action:
    at_s = reader.number("at_s", low=0.0)
    given = {name: reader.number(name, low=0.0) for name in ("power_w", "latency_ms") if reader.has(name)}
    level = reader.whole("level", high=_MOST_LEVEL) if reader.has("level") else -1
    if not given and level < 0:
        raise ScenarioError(f"{reader.where}: asks for nothing; give power_w, latency_ms or level")
    reader.finish()
    return Action(at_s, level=level, **given)


def _sensors(kinds: Mapping[str, Modality]) -> list[str]:
    """What may be said of sensors: their names, and kinds."""
    return list(dict.fromkeys((*kinds, *(kind.value for kind in Modality))))


def _stretch(reader: _Reader, seconds: float, kinds: Mapping[str, Modality]) -> Stretch:
    at_s, until_s = reader.interval(seconds)
    name = reader.text("name")
    expect = reader.words("expect", _sensors(kinds))
    settle_s = reader.number("settle_s", default=0.0, low=0.0)
    level = reader.whole("level", high=_MOST_LEVEL) if reader.has("level") else None
    reader.finish()
    return Stretch(name, at_s, until_s, expect, settle_s, level)


class _Reader:
    """Takes typed values out of one YAML mapping and complains about what is left."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, Mapping):
            raise ScenarioError(f"{where}: expected a mapping of names to values, found {content!r}")
        self._left = dict(content)
        self._taken: list[str] = []
        self.where = where

    def has(self, name: str) -> bool:
        if name not in self._left:
            self._taken.append(name)  # optional, but valid
        return name in self._left

    def _take(self, name: str, default: Any) -> Any:
        self._taken.append(name)
        value = self._left.pop(name, default)
        if value is None:
            raise ScenarioError(f"{self.where}: {name} is missing")
        return value

    def number(
        self, name: str, *, default: float | None = None, low: float = -_MOST, high: float = _MOST
    ) -> float:
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ScenarioError(f"{self.where}: {name} = {value!r}; give a number from {low} to {high}")
        return float(value)

    def whole(self, name: str, *, default: float | None = None, high: float = _MOST) -> int:
        value = self.number(name, default=default, low=0.0, high=high)
        if not value.is_integer():
            raise ScenarioError(f"{self.where}: {name} = {value!r}; give an integer")
        return int(value)

    def text(self, name: str, *, default: str | None = None) -> str:
        value = self._take(name, default)
        if not isinstance(value, str):
            raise ScenarioError(f"{self.where}: {name} = {value!r}; give a text")
        return value

    def interval(self, seconds: float) -> tuple[float, float]:
        at_s = self.number("at_s", low=0.0)
        until_s = self.number("until_s", default=seconds, high=math.inf)
        if not until_s > at_s:
            raise ScenarioError(f"{self.where}: until_s = {until_s} is not after at_s = {at_s}")
        return at_s, until_s

    def words(self, name: str, valid: Sequence[str]) -> tuple[str, ...]:
        given = self._take(name, None)
        if not isinstance(given, list) or not all(item in valid for item in given):
            raise ScenarioError(f"{self.where}: {name} = {given!r}; give a list of {', '.join(valid)}")
        return tuple(given)

    def items(self, name: str) -> list[_Reader]:
        self._taken.append(name)
        content = self._left.pop(name, [])
        if not isinstance(content, list):
            raise ScenarioError(f"{self.where}: {name} is not a list")
        return [_Reader(item, f"{self.where}: {name}[{index}]") for index, item in enumerate(content)]

    def finish(self) -> None:
        if self._left:
            unknown, valid = ", ".join(map(repr, self._left)), ", ".join(self._taken)
            raise ScenarioError(f"{self.where}: unknown {unknown}; valid are {valid}")
