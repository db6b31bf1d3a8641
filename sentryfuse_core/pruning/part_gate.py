"""PartGate: which sensors and widths run, by presence, quality and budget; planned when weights are loaded.

What is known comes from the checkpoint's manifest: how many points of mAP are lost when one part is narrowed,
or a sensor left out, for every set of sensors that are good or poor, measured on the same frames
(`lab.training.worths`). A level of the budget is a price of a multiply-accumulate; the plan is what costs
least, points and work together. All plans are made at once, so that choosing one is a look-up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

__all__ = [
    "NOBODY",
    "PLACED",
    "Cell",
    "Choice",
    "Gate",
    "PartGate",
    "UniformGate",
    "Worths",
    "make_gate",
    "part_sizes",
    "widths_text",
]

NOBODY = ModalitySet()
PLACED = (Modality.CAMERA, Modality.LIDAR, Modality.AUDIO)  # sensors that a part of the network belongs to
_IMU = ModalitySet.of(Modality.IMU)
_PERCEIVING = ModalitySet.of(*PLACED)
_POOR = "?"  # behind the name of a sensor whose trust is low
_SHARES = {1.0: "full width", 0.5: "half width", 0.25: "a quarter"}


@dataclass(frozen=True)
class Cell:
    """The sensors with a part of their own that are there, and which of them are poor."""

    present: ModalitySet
    poor: ModalitySet = field(default_factory=ModalitySet)

    def __str__(self) -> str:
        return "+".join(f"{m.value}{_POOR if m in self.poor else ''}" for m in self.present)

    @classmethod
    def read(cls, text: str) -> Cell:
        """What `str` wrote; raises ValueError for no sensor."""
        names = text.split("+")
        present = ModalitySet.of(*(Modality(name.rstrip(_POOR)) for name in names))
        poor = ModalitySet.of(*(Modality(n.rstrip(_POOR)) for n in names if n.endswith(_POOR)))
        return cls(present, poor)

    def without(self, modality: Modality) -> Cell:
        """The same without one sensor."""
        gone = ModalitySet.of(modality)
        return Cell(self.present - gone, self.poor - gone)


@dataclass(frozen=True)
class Worths:
    """What the manifest says: points of mAP lost by cell, part and level, and without a sensor (`off`)."""

    cells: Mapping[Cell, Mapping[str, Sequence[float]]]
    off: Mapping[Cell, Mapping[Modality, float]]
    prices: tuple[float, ...]  # of a GMAC in points, for each level of the budget; 0 first, rising
    poor_trust: float  # a sensor that is trusted less is poor
    facts: Mapping[str, Any] = field(default_factory=dict)  # how it was measured

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return {
            **self.facts,
            "poor_trust": self.poor_trust,
            "unit": "points of mAP",  # for people: `from_mapping` goes by `points_per_loss`
            "prices": [round(price, 3) for price in self.prices],
            "cells": {
                str(cell): {
                    **{part: [round(value, 3) for value in row] for part, row in rows.items()},
                    "off": {m.value: round(value, 3) for m, value in self.off.get(cell, {}).items()},
                }
                for cell, rows in self.cells.items()
            },
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Worths:
        """What a manifest's `gate` holds; raises CheckpointError for anything else.

        Weights that were trained before worths were points of mAP tell them in loss, and what that is worth.
        """
        try:
            points = float(values.get("points_per_loss", 1.0))
            rows = {Cell.read(name): dict(row) for name, row in values["cells"].items()}
            off = {
                cell: {Modality(name): points * float(value) for name, value in row.pop("off").items()}
                for cell, row in rows.items()
            }
            return cls(
                cells={
                    cell: {name: [points * float(value) for value in row] for name, row in of_cell.items()}
                    for cell, of_cell in rows.items()
                },
                off=off,
                prices=tuple(points * float(price) for price in values["prices"]),
                poor_trust=float(values["poor_trust"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"the manifest's gate cannot be read ({error!r}); use weights and manifest of one run"
            ) from error


@dataclass(frozen=True)
class Choice:
    """What runs for one cell at one level."""

    used: ModalitySet  # of the sensors that are there, those that run
    parts: PartLevels
    gmacs: float
    points: float  # of mAP that it is expected to cost against everything at full width; below 0: it gains
    words: str  # the choice in a phrase


def part_sizes(shape: ModelShape) -> dict[str, int]:
    """How many levels each part has."""
    return {name: last + 1 for name, last in asdict(shape.narrowest).items()}


class Gate(Protocol):
    """What chooses sensors and widths."""

    @property
    def levels(self) -> int:
        """How many levels of the budget it knows."""
        ...

    def choose(self, present: ModalitySet, level: int, poor: ModalitySet = NOBODY) -> Choice:
        """What runs for the sensors in `present` at `level`, where those in `poor` are hardly trusted."""
        ...

    def poor(self, trust: Mapping[Modality, float]) -> ModalitySet:
        """The sensors that are trusted so little that others are planned for."""
        ...


class UniformGate:
    """Every part at the level of the budget, whatever the sensors: where nothing was measured."""

    def __init__(self, shape: ModelShape) -> None:
        self._shape = shape
        self.levels = shape.levels

    def choose(self, present: ModalitySet, level: int, poor: ModalitySet = NOBODY) -> Choice:
        """All sensors in `present`; being `poor` leaves none out."""
        del poor
        parts = self._shape.uniform(level)
        gmacs = count_macs(self._shape, GEOMETRY, present, parts).total / 1e9
        return Choice(present, parts, gmacs, math.nan, "")

    def poor(self, trust: Mapping[Modality, float]) -> ModalitySet:
        """None: nobody measured what that would change."""
        del trust
        return ModalitySet()


def make_gate(shape: ModelShape, manifest: Mapping[str, Any]) -> Gate:
    """The gate that a manifest describes; uniform widths where it has none."""
    found = manifest.get("gate")
    return UniformGate(shape) if found is None else PartGate(shape, Worths.from_mapping(found))


class PartGate:
    """Plans for every cell, with and without an IMU, at every level."""

    def __init__(self, shape: ModelShape, worths: Worths) -> None:
        """Raises CheckpointError where `worths` are of other parts than `shape` has."""
        sizes = part_sizes(shape)
        for cell, rows in worths.cells.items():
            wrong = [name for name, row in rows.items() if len(row) != sizes.get(name)]
            wrong += [f"{m.value} (off)" for m in worths.off.get(cell, {}) if m not in cell.present]
            if wrong:
                raise CheckpointError(
                    f"the gate's worths of {cell} do not fit the network's {', '.join(wrong)}; "
                    "use weights and manifest of one run"
                )
        self._shape, self._worths = shape, worths
        self.levels = len(worths.prices)
        self._by_mask: dict[ModalitySet, Mapping[str, Sequence[float]]] = {}  # see `_work`

    def choose(self, present: ModalitySet, level: int, poor: ModalitySet = NOBODY) -> Choice:
        """What runs for the sensors in `present` at `level`, where those in `poor` are hardly trusted.

        An IMU that is poor is left out: it has no part to be narrowed.
        """
        poor = poor & present
        imu = present & _IMU - poor
        cell = Cell(present & _PERCEIVING, poor & _PERCEIVING)
        choice = self._table[cell, bool(imu.bits), level]
        gone = present & _IMU & poor
        if not gone.bits:
            return choice
        words = "; ".join(part for part in ("imu off: its data is poor", choice.words) if part)
        return replace(choice, words=words)

    def poor(self, trust: Mapping[Modality, float]) -> ModalitySet:
        """The sensors that are trusted less than those that worths were measured of as good."""
        return ModalitySet.of(*(name for name, value in trust.items() if value < self._worths.poor_trust))

    @cached_property
    def _table(self) -> dict[tuple[Cell, bool, int], Choice]:
        found: dict[tuple[Cell, bool, int], Choice] = {}
        for bits in range(1 << len(Modality)):  # smaller sets before those that they are parts of
            mask = ModalitySet(bits)
            if mask & _IMU:
                continue
            for poor_bits in range(1 << len(Modality)):
                poor = ModalitySet(poor_bits)
                if poor & mask != poor:
                    continue
                for imu in (False, True):
                    for level in range(self.levels):
                        cell = Cell(mask, poor)
                        found[cell, imu, level] = self._best(cell, imu, level, found)
        return found

    def _best(
        self,
        cell: Cell,
        imu: bool,  # noqa: FBT001 - of this class alone
        level: int,
        found: Mapping[tuple[Cell, bool, int], Choice],
    ) -> Choice:
        """The least of points and priced work over all widths, and over leaving sensors out.

        `found` has what is best without each of them.
        """
        price = self._worths.prices[level]
        best = self._narrowed(cell, imu, price)
        for modality, lost in self._off(cell).items():
            smaller = cell.without(modality)
            if not smaller.present.bits or not (price or modality in cell.poor):
                continue  # where work is free what is good runs: a loss below 0 is chance
            other = found[smaller, imu, level]
            other = replace(other, points=lost + other.points)
            if _cost(other, price) < _cost(best, price):
                why = "its data is poor" if modality in cell.poor else "others see enough"
                words = f"{modality.value} off: {why}; {_worth(lost)}"
                best = replace(other, words="; ".join(part for part in (words, other.words) if part))
        return best

    def _narrowed(self, cell: Cell, imu: bool, price: float) -> Choice:  # noqa: FBT001
        """Every part at the level that costs least: points and work add up over parts."""
        mask = cell.present | (_IMU if imu else ModalitySet())
        work = self._work(mask)
        chosen: dict[str, int] = {}
        points = 0.0
        for name, row in self._rows(cell).items():
            costs = [lost + price * gmacs for lost, gmacs in zip(row, work[name], strict=True)]
            # Where work is free everything runs: a loss below 0 is chance.
            chosen[name] = min(range(len(row)), key=costs.__getitem__) if price else 0
            points += row[chosen[name]]
        parts = PartLevels(**chosen)
        return Choice(mask, parts, self._macs(mask, parts) / 1e9, points, self._words(cell, parts))

    def _rows(self, cell: Cell) -> Mapping[str, Sequence[float]]:
        """Points lost in the cell; one that was not measured is taken for that of good sensors."""
        rows = self._worths.cells.get(cell) or self._worths.cells.get(Cell(cell.present), {})
        there = {modality.value for modality in cell.present} | {"trunk", "head"}
        return {name: row for name, row in rows.items() if name in there}

    def _off(self, cell: Cell) -> Mapping[Modality, float]:
        return self._worths.off.get(cell) or self._worths.off.get(Cell(cell.present), {})

    def _macs(self, mask: ModalitySet, parts: PartLevels) -> int:
        return count_macs(self._shape, GEOMETRY, mask, parts).total

    def _work(self, mask: ModalitySet) -> Mapping[str, Sequence[float]]:
        """GMACs of each level of each part, against full width, with the sensors of `mask`."""
        found = self._by_mask.get(mask)
        if found is None:  # the same for every price and whoever is poor
            full = self._macs(mask, PartLevels())
            found = self._by_mask[mask] = {
                name: [(self._macs(mask, PartLevels(**{name: level})) - full) / 1e9 for level in range(count)]
                for name, count in part_sizes(self._shape).items()
            }
        return found

    def _words(self, cell: Cell, parts: PartLevels) -> str:
        """The sensors' parts that are narrowed, why, and what that is worth."""
        rows, said = self._rows(cell), []
        for modality in cell.present:
            level = getattr(parts, modality.value)
            if not level:
                continue
            seeing = [other.value for other in cell.present if other is not modality]
            why = f"the {seeing[-1]} sees" if seeing[-1:] == ["lidar"] else f"beside {' and '.join(seeing)}"
            why = why if seeing else "the budget asks for it"
            width = _width(self._shape, modality.value, level)
            said.append(f"{modality.value} at {width}: {why}; {_worth(rows[modality.value][level])}")
        return "; ".join(said)


def widths_text(shape: ModelShape, used: ModalitySet, parts: PartLevels) -> str:
    """How wide each part runs that does: 'camera a quarter, lidar full width, trunk half width, ...'."""
    levels = asdict(parts)
    there = (name for name in levels if name in ("trunk", "head") or Modality(name) in used)
    return ", ".join(f"{name} {_width(shape, name, levels[name])}" for name in there)


def _width(shape: ModelShape, part: str, level: int) -> str:
    if part == Modality.CAMERA.value:
        share, shrink = shape.camera_level(level)
        return f"{_share(share)}{' of half an image' if shrink == 2 else ''}"
    shares = {"audio": shape.audio_widths, "trunk": shape.trunk_widths}.get(part, ()) or shape.widths
    return _share(shares[level])


def _cost(choice: Choice, price: float) -> float:
    return choice.points + price * choice.gmacs


def _share(share: float) -> str:
    nearest = min(_SHARES, key=lambda known: abs(known - share))
    return _SHARES[nearest] if abs(nearest - share) < 0.02 else f"{share:.0%}"


def _worth(points: float) -> str:
    """What a choice costs, in points of mAP."""
    if points < 0.05:
        return "worth nothing" if points > -0.05 else f"gains {-points:.1f} points"
    return f"worth {points:.1f} points"
