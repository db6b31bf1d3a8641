"""Runs the benchmark job by job: one method on one data set, backbone and seed, one JSON record each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.bench.contest import Contest
from sentryfuse_core.lab.bench.data import Source
from sentryfuse_core.lab.bench.entrants import Method, absent_methods, methods_of
from sentryfuse_core.lab.bench.measure import measured_rows, write_record
from sentryfuse_core.lab.bench.recipe import Recipe

__all__ = ["Task", "chosen_methods", "pending", "run_task", "tasks"]


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
        yield write_record(
            task.place / f"{method.name}.json",
            {
                "data": task.source.name,
                "backbone": task.backbone,
                "seed": task.seed,
                "fold": task.source.fold(task.seed),
                "method": method.name,
                "kind": method.kind,
                "modalities": list(contest.modalities),
                "config": {**recipe.to_mapping(), **task.source.config},
                "train": {"seconds": round(trained_s, 1), "macs": entrant.macs},
                "notes": dict(entrant.notes),
                "items": contest.items.tolist() if task.source.keeps_hits else [],
                "rows": measured_rows(contest, entrant, hits=task.source.keeps_hits),
            },
        )
