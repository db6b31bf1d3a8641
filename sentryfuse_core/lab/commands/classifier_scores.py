"""Scores of a nested classifier: every set of present modalities at every ratio, as table and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentryfuse_core.lab.bench.contest import Contest
from sentryfuse_core.lab.training.batches import Batch
from sentryfuse_core.lab.training.nest import Nested, teacher_logits
from sentryfuse_core.pruning.gate import Present

__all__ = ["METRIC", "Scores", "rows_of", "scores_of", "table_of"]

METRIC = "balanced accuracy in per cent: the mean over classes of the share of samples that is right"

Scores = Mapping[tuple[Present, float], float]  # (present, ratio) -> balanced accuracy in per cent


def scores_of(contest: Contest, nested: Nested[Any], split: str) -> Scores:
    """Balanced accuracy on a split; ratio 0 is the whole network."""
    samples = contest.splits[split]
    scores = {}
    for present in contest.sets:
        part = Batch(samples.only(present), samples.label, samples.index)
        for ratio in (0.0, *contest.recipe.ratios):
            network = nested.network.at(nested.gate.plan(present, ratio)) if ratio else nested.network
            hits = teacher_logits(network, part).argmax(dim=1) == part.label
            scores[present, ratio] = contest.accuracy(hits, split)
    return scores


def rows_of(scores: Scores, contest: Contest) -> list[dict[str, Any]]:
    """The scores as a manifest has them."""
    return [
        {"present": _names(present, contest), "ratio": ratio, "balanced_accuracy_percent": round(score, 2)}
        for (present, ratio), score in scores.items()
    ]


def table_of(scores: Scores, contest: Contest, split: str) -> str:
    """One line for each set of modalities, one column for each ratio."""
    ratios = (0.0, *contest.recipe.ratios)
    rows = {
        "+".join(_names(present, contest)): [scores[present, ratio] for ratio in ratios]
        for present in contest.sets
    }
    rows["mean over all sets"] = [sum(column) / len(rows) for column in zip(*rows.values(), strict=True)]
    wide = max(len(name) for name in rows)
    return "\n".join(
        [
            f"{split}, {len(contest.splits[split])} samples: balanced accuracy in % by share of MACs removed",
            " " * wide + "".join(f"{100 * ratio:6.0f} %" for ratio in ratios),
            *(f"{name:<{wide}}" + "".join(f"{value:8.1f}" for value in row) for name, row in rows.items()),
            "",
        ]
    )


def _names(present: Present, contest: Contest) -> list[str]:
    return [name for name in contest.modalities if name in present]
