"""Runs of the benchmark: all methods of one data set, backbone and seed, one JSON record each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentryfuse_core.lab.bench.contest import Contest
from sentryfuse_core.lab.bench.data import Source
from sentryfuse_core.lab.bench.entrants import absent_methods, methods_of
from sentryfuse_core.lab.bench.measure import Method, named_methods, run_pending
from sentryfuse_core.lab.bench.recipe import Recipe

__all__ = ["Task", "chosen_methods", "run_task", "tasks"]


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
        return self.folder / self.name


def tasks(source: Source, recipe: Recipe, folder: Path) -> list[Task]:
    """Every run of a data set, all backbones of one seed before the next seed."""
    return [Task(source, backbone, seed, folder) for seed in recipe.seeds for backbone in recipe.backbones]


def chosen_methods(
    recipe: Recipe, *, ablations: bool = False, only: Sequence[str] = ()
) -> list[Method[Contest]]:
    """The methods to run: `only` these, or all; an ablation that is named needs no `ablations`.

    Raises:
        ConfigError: a name that no method has, or one that cannot run here, with the remedy.
    """
    methods = methods_of(recipe, ablations=ablations or bool(only))
    return named_methods(methods, only, absent=absent_methods())


def run_task(
    task: Task,
    recipe: Recipe,
    *,
    ablations: bool = False,
    only: Sequence[str] = (),
    on_job: Callable[[str], None] = lambda _: None,
) -> Iterator[Path]:
    """Run what is pending of a task; yields every record as it is written. Raises as `chosen_methods`."""

    def contest() -> Contest:
        arrays = task.source.load(task.seed)
        return Contest(recipe, arrays, backbone=task.backbone, seed=task.seed, folder=task.place)

    facts = {
        "data": task.source.name,
        "backbone": task.backbone,
        "seed": task.seed,
        "fold": task.seed % task.source.folds,
        "config": {**recipe.to_mapping(), **task.source.config},
    }
    yield from run_pending(
        task.place,
        chosen_methods(recipe, ablations=ablations, only=only),
        contest,
        facts=facts,
        hits=task.source.keeps_hits,
        on_job=lambda name: on_job(f"{task.name}/{name}"),
    )
