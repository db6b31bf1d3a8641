"""What an entrant's networks score and cost, row by row, and the file that keeps it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from sentryfuse_core.lab.bench.records import pack_hits
from sentryfuse_core.lab.rivals.rule import Calibration
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import Present
from sentryfuse_core.replay.manifest import source_commit

__all__ = ["Entrant", "Judge", "measured_rows", "write_record"]

_LIBRARIES = ("numpy", "torch", "safetensors")


class Judge(Protocol):
    """What networks of one run are judged on."""

    @property
    def modalities(self) -> Sequence[str]:
        """All there are."""
        ...

    @property
    def sets(self) -> Sequence[Present]:
        """Every set of present ones."""
        ...

    @property
    def costs(self) -> Mapping[Present, UnitCosts]:
        """Of the whole network."""
        ...

    @property
    def splits(self) -> Mapping[str, object]:
        """Splits: val and test."""
        ...

    def calibration(self) -> Mapping[Present, Calibration]:
        """The one calibration set of every rule, cut to each set of present modalities."""
        ...

    def hits(self, network: nn.Module, split: str, present: Present) -> Tensor:
        """What [n] of a split is answered rightly."""
        ...

    def accuracy(self, hits: Tensor, split: str) -> float:
        """In per cent."""
        ...


class Entrant(Protocol):
    """A method's answer in one run."""

    @property
    def ratios(self) -> Sequence[float]:
        """Ratios it answers for."""
        ...

    @property
    def macs(self) -> float:
        """Multiply-accumulates of its training."""
        ...

    @property
    def costs(self) -> Mapping[Present, UnitCosts]:
        """Costs of its full network."""
        ...

    @property
    def notes(self) -> Mapping[str, Any]:
        """What else is worth keeping."""
        ...

    def kept(self, present: Present, ratio: float) -> Mapping[str, Sequence[int]]:
        """Units that stay, by layer."""
        ...

    def at(self, present: Present, ratio: float) -> nn.Module:
        """The network for inference."""
        ...


def measured_rows(judge: Judge, entrant: Entrant, *, hits: bool) -> list[dict[str, Any]]:
    """A record's rows: every ratio, set of modalities and split; `hits`: with what was right in test."""
    return [
        row
        for ratio in entrant.ratios
        for present in judge.sets
        for row in _measured(judge, entrant, present, ratio, hits=hits)
    ]


def write_record(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a record, with versions and commit: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(
        json.dumps({**record, "versions": _versions(), "commit": source_commit()}) + "\n", encoding="utf-8"
    )
    part.replace(path)
    return path


def _measured(
    judge: Judge, entrant: Entrant, present: Present, ratio: float, *, hits: bool
) -> Iterator[dict[str, Any]]:
    """The rows of one sub-network on both splits."""
    costs, kept = entrant.costs[present], entrant.kept(present, ratio)
    running = {name: len(units) for name, units in kept.items() if costs.macs[name]}
    unit_macs = costs.of(kept)
    network = entrant.at(present, ratio)
    for split in judge.splits:
        right = judge.hits(network, split, present)
        row: dict[str, Any] = {
            "present": [name for name in judge.modalities if name in present],
            "ratio": ratio,
            "split": split,
            "accuracy": round(judge.accuracy(right, split), 3),
            "macs": costs.fixed + unit_macs,
            "unit_macs": unit_macs,
        }
        if split == "test":
            row["kept"] = running
            row["units"] = {name: costs.units[name] for name in running}
            if hits:
                row["hits"] = pack_hits(right.cpu().numpy())
        yield row


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
