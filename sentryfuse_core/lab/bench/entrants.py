"""Every method of the benchmark by name, from what a run shares to the networks it answers with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from sentryfuse_core.lab.bench.contest import Contest, Trained
from sentryfuse_core.lab.bench.measure import Entrant, Method, nested, whole
from sentryfuse_core.lab.bench.recipe import Recipe
from sentryfuse_core.lab.bench.tuning import tuned
from sentryfuse_core.lab.rivals import RULES
from sentryfuse_core.lab.rivals.rule import Rule
from sentryfuse_core.lab.training.nest import NestOptions, measure_saliency, nest, sorted_units
from sentryfuse_core.lab.training.rivals import (
    DynaBertStage,
    LayerDropStage,
    MatFormerStage,
    drop_order,
    layer_parts,
)
from sentryfuse_core.lab.training.stages import DenseStage, Dropout, PlanTable
from sentryfuse_core.pruning.allocate import uniform_widths
from sentryfuse_core.pruning.gate import Present, SentryGate
from sentryfuse_core.pruning.units import sliced

__all__ = ["absent_methods", "methods_of"]


def absent_methods() -> dict[str, str]:
    """Methods that cannot run on this machine, and what installs what they need."""
    return {
        name: f"pip install {package}"
        for name, package in _OPTIONAL.items()
        if importlib.util.find_spec(name) is None
    }


def methods_of(recipe: Recipe, *, ablations: bool = False) -> list[Method[Contest]]:
    """Every method that can run on this machine, cheap and necessary ones first."""
    absent = absent_methods()
    rules = {
        name: (
            "refit" if name.startswith("lsq_") or name == "kwon_tuned" else "zero_shot",
            partial(_rule, rule),
        )
        for name, rule in RULES.items()
        if name not in absent
    }
    methods: dict[str, tuple[str, Callable[[Contest], Entrant]]] = {
        "dense": ("reference", _dense),
        "ours": ("ours", _ours),
        **rules,
        "dynabert": ("trained", _dynabert),
        "matformer": ("trained", _matformer),
        "layerdrop": ("trained", _layerdrop),
        "faithful": ("ours", _faithful),
        **{f"small_{scale:g}": ("small", partial(_small, scale)) for scale in recipe.scales},
    }
    if ablations:
        methods |= {
            name: ("ablation", partial(_ours, **change)) for name, change in _ablations(recipe).items()
        }
    return [Method(name, kind, enter) for name, (kind, enter) in methods.items()]


_OPTIONAL = {"torch_pruning": "torch-pruning"}  # method, called as the module that it runs -> package


def _ablations(recipe: Recipe) -> Mapping[str, Mapping[str, Any]]:
    return {
        "conditioned_widths": {"design": "conditioned"},
        "shared_widths": {"design": "shared"},
        "no_teacher": {"to_teacher": 0.0},
        "one_set_a_step": {"one_set": True},
        "equal_passes": {"passes": dict.fromkeys((0.0, *recipe.ratios), 1.0)},
        "curriculum_again": {"first": 0.0},
    }


def _dropout(contest: Contest, *, first: float = 0.0) -> Dropout:
    return Dropout(modalities=contest.modalities, first=first, last=contest.recipe.dropout)


def _dense_trained(contest: Contest) -> Trained:
    return contest.once("dense", DenseStage(dropout=_dropout(contest)), share=1.0)


def _base(contest: Contest, share: float) -> Trained:
    """The first part of a nested training: `share` of the budget."""
    return contest.once(f"base_{share:g}", DenseStage(dropout=_dropout(contest)), share=share)


def _dense(contest: Contest) -> Entrant:
    trained = _dense_trained(contest)
    return whole(trained.network, trained.macs, contest.costs)


def _small(scale: float, contest: Contest) -> Entrant:
    """A narrower dense network with as many steps as the wide one."""
    network = contest.fresh(scale=scale)
    costs = contest.costs_of(network)
    share = sum(item.total for item in costs.values()) / sum(item.total for item in contest.costs.values())
    trained = contest.fit(network, DenseStage(dropout=_dropout(contest)), share=share, costs=costs)
    return whole(trained.network, trained.macs, costs)


def _rule(rule: Rule, contest: Contest) -> Entrant:
    trained = _dense_trained(contest)
    return tuned(rule, trained.network, trained.macs, contest, ratios=contest.recipe.ratios)


def _faithful(contest: Contest) -> Entrant:
    """The paper's gate on the dense network: scores from the mask alone, distilled from saliency."""
    trained = _dense_trained(contest)
    gate = SentryGate(contest.modalities, contest.costs, design="faithful")
    gate.align(measure_saliency(trained.network, contest.draw(contest.recipe.calibration), contest.sets))
    return Entrant(
        lambda present, ratio: gate.plan(present, ratio).kept,
        lambda present, ratio: sliced(trained.network, gate.plan(present, ratio).kept),
        trained.macs,
        contest.costs,
        contest.recipe.ratios,
    )


def _table(contest: Contest, widths: Callable[[Present, float], Mapping[str, int]]) -> PlanTable:
    return {
        (present, ratio): widths(present, ratio)
        for present in contest.sets
        for ratio in contest.recipe.ratios
    }


def _nested(contest: Contest, network: nn.Module, table: PlanTable, macs: float) -> Entrant:
    return nested(network, table, macs, contest.costs, contest.recipe.ratios)


def _ours(contest: Contest, *, first: float | None = None, **change: Any) -> Entrant:
    """Nested training from the base network."""
    recipe = contest.recipe
    base = _base(contest, recipe.first)
    options = NestOptions(
        ratios=recipe.ratios,
        to_teacher=recipe.to_teacher,
        temperature=recipe.temperature,
        samples=recipe.calibration,
    )
    found = nest(
        base.network,
        contest.train,
        contest.costs,
        _dropout(contest, first=recipe.dropout if first is None else first),
        replace(options, **change),
        contest.options(1.0 - recipe.first, recipe.nested_learning_rate),
        classes=contest.classes,
    )
    table = _table(contest, lambda present, ratio: found.gate.plan(present, ratio).widths)
    return _nested(contest, found.network, table, base.macs + found.macs)


def _uniform_table(contest: Contest) -> PlanTable:
    return _table(contest, lambda present, ratio: uniform_widths(contest.costs[present], ratio))


def _dynabert(contest: Contest) -> Entrant:
    recipe = contest.recipe
    base = _base(contest, recipe.dynabert_first)
    probe = contest.draw(recipe.calibration)
    network = sorted_units(base.network, measure_saliency(base.network, probe, contest.sets))
    table = _uniform_table(contest)
    stage = DynaBertStage(
        dropout=_dropout(contest, first=recipe.dropout),
        table=table,
        ratios=(0.0, *recipe.ratios),
        teacher=base.network,
        to_hidden=recipe.dynabert_hidden,
        to_labels=recipe.dynabert_labels,
    )
    trained = contest.fit(
        network, stage, share=1.0 - recipe.dynabert_first, learning_rate=recipe.dynabert_learning_rate
    )
    return _nested(contest, trained.network, table, base.macs + trained.macs)


def _matformer(contest: Contest) -> Entrant:
    recipe, table = contest.recipe, _uniform_table(contest)
    ratios = (0.0, *recipe.ratios)
    stage = MatFormerStage(dropout=_dropout(contest), table=table, ratios=ratios, full=recipe.matformer_full)
    trained = contest.fit(contest.fresh(), stage, learning_rate=recipe.matformer_learning_rate)
    return _nested(contest, trained.network, table, trained.macs)


def _layerdrop(contest: Contest) -> Entrant:
    network = contest.fresh()
    parts = layer_parts(network)
    stage = LayerDropStage(dropout=_dropout(contest), layers=parts, chance=contest.recipe.layerdrop)
    trained = contest.fit(network, stage)
    table = _table(contest, lambda present, ratio: drop_order(parts, contest.costs[present], ratio))
    return _nested(contest, trained.network, table, trained.macs)
