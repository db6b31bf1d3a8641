"""The methods of the detector's pruning benchmark, and its jobs: one method on one seed, one JSON record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.bench.entrants import Chosen, NestedWidths, Whole
from sentryfuse_core.lab.bench.measure import Entrant, measured_rows, write_record
from sentryfuse_core.lab.bench.tuning import tune
from sentryfuse_core.lab.bench.world import WorldContest, WorldRecipe, WorldTrained
from sentryfuse_core.lab.bench.world_frames import Frames
from sentryfuse_core.lab.rivals import RULES
from sentryfuse_core.lab.rivals.rule import Rule
from sentryfuse_core.lab.training.detection import DetectionStage, MatFormerDetectionStage
from sentryfuse_core.lab.training.nest import sorted_units
from sentryfuse_core.lab.training.stages import even_passes
from sentryfuse_core.model.checkpoint import Checkpoint

__all__ = ["METHODS", "chosen_methods", "place", "run_seed"]


class _Run:
    """One seed: its contest, and the dense network that rules prune, trained once."""

    def __init__(self, contest: WorldContest) -> None:
        self.contest = contest
        self._dense: WorldTrained | None = None

    def dense(self) -> WorldTrained:
        """Trained further with the whole budget."""
        if self._dense is None:
            self._dense = self.densely(share=1.0)
        return self._dense

    def densely(self, *, share: float) -> WorldTrained:
        """The shipped weights trained further at full width with modality dropout."""
        contest = self.contest
        stage = DetectionStage(task=contest.task, dropout=contest.dropout, table={}, passes={0.0: 1.0})
        return contest.fit(contest.fresh(), stage, macs=share * contest.budget)


def _shipped(run: _Run) -> Entrant:
    return Whole(run.contest.fresh(), 0.0, run.contest.costs)


def _dense(run: _Run) -> Entrant:
    trained = run.dense()
    return Whole(trained.network, trained.macs, run.contest.costs)


def _ours(run: _Run) -> Entrant:
    """Dense for a while, units sorted by saliency, then nested with a teacher that saw all sensors."""
    contest, recipe = run.contest, run.contest.recipe
    base = run.densely(share=recipe.first)
    network = sorted_units(base.network, contest.saliency(base.network))
    teacher, cost = contest.teacher(base.network)  # its passes count like any others
    stage = DetectionStage(
        task=contest.task,
        dropout=contest.dropout,
        table=contest.table,
        passes=even_passes(recipe.ratios),
        teacher=teacher,
        to_teacher=recipe.to_teacher,
    )
    trained = contest.fit(network, stage, macs=(1.0 - recipe.first) * contest.budget - cost)
    macs = base.macs + cost + trained.macs
    return NestedWidths(trained.network, contest.table, macs, contest.costs, (0.0, *recipe.ratios))


def _matformer(run: _Run) -> Entrant:
    """MatFormer's training; its own start is from scratch, here it is the shipped weights like everyone's."""
    contest, ratios = run.contest, (0.0, *run.contest.recipe.ratios)
    stage = MatFormerDetectionStage(
        task=contest.task, dropout=contest.dropout, table=contest.table, ratios=ratios
    )
    trained = contest.fit(contest.fresh(), stage, macs=contest.budget)
    return NestedWidths(trained.network, contest.table, trained.macs, contest.costs, ratios)


def _rule(rule: Rule, run: _Run) -> Entrant:
    trained, contest = run.dense(), run.contest
    pruned = tune(rule, trained.network, contest, ratios=contest.recipe.ratios)
    notes = {"source": rule.source, "trials": list(pruned.trials)}
    return Chosen(pruned.kept, pruned.at, trained.macs, contest.costs, contest.recipe.ratios, notes)


METHODS: Mapping[str, tuple[str, Callable[[_Run], Entrant]]] = {
    "dense": ("reference", _dense),
    "ours": ("ours", _ours),
    "matformer": ("trained", _matformer),
    "taylor_per_mask": ("zero_shot", partial(_rule, RULES["taylor_per_mask"])),
    "lsq_taylor_per_mask": ("refit", partial(_rule, RULES["lsq_taylor_per_mask"])),
    "magnitude": ("zero_shot", partial(_rule, RULES["magnitude"])),
    "shipped": ("reference", _shipped),
}
"""Method -> its kind in the records, and what trains or prepares it; the necessary ones first."""


def place(folder: Path, seed: int) -> Path:
    """Where the records of one seed lie."""
    return folder / "world" / "trunk" / f"s{seed}"


def chosen_methods(only: Sequence[str] = ()) -> list[str]:
    """The methods to run: `only` these, or all; raises ConfigError for a name that no method has."""
    for name in only:
        if name not in METHODS:
            raise ConfigError(f"unknown method {name!r}; there are {', '.join(METHODS)}")
    return [name for name in METHODS if not only or name in only]


def run_seed(
    checkpoint: Checkpoint,
    recipe: WorldRecipe,
    frames: Mapping[str, Frames],
    *,
    seed: int,
    folder: Path,
    methods: Sequence[str] = tuple(METHODS),
    on_job: Callable[[str], None] = lambda _: None,
) -> Iterator[Path]:
    """Run what is pending of one seed; yields every record as it is written."""
    pending = [name for name in methods if not (place(folder, seed) / f"{name}.json").exists()]
    if not pending:
        return
    run = _Run(WorldContest(checkpoint, recipe, frames, seed=seed))
    for name in pending:
        on_job(f"s{seed}/{name}")
        kind, enter = METHODS[name]
        torch.manual_seed(seed)
        started_s = time.monotonic()
        entrant = enter(run)
        trained_s = time.monotonic() - started_s
        yield write_record(
            place(folder, seed) / f"{name}.json",
            {
                "data": "world",
                "backbone": "trunk",
                "seed": seed,
                "fold": 0,
                "method": name,
                "kind": kind,
                "modalities": list(run.contest.modalities),
                "config": {**asdict(recipe), "checkpoint": checkpoint.identity},
                "train": {"seconds": round(trained_s, 1), "macs": entrant.macs},
                "notes": dict(entrant.notes),
                "items": run.contest.items,
                "rows": measured_rows(run.contest, entrant, hits=True),
            },
        )
