"""Runs the benchmark job by job: one method on one data set, backbone and seed, one JSON record each."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentryfuse_core.bench.contest import Contest
from sentryfuse_core.bench.data import Source
from sentryfuse_core.bench.entrants import Entrant, Method, absent_methods, methods_of
from sentryfuse_core.bench.recipe import Recipe
from sentryfuse_core.bench.records import pack_hits
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.pruning.gate import Present
from sentryfuse_core.replay.manifest import source_commit

__all__ = ["Task", "chosen_methods", "pending", "run_task", "tasks"]

_LIBRARIES = ("numpy", "torch", "safetensors")


@dataclass(frozen=True)
class Task:
    """All methods of one run; its records lie below `folder`."""

    source: Source
    backbone: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """data/backbone/seed."""
        return f"{self.source.name}/{self.backbone}/s{self.seed}"

    @property
    def place(self) -> Path:
        """Where its records lie."""
        return self.folder / self.source.name / self.backbone / f"s{self.seed}"


def tasks(source: Source, recipe: Recipe, folder: Path) -> list[Task]:
    """Every run of a data set, all backbones of one seed before the next seed."""
    return [Task(source, backbone, seed, folder) for seed in recipe.seeds for backbone in recipe.backbones]


def chosen_methods(recipe: Recipe, *, ablations: bool = False, only: Sequence[str] = ()) -> list[Method]:
    """The methods to run: `only` these, or all; an ablation that is named needs no `ablations`.

    Raises:
        ConfigError: a name that no method has, or one that cannot run here, with the remedy.
    """
    methods = methods_of(recipe, ablations=ablations or bool(only))
    known = [method.name for method in methods]
    absent = absent_methods()
    for name in only:
        if name in absent:
            raise ConfigError(f"method {name!r} needs a package that is not installed: {absent[name]}")
        if name not in known:
            raise ConfigError(f"unknown method {name!r}; there are {', '.join(known)}")
    return [method for method in methods if not only or method.name in only]


def pending(task: Task, methods: Sequence[Method]) -> list[Method]:
    """The methods without a record."""
    return [method for method in methods if not (task.place / f"{method.name}.json").exists()]


def run_task(
    task: Task,
    recipe: Recipe,
    *,
    ablations: bool = False,
    only: Sequence[str] = (),
    on_job: Callable[[str], None] = lambda _: None,
) -> Iterator[Path]:
    """Run what is pending of a task; yields every record as it is written.

    A record is written whole or not at all, so that an interrupted benchmark goes on where it was.

    Raises:
        ConfigError: `only` names a method that there is not, or that cannot run here.
    """
    methods = pending(task, chosen_methods(recipe, ablations=ablations, only=only))
    if not methods:
        return
    contest = Contest(
        recipe, task.source.arrays(task.seed), backbone=task.backbone, seed=task.seed, folder=task.place
    )
    for method in methods:
        on_job(f"{task.name}/{method.name}")
        started_s = time.monotonic()
        entrant = method.enter(contest)
        trained_s = time.monotonic() - started_s
        record = {
            "data": task.source.name,
            "backbone": task.backbone,
            "seed": task.seed,
            "fold": task.source.fold(task.seed),
            "method": method.name,
            "kind": method.kind,
            "modalities": list(contest.modalities),
            "config": {**recipe.to_mapping(), **task.source.config},
            "versions": _versions(),
            "commit": source_commit(),
            "train": {"seconds": round(trained_s, 1), "macs": entrant.macs},
            "notes": dict(entrant.notes),
            "items": contest.items.tolist() if task.source.keeps_hits else [],
            "rows": _rows(contest, entrant, hits=task.source.keeps_hits),
        }
        path = task.place / f"{method.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(record) + "\n", encoding="utf-8")
        part.replace(path)
        yield path


def _rows(contest: Contest, entrant: Entrant, *, hits: bool) -> list[dict[str, Any]]:
    return [
        row
        for ratio in entrant.ratios
        for present in contest.sets
        for row in _measured(contest, entrant, present, ratio, hits=hits)
    ]


def _measured(
    contest: Contest, entrant: Entrant, present: Present, ratio: float, *, hits: bool
) -> Iterator[dict[str, Any]]:
    """The rows of one sub-network on both splits."""
    costs, kept = entrant.costs[present], entrant.kept(present, ratio)
    running = {name: len(units) for name, units in kept.items() if costs.macs[name]}
    unit_macs = costs.of(kept)
    network = entrant.at(present, ratio)
    for split in contest.splits:
        right = contest.hits(network, split, present)
        row: dict[str, Any] = {
            "present": [name for name in contest.modalities if name in present],
            "ratio": ratio,
            "split": split,
            "accuracy": round(contest.accuracy(right, split), 3),
            "macs": costs.fixed + unit_macs,
            "unit_macs": unit_macs,
        }
        if split == "test":
            row["kept"] = running
            row["units"] = {name: costs.units[name] for name in running}
            if hits:
                row["hits"] = pack_hits(right.cpu().numpy())
        yield row


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
