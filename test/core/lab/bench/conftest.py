"""Builds records of the pruning benchmark out of a rule for the accuracy, and studies out of records."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from sentryfuse_core.lab.bench.records import Record, pack_hits, parse_record

SENSORS = ("accel", "gyro", "audio")
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

Rule = Callable[
    [str, int, tuple[str, ...], float, str], float
]  # method, seed, mask, ratio, split -> accuracy


def plain(_method: str, _seed: int, _mask: tuple[str, ...], _ratio: float, _split: str) -> float:
    """Every method at a level of its own, in every cell."""
    return LEVELS.get(_method, 75.0)


def make_content(
    method: str,
    *,
    seed: int = 0,
    data: str = "har",
    backbone: str = "trunk",
    sensors: tuple[str, ...] = SENSORS,
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
            "accuracy": rule(method, seed, mask, ratio, split),
            "macs": macs + 100,
            "unit_macs": macs,
            "kept": {"trunk.layers.0.attend": 2, "trunk.layers.0.feed": round(16 * (1 - ratio))},
            "units": {"trunk.layers.0.attend": 4, "trunk.layers.0.feed": 16},
        }
        if items and split == "test":
            hits = np.arange(items) < round(row["accuracy"] / 100 * items)
            row["accuracy"] = 100.0 * float(hits.mean())
            row["hits"] = pack_hits(hits)
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


def make_records(
    *,
    methods: Iterable[str] = tuple(KINDS),
    seeds: Iterable[int] = (0, 1, 2),
    groups: Mapping[str, tuple[str, ...]] | None = None,
    **options: Any,
) -> list[Record]:
    """A record for every method, seed, and data set and backbone of `groups`."""
    where = groups or {"har": ("trunk",)}
    return [
        parse_record(make_content(method, seed=seed, data=data, backbone=backbone, **options))
        for data, backbones in where.items()
        for backbone in backbones
        for seed in seeds
        for method in methods
    ]


class Build:
    """What tests make records with."""

    sensors = SENSORS
    content = staticmethod(make_content)
    records = staticmethod(make_records)
    plain = staticmethod(plain)
    levels = LEVELS


@pytest.fixture(scope="session")
def build() -> type[Build]:
    """The builder of synthetic records."""
    return Build
