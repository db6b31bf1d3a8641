"""Sources: the benchmark's data sets by name, one division of the samples for every seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sentryfuse_core.lab.datasets.arrays import Arrays, load_npz
from sentryfuse_core.lab.datasets.digits import load_digits
from sentryfuse_core.lab.datasets.har_windows import FOLDS, har_fold, load_windows

__all__ = ["Digits", "Har", "OwnData", "Source"]


class Source(Protocol):
    """A data set of the benchmark."""

    @property
    def name(self) -> str:
        """As the records have it."""
        ...

    @property
    def keeps_hits(self) -> bool:
        """Whether records keep which test samples were right, for intervals over items."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """What a record should say of it."""
        ...

    def fold(self, seed: int) -> int:
        """Which division a seed uses."""
        ...

    def arrays(self, seed: int) -> Arrays:
        """Samples and their division for a seed."""
        ...


@dataclass(frozen=True)
class Har:
    """Phone and watch (SP-SW-HAR): each seed has its own fold of people; windows of 1 s."""

    archive: Path
    step_s: float = 0.25
    pure: float = 0.5  # share of a window that its label must have
    patch: int = 20  # samples in a token
    thin: int = 2  # val and test windows overlap: every second one is scored
    name: str = "har"
    keeps_hits: bool = False  # balanced accuracy is no mean of hits

    @property
    def config(self) -> Mapping[str, Any]:
        """Windows, patches and thinning."""
        return {
            "har_step_s": self.step_s,
            "har_pure": self.pure,
            "har_patch": self.patch,
            "har_thin": self.thin,
        }

    def fold(self, seed: int) -> int:
        """One of five by seed."""
        return seed % FOLDS

    def arrays(self, seed: int) -> Arrays:
        """The fold of `seed`."""
        windows = load_windows(self.archive, window_s=1.0, step_s=self.step_s, pure=self.pure)
        whole = har_fold(windows, self.fold(seed), patch=self.patch)
        place = np.arange(len(whole))
        return whole.take(place[(whole.split == "train") | (place % self.thin == 0)])


@dataclass(frozen=True)
class Digits:
    """Pictures, spoken and air-drawn digits, paired by class; the seed draws the training pairs."""

    folder: Path
    name: str = "digits"
    keeps_hits: bool = True

    @property
    def config(self) -> Mapping[str, Any]:
        """Nothing beside the recipe."""
        return {}

    def fold(self, seed: int) -> int:
        """The test pairs are the same for every seed."""
        del seed
        return 0

    def arrays(self, seed: int) -> Arrays:
        """Training pairs of `seed`, the fixed val and test pairs."""
        return load_digits(self.folder, seed=seed)


@dataclass(frozen=True)
class OwnData:
    """Anyone's arrays from an .npz file, with the split it brings."""

    path: Path
    keeps_hits: bool = False

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def config(self) -> Mapping[str, Any]:
        """Nothing beside the recipe."""
        return {}

    def fold(self, seed: int) -> int:
        """The split is the same for every seed."""
        del seed
        return 0

    def arrays(self, seed: int) -> Arrays:
        """The file's samples."""
        del seed
        return load_npz(self.path)
