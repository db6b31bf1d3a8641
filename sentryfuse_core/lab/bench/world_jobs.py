"""The methods of the detector's pruning benchmark, and its jobs: one method on one seed, one JSON record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from sentryfuse_core.lab.bench.measure import Entrant, Method, named_methods, nested, run_pending, whole
from sentryfuse_core.lab.bench.tuning import tuned
from sentryfuse_core.lab.bench.world import WorldContest, WorldRecipe
from sentryfuse_core.lab.bench.world_frames import Frames
from sentryfuse_core.lab.rivals import RULES
from sentryfuse_core.lab.training.detection import DetectionStage, MatFormerDetectionStage
from sentryfuse_core.lab.training.nest import sorted_units
from sentryfuse_core.lab.training.stages import even_passes
from sentryfuse_core.model.checkpoint import Checkpoint

__all__ = ["chosen_methods", "run_seed"]


def _ours(contest: WorldContest) -> Entrant:
    """Dense for a while, units sorted by saliency, then nested with a teacher that saw all sensors."""
    recipe = contest.recipe
    base = contest.densely(share=recipe.first)
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
    return nested(trained.network, contest.table, macs, contest.costs, recipe.ratios)


def _matformer(contest: WorldContest) -> Entrant:
    """MatFormer's training; its own start is from scratch, here it is the shipped weights like everyone's."""
    ratios = contest.recipe.ratios
    stage = MatFormerDetectionStage(
        task=contest.task, dropout=contest.dropout, table=contest.table, ratios=(0.0, *ratios)
    )
    trained = contest.fit(contest.fresh(), stage, macs=contest.budget)
    return nested(trained.network, contest.table, trained.macs, contest.costs, ratios)


def _rule(name: str) -> Callable[[WorldContest], Entrant]:
    return lambda contest: tuned(
        RULES[name], contest.dense.network, contest.dense.macs, contest, ratios=contest.recipe.ratios
    )


def _seeded(enter: Callable[[WorldContest], Entrant]) -> Callable[[WorldContest], Entrant]:
    """Whatever ran before, a method draws the same numbers."""

    def seeded(contest: WorldContest) -> Entrant:
        torch.manual_seed(contest.seed)
        return enter(contest)

    return seeded


# The necessary ones first.
_METHODS = [
    Method(name, kind, _seeded(enter))
    for name, kind, enter in (
        ("dense", "reference", lambda one: whole(one.dense.network, one.dense.macs, one.costs)),
        ("ours", "ours", _ours),
        ("matformer", "trained", _matformer),
        ("taylor_per_mask", "zero_shot", _rule("taylor_per_mask")),
        ("lsq_taylor_per_mask", "refit", _rule("lsq_taylor_per_mask")),
        ("magnitude", "zero_shot", _rule("magnitude")),
        ("shipped", "reference", lambda one: whole(one.fresh(), 0.0, one.costs)),
    )
]


def chosen_methods(only: Sequence[str] = ()) -> list[Method[WorldContest]]:
    """The methods to run: `only` these, or all; raises ConfigError for a name that no method has."""
    return named_methods(_METHODS, only)


def run_seed(
    checkpoint: Checkpoint,
    recipe: WorldRecipe,
    frames: Mapping[str, Frames],
    *,
    seed: int,
    folder: Path,
    methods: Sequence[str] = (),
    on_job: Callable[[str], None] = lambda _: None,
) -> Iterator[Path]:
    """Run what is pending of one seed; yields every record as it is written."""
    facts = {
        "data": "world",
        "backbone": "trunk",
        "seed": seed,
        "fold": 0,
        "config": {**asdict(recipe), "checkpoint": checkpoint.identity},
    }
    yield from run_pending(
        folder / "world" / "trunk" / f"s{seed}",
        chosen_methods(methods),
        lambda: WorldContest(checkpoint, recipe, frames, seed=seed),
        facts=facts,
        hits=True,
        on_job=lambda name: on_job(f"s{seed}/{name}"),
    )
