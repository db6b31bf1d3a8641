"""The benchmark's data sets by name, one division of the samples for every seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sentryfuse_core.lab.datasets.arrays import Arrays, load_npz
from sentryfuse_core.lab.datasets.digits import load_digits
from sentryfuse_core.lab.datasets.har_windows import FOLDS, har_fold, load_windows
from sentryfuse_core.replay.manifest import file_sha256

__all__ = ["Source", "digits", "har", "own_data"]

_HAR = {
    "step_s": 0.25,
    "pure": 0.5,  # share of a window that its label must have
    "patch": 20,  # samples in a token
    "thin": 2,  # val and test windows overlap: every second one is scored
}


@dataclass(frozen=True)
class Source:
    """A data set of the benchmark.

    Attributes:
        name: as the records have it.
        load: samples and their division for a seed.
        folds: how many divisions there are; seed i uses division i modulo that.
        keeps_hits: whether records keep which test samples were right, for intervals over items.
        config: what a record should say of it.
    """

    name: str
    load: Callable[[int], Arrays]
    folds: int = 1
    keeps_hits: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)


def har(archive: Path) -> Source:
    """Phone and watch (SP-SW-HAR): each seed has its own fold of people; windows of 1 s."""
    config = {f"har_{name}": value for name, value in _HAR.items()}
    return Source("har", partial(_har_arrays, archive), folds=FOLDS, config=config)


def _har_arrays(archive: Path, seed: int) -> Arrays:
    windows = load_windows(archive, window_s=1.0, step_s=_HAR["step_s"], pure=_HAR["pure"])
    whole = har_fold(windows, seed % FOLDS, patch=int(_HAR["patch"]))
    place = np.arange(len(whole))
    return whole.take(place[(whole.split == "train") | (place % _HAR["thin"] == 0)])


def digits(folder: Path) -> Source:
    """Pictures, spoken and air-drawn digits, paired by class; the seed draws the training pairs."""
    return Source("digits", partial(_digit_arrays, folder), keeps_hits=True)


def _digit_arrays(folder: Path, seed: int) -> Arrays:
    return load_digits(folder, seed=seed)


def own_data(path: Path) -> Source:
    """Anyone's arrays from an .npz file, called like the file, with the split it brings."""
    config = {"data_sha256": file_sha256(path)} if path.is_file() else {}
    return Source(path.stem, partial(_own_arrays, path), config=config)


def _own_arrays(path: Path, _seed: int) -> Arrays:
    return load_npz(path)
