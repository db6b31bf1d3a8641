"""What the networks of an entrant score and cost, row by row, and the jobs that keep it in records."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from torch import nn

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.bench.records import pack_hits
from sentryfuse_core.lab.training.stages import PlanTable
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import Present
from sentryfuse_core.pruning.units import prefix, sliced
from sentryfuse_core.replay.manifest import source_commit, versions
from sentryfuse_core.whole_files import written_whole

if TYPE_CHECKING:
    from sentryfuse_core.lab.bench.contest import Contest
    from sentryfuse_core.lab.bench.world import WorldContest

__all__ = ["Entrant", "Judge", "Method", "named_methods", "nested", "run_pending", "whole"]

Judge: TypeAlias = "Contest | WorldContest"
"""What networks of one run are judged on."""
_Judge = TypeVar("_Judge", bound="Contest | WorldContest")
_Units = Mapping[str, Sequence[int]]
_CHOICES = ("backbones", "seeds", "device")  # of a recipe: which runs there are, and where


@dataclass(frozen=True, eq=False)
class Entrant:
    """A method's answer in one run, for every set of present modalities and each of its `ratios`."""

    kept: Callable[[Present, float], _Units]  # units that stay, by layer
    at: Callable[[Present, float], nn.Module]  # the network for inference
    macs: float  # multiply-accumulates of its training
    costs: Mapping[Present, UnitCosts]  # of its full network
    ratios: Sequence[float] = (0.0,)
    notes: Mapping[str, Any] = field(default_factory=dict)


def whole(network: nn.Module, macs: float, costs: Mapping[Present, UnitCosts]) -> Entrant:
    """A network of one size."""
    return Entrant(lambda present, _: prefix(costs[present].units), lambda *_: network, macs, costs)


def nested(
    network: nn.Module,
    table: PlanTable,
    macs: float,
    costs: Mapping[Present, UnitCosts],
    ratios: Sequence[float],
) -> Entrant:
    """Leading units of one network, by a table of widths; at ratio 0 the whole network, too."""

    def kept(present: Present, ratio: float) -> _Units:
        return prefix(table[present, ratio] if ratio else costs[present].units)

    def at(present: Present, ratio: float) -> nn.Module:
        return sliced(network, kept(present, ratio)) if ratio else network

    return Entrant(kept, at, macs, costs, (0.0, *ratios))


@dataclass(frozen=True)
class Method(Generic[_Judge]):
    """One method: `kind` as the records have it, `enter` trains or prepares it."""

    name: str
    kind: str
    enter: Callable[[_Judge], Entrant]


def named_methods(
    methods: Sequence[Method[_Judge]], only: Sequence[str], *, absent: Mapping[str, str] | None = None
) -> list[Method[_Judge]]:
    """The methods to run: `only` these, or all.

    Raises:
        ConfigError: a name that no method has, or one that is `absent`, with the remedy.
    """
    known = [method.name for method in methods]
    for name in only:
        if absent and name in absent:
            raise ConfigError(f"method {name!r} needs a package that is not installed: {absent[name]}")
        if name not in known:
            raise ConfigError(f"unknown method {name!r}; there are {', '.join(known)}")
    return [method for method in methods if not only or method.name in only]


def run_pending(
    place: Path,
    methods: Sequence[Method[_Judge]],
    contest: Callable[[], _Judge],
    *,
    facts: Mapping[str, Any],
    hits: bool,
    on_job: Callable[[str], None],
) -> Iterator[Path]:
    """Run every method without a record in `place`; yields each one as it is written, led by `facts`.

    A record is written whole or not at all, so that an interrupted benchmark goes on where it was.
    `hits`: with what was right in test.

    Raises:
        ConfigError: a record that is there is of another recipe or of other data.
    """
    for path in sorted(place.glob("*.json")):
        _check_same(path, facts["config"])
    left = [method for method in methods if not (place / f"{method.name}.json").exists()]
    if not left:
        return
    judge = contest()
    for method in left:
        on_job(method.name)
        started_s = time.monotonic()
        entrant = method.enter(judge)
        trained_s = time.monotonic() - started_s
        record = {
            **facts,
            "method": method.name,
            "kind": method.kind,
            "modalities": list(judge.modalities),
            "train": {"seconds": round(trained_s, 1), "macs": entrant.macs},
            "notes": dict(entrant.notes),
            "items": list(judge.items) if hits else [],
            "rows": [
                row
                for ratio in entrant.ratios
                for present in judge.sets
                for row in _rows(judge, entrant, present, ratio, hits=hits)
            ],
            "versions": versions(),
            "commit": source_commit(),
        }
        path = place / f"{method.name}.json"
        with written_whole(path, remedy="make room, or give another --out") as partial:
            partial.write_text(json.dumps(record) + "\n", encoding="utf-8")
        yield path


def _check_same(path: Path, config: Mapping[str, Any]) -> None:
    """Raises ConfigError when a record is of another `config`, but for what chooses runs."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["config"]
        shared = {key: value for key, value in config.items() if key in found and key not in _CHOICES}
    except (OSError, ValueError, KeyError, TypeError):
        return  # whoever reads the records will say what is wrong with it
    for key, value in json.loads(json.dumps(shared)).items():
        if found[key] != value:
            raise ConfigError(
                f"{path} is of {key} {found[key]}, this run of {value}; give another --out, or delete it"
            )


def _rows(
    judge: Judge, entrant: Entrant, present: Present, ratio: float, *, hits: bool
) -> Iterator[dict[str, Any]]:
    """The rows of one sub-network on both splits."""
    costs, kept = entrant.costs[present], entrant.kept(present, ratio)
    running = {name: len(units) for name, units in kept.items() if costs.macs[name]}
    unit_macs = costs.of(kept)
    network = entrant.at(present, ratio)
    for split in judge.splits:
        right = judge.hits(network, split, present)
        row: dict[str, Any] = {
            "present": [name for name in judge.modalities if name in present],
            "ratio": ratio,
            "split": split,
            "accuracy": round(judge.accuracy(right, split), 3),
            "macs": costs.fixed + unit_macs,
            "unit_macs": unit_macs,
        }
        if split == "test":
            row["kept"] = running
            row["units"] = {name: costs.units[name] for name in running}
            if hits:
                row["hits"] = pack_hits(right.cpu().numpy())
        yield row
