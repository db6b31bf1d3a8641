"""Builds records of the pruning benchmark out of a rule for the accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from sentryfuse_core.lab.bench.records import Record, pack_hits, parse_record

KINDS = {
    "dense": "reference",
    "ours": "ours",
    "faithful": "ours",
    "magnitude": "zero_shot",
    "taylor": "zero_shot",
    "lsq_flap": "refit",
    "dynabert": "trained",
    "matformer": "trained",
    "layerdrop": "trained",
    "no_conditioning": "ablation",
    "small_0.25": "small",
    "small_0.5": "small",
}
FULL_MACS = 1000
LEVELS = {"dense": 90.0, "ours": 89.0, "faithful": 84.0, "lsq_flap": 80.0, "taylor": 70.0, "magnitude": 60.0}


class At(NamedTuple):
    """Where an accuracy is of."""

    method: str
    seed: int
    mask: tuple[str, ...]
    ratio: float
    split: str


Rule = Callable[[At], float]  # accuracy in per cent


def plain(at: At) -> float:
    """Every method at a level of its own, in every cell."""
    return LEVELS.get(at.method, 75.0)


def content_of(
    method: str,
    *,
    seed: int = 0,
    data: str = "har",
    backbone: str = "trunk",
    sensors: tuple[str, ...] = ("accel", "gyro", "audio"),
    rule: Rule = plain,
    items: int = 0,
    ratios: Iterable[float] = (0.25, 0.5, 0.75, 0.9),
) -> dict[str, Any]:
    """One job's JSON; with `items` test samples it holds hits, and accuracies are those of the hits."""
    kind = KINDS[method]
    whole = kind in ("reference", "small")
    size = float(method.removeprefix("small_")) if kind == "small" else 1.0
    rows = []
    masks = [mask for count in range(1, len(sensors) + 1) for mask in itertools.combinations(sensors, count)]
    for mask, ratio, split in itertools.product(masks, (0.0,) if whole else ratios, ("val", "test")):
        macs = round(FULL_MACS * size * len(mask) * (1 - ratio))
        row: dict[str, Any] = {
            "present": list(mask),
            "ratio": ratio,
            "split": split,
            "accuracy": rule(At(method, seed, mask, ratio, split)),
            "macs": macs + 100,
            "unit_macs": macs,
        }
        if items and split == "test":
            hits = np.arange(items) < round(row["accuracy"] / 100 * items)
            row |= {"accuracy": 100.0 * float(hits.mean()), "hits": pack_hits(hits)}
        rows.append(row)
    return {
        "data": data,
        "backbone": backbone,
        "seed": seed,
        "fold": seed,
        "method": method,
        "kind": kind,
        "modalities": list(sensors),
        "config": {"dim": 64, "note": "<tuned> & true"},
        "versions": {"torch": "2.13.0"},
        "commit": "abc123",
        "train": {"seconds": 12.0, "macs": 1e12},
        "rows": rows,
        **({"items": list(range(items))} if items else {}),
    }


def records_of(
    *,
    methods: Iterable[str] = tuple(KINDS),
    seeds: Iterable[int] = (0, 1, 2),
    groups: Mapping[str, tuple[str, ...]] | None = None,
    without: tuple[str, int] = ("", 0),
    **options: Any,
) -> list[Record]:
    """A record for every method, seed, and data set and backbone of `groups`, but one method and seed."""
    return [
        parse_record(content_of(method, seed=seed, data=data, backbone=backbone, **options))
        for data, backbones in (groups or {"har": ("trunk",)}).items()
        for backbone in backbones
        for seed in seeds
        for method in methods
        if (method, seed) != without
    ]
