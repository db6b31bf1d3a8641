"""`sentryfuse train OUT --data FILE.npz`: train, score and write a nested classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.bench.contest import Contest
from sentryfuse_core.lab.bench.recipe import Recipe, read_recipe
from sentryfuse_core.lab.commands.classifier_stages import FILES, Run, train
from sentryfuse_core.lab.datasets.arrays import Arrays, load_npz, not_judged
from sentryfuse_core.lab.training.accelerate import Acceleration, Ranks, ranks
from sentryfuse_core.lab.training.batches import Batch
from sentryfuse_core.lab.training.nest import Nested, teacher_logits
from sentryfuse_core.lab.training.run_identity import check_identity, start_anew
from sentryfuse_core.pruning.gate import Present
from sentryfuse_core.pruning.nested_checkpoint import save_nested
from sentryfuse_core.replay.manifest import file_sha256, machine, source_commit, versions

if TYPE_CHECKING:
    import argparse

__all__ = ["run"]

_Scores = Mapping[tuple[Present, float], float]  # (present, ratio) -> balanced accuracy in per cent

_MOST_MODALITIES = 8  # every set of them is planned, trained and scored: 255
_RECIPE_KEYS = (  # those of a recipe that a training depends on
    *("dim", "heads", "kv_heads", "ffn", "ffn_block", "pool", "layers", "own_layers"),
    *("steps", "batch", "learning_rate", "nested_learning_rate", "first", "dropout"),
    *("ratios", "calibration", "to_teacher", "temperature"),
)
_METRIC = "balanced accuracy in per cent: the mean over classes of the share of samples that is right"
_INPUTS = (
    "tokens [B, T, F] as sentryfuse_core.lab.datasets.arrays.load_npz gives them: every channel centred and "
    "scaled with mean and deviation of the training split, then cut into tokens; the statistics are not "
    "stored here, so put new samples beside the same training split"
)


def run(args: argparse.Namespace) -> int:
    """Train, score, write."""
    recipe = _recipe(args)
    folder = args.state or args.out.with_suffix("")
    arrays = _arrays(args.data)
    with ranks(recipe.device) as team:
        for note in not_judged(arrays) if team.first else ():
            print(f"note: {note}")
        identity = _identity(args, recipe, team)
        if args.resume:
            check_identity(folder, identity)
        elif team.first:
            start_anew(folder, identity, old=FILES)
        task = Run(
            contest=Contest(recipe, arrays, backbone=recipe.backbones[0], seed=args.seed, folder=folder),
            design=args.design,
            folder=folder,
            resume=args.resume,
            every_s=args.save_every,
            speed=Acceleration(bf16=args.bf16, compiled=args.compile, ranks=team),
        )
        nested, seconds = train(task)
        if team.first:
            facts = {**_facts(args, identity, team), "minutes": round(seconds / 60.0, 2)}
            _finish(args, task.contest, arrays, nested, facts)
    return 0


def _finish(
    args: argparse.Namespace, contest: Contest, arrays: Arrays, nested: Nested[Any], facts: Mapping[str, Any]
) -> None:
    """Score on val and, the only time, on test; print and write."""
    evaluation: dict[str, Any] = {"metric": _METRIC}
    for split in ("val", "test"):
        scores = _scores_of(contest, nested, split)
        print(_table_of(scores, contest, split))
        evaluation[split] = {"samples": len(contest.splits[split]), "rows": _rows_of(scores, contest)}
    save_nested(
        args.out,
        nested.network,
        nested.gate,
        classes=arrays.classes,
        ratios=contest.recipe.ratios,
        facts={**facts, "train_macs": nested.macs, "evaluation": evaluation},
    )
    print(f"wrote {args.out} and its manifest")


def _scores_of(contest: Contest, nested: Nested[Any], split: str) -> _Scores:
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


def _rows_of(scores: _Scores, contest: Contest) -> list[dict[str, Any]]:
    """The scores as a manifest has them."""
    return [
        {"present": _names(present, contest), "ratio": ratio, "balanced_accuracy_percent": round(score, 2)}
        for (present, ratio), score in scores.items()
    ]


def _table_of(scores: _Scores, contest: Contest, split: str) -> str:
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


def _recipe(args: argparse.Namespace) -> Recipe:
    """The recipe file's values, those of the command line over them."""
    recipe = read_recipe(args.recipe) if args.recipe else Recipe()
    change: dict[str, Any] = {"backbones": (args.backbone or recipe.backbones[0],), "seeds": (args.seed,)}
    change |= {"device": args.device} if args.device else {}
    recipe = replace(recipe, **change)
    recipe.check()
    return recipe


def _arrays(path: Path) -> Arrays:
    arrays = load_npz(path)
    if len(arrays.inputs) > _MOST_MODALITIES:
        raise DatasetError(
            f"{path} has {len(arrays.inputs)} modalities, at most {_MOST_MODALITIES} can be told apart; "
            f"join some arrays into one"
        )
    return arrays


def _identity(args: argparse.Namespace, recipe: Recipe, team: Ranks) -> dict[str, Any]:
    """What a state must have in common with the run that resumes it."""
    values = recipe.to_mapping()
    return {
        "data_sha256": file_sha256(args.data),
        "backbone": recipe.backbones[0],
        "design": args.design,
        "seed": args.seed,
        "processes": team.count,
        "recipe": {key: values[key] for key in _RECIPE_KEYS},
    }


def _facts(args: argparse.Namespace, identity: Mapping[str, Any], team: Ranks) -> dict[str, Any]:
    """How the checkpoint was made, without this machine's paths."""
    words = ["sentryfuse", "train", args.out.name, "--data", args.data.name]
    words += ["--recipe", args.recipe.name] if args.recipe else []
    words += ["--backbone", identity["backbone"], "--design", args.design, "--seed", str(args.seed)]
    words += ["--device", args.device] if args.device else []
    words += ["--bf16"] * args.bf16 + ["--compile"] * args.compile
    if team.count > 1:
        words = ["torchrun", "--standalone", "--nproc-per-node", str(team.count), "--no-python", *words]
    return {
        "inputs": _INPUTS,
        "command": " ".join(words),
        **identity,
        "versions": versions(),
        "hardware": machine(),
        "commit": source_commit(),
    }
