"""Batches of driving sets for the trainer, and the frames that are kept from it to judge by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import CUT, VAL_SHARE, DrivingSet, split_drives
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.frame_cache import FrameCache
from sentryfuse_core.lab.training.frame_table import FrameTable, joined
from sentryfuse_core.lab.training.mirror import mirror
from sentryfuse_core.lab.training.targets import cells_of, in_region, make_targets
from sentryfuse_core.lab.world.batch import Conditions
from sentryfuse_core.types import ModalitySet

__all__ = ["DrivingData", "DrivingSource", "kept_from", "load_data"]

_FEWEST_VAL = 2  # one frame to calibrate on and one to judge


@dataclass(frozen=True, eq=False)
class DrivingData:
    """Frames to learn from and frames to judge by, with names of the drives they are from."""

    train: list[FrameTable]
    val: list[FrameTable]
    train_drives: tuple[str, ...]
    val_drives: tuple[str, ...]
    sides: int = 1  # frames of each moment: none of them is in one part while another is elsewhere

    @property
    def judged_sensors(self) -> ModalitySet:
        """The sensors that most frames of val have: those are the frames that are judged."""
        return max(self.val, key=len).present

    @property
    def calibrating(self) -> int:
        """How many frames of val that have `judged_sensors`, the first, are to fit on and never judged.

        So neighbours in time are in one part, and sides of a moment.
        """
        table = max(self.val, key=len)
        return min(_begins(table, self.sides)[1:], key=lambda row: abs(row - len(table) // 2))

    def batches(self, part: int, *, most: int, batch: int, device: str = "cpu") -> Iterator[LabelledBatch]:
        """Frames of val that have `judged_sensors`, at most `most`: those to calibrate on (0), to judge (1).

        Where nothing is learned, about UNSURE boxes too, nothing is judged: `known` is false there.
        """
        table, half = max(self.val, key=len), self.calibrating
        index = torch.arange(half) if part == 0 else torch.arange(half, len(table))
        index = index[torch.linspace(0, len(index) - 1, min(most, len(index))).round().long()]
        for start in range(0, len(index), batch):
            rows = index[start : start + batch]
            unknown = torch.full((len(rows),), torch.nan)
            conditions = Conditions(light=unknown, rain_mm_h=unknown, fog=unknown, rough=unknown)
            found = table.rows(rows)
            told = found.classes.where(_told(found), torch.full_like(found.classes, -1))
            clear = make_targets(found.boxes, told, class_count=1, known=found.known).known[:, 0] > 0.0
            judged = replace(found, classes=told, known=clear)
            yield replace(_on(judged, device), conditions=conditions)


class DrivingSource:
    """`trainer.BatchSource` over frames: rows of a batch have the same sensors, half of them mirrored.

    A set of sensors is drawn as often as frames have it; frames of few are drawn with replacement.
    """

    def __init__(self, tables: list[FrameTable], *, batch: int, seed: int, device: str = "cpu") -> None:
        self._tables = tables
        self._batch, self._seed, self._device = batch, seed, device
        self._weights = torch.tensor([float(len(table)) for table in tables])

    def __call__(self, step: int) -> LabelledBatch:
        """The batch of `step`, the same for the same seed."""
        generator = torch.Generator().manual_seed(self._seed * 2**20 + step)
        table = self._tables[int(torch.multinomial(self._weights, 1, generator=generator))]
        if len(table) >= self._batch:
            chosen = torch.randperm(len(table), generator=generator)[: self._batch]
        else:
            chosen = torch.randint(len(table), (self._batch,), generator=generator)
        turned = torch.rand(self._batch, generator=generator) < 0.5
        return _on(mirror(table.rows(chosen), turned), self._device)


def load_data(
    found: DrivingSet,
    cache: FrameCache,
    *,
    share: float = VAL_SHARE,
    on_frame: Callable[[], None] = lambda: None,
) -> DrivingData:
    """Read or make all frames and split them; raises DatasetError where a split is empty.

    A set's own split is kept. Otherwise whole drives validate, a fifth of them, chosen by the hash of
    their names; of a single drive, or of each whose split is CUT, its last `share`.
    """
    splits = split_drives(found.drives)
    train: list[FrameTable] = []
    val: list[FrameTable] = []
    for drive, split in zip(found.drives, splits, strict=True):
        tables = [table.seen_in(drive.view) for table in cache.get(drive, on_frame=on_frame)]
        if split == CUT:
            parts = _cut(tables, share, drive.sides)
            train, val = train + parts[0], val + parts[1]
        else:
            (val if split == "val" else train).extend(tables)
    data = DrivingData(
        joined(train),
        joined(val),
        tuple(drive.name for drive, split in zip(found.drives, splits, strict=True) if split != "val"),
        tuple(drive.name for drive, split in zip(found.drives, splits, strict=True) if split != "train"),
        max(drive.sides for drive in found.drives),
    )
    _check(data, found)
    return data


def kept_from(count: int, share: float) -> int:
    """The number of the first of `count` moments that validates, where the last `share` of them do."""
    return count - max(_FEWEST_VAL, round(share * count))


def _begins(table: FrameTable, sides: int) -> list[int]:
    """The rows whose moment is not that of the row before."""
    number = table.columns["number"]  # counted from 0 in each drive
    begins = (number.diff() <= 0) | ((number // sides).diff() != 0)
    return [0, *(torch.nonzero(begins)[:, 0] + 1).tolist()]


def _cut(tables: list[FrameTable], share: float, sides: int) -> tuple[list[FrameTable], list[FrameTable]]:
    """The beginning of a drive and its end."""
    first = sides * kept_from(sum(map(len, tables)) // sides, share)
    early = [table.take(table.columns["number"] < first) for table in tables]
    late = [table.take(table.columns["number"] >= first) for table in tables]
    return [table for table in early if len(table)], [table for table in late if len(table)]


def _check(data: DrivingData, found: DrivingSet) -> None:
    for name, tables, least in (("train", data.train, 1), ("val", data.val, _FEWEST_VAL)):
        count = len(_begins(max(tables, key=len), data.sides)) if tables else 0
        if count < least:
            raise DatasetError(
                f"the split {name} of {found.root} has {count} moments with the same sensors, "
                f"{least} at least are needed; give more drives"
            )
    if not any(_boxes(table) for table in data.train):
        raise DatasetError(
            f"no frame of train in {found.root} has a box of a known class inside the detector's region "
            "(0 to 32 m ahead, 16 m to each side); give more drives"
        )


def _told(batch: LabelledBatch) -> Tensor:
    """Which boxes [B, M] lie where everything is labelled: others cannot be judged."""
    if batch.known is None:
        return torch.ones_like(batch.classes, dtype=torch.bool)
    rows = torch.arange(len(batch.boxes))[:, None]
    cells = cells_of(batch.boxes)
    return batch.known[rows, cells[..., 0], cells[..., 1]]


def _boxes(table: FrameTable) -> int:
    inside: Tensor = in_region(table.columns["boxes"], table.columns["classes"])
    return int(inside.sum())


def _on(batch: LabelledBatch, device: str) -> LabelledBatch:
    known = None if batch.known is None else batch.known.to(device)
    return LabelledBatch(
        batch.inputs.to(device), batch.boxes.to(device), batch.classes.to(device), known=known
    )
