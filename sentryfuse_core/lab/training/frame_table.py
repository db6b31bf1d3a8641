"""Many frames in a compact form, those with the same sensors together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from sentryfuse_core.lab.datasets.driving import LabelledFrame
from sentryfuse_core.lab.datasets.view import View
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.preprocess.tensors import ModelInput, all_seen
from sentryfuse_core.types import ModalitySet

__all__ = ["FrameTable", "joined", "tables_of"]

_HALF = ("camera_seen", "lidar", "audio")  # half precision is finer than what was measured
_NO_CLASS = -1


@dataclass(frozen=True, eq=False)
class FrameTable:
    """n frames that all have the sensors `present`; `columns` has a tensor [n, ...] by name."""

    present: ModalitySet
    columns: Mapping[str, Tensor]  # of ModelInput (camera as uint8, lidar and audio as half), boxes, classes

    def __len__(self) -> int:
        return len(self.columns["classes"])

    def rows(self, index: Tensor) -> LabelledBatch:
        """The frames at `index` [B] as a batch."""
        inputs = {
            field.name: _wide(field.name, self.columns[field.name][index])
            for field in fields(ModelInput)
            if field.name in self.columns
        }
        known = self.columns.get("known")
        return LabelledBatch(
            ModelInput(**inputs),
            self.columns["boxes"][index],
            self.columns["classes"][index],
            known=None if known is None else known[index],
        )

    def seen_in(self, view: View) -> FrameTable:
        """The same frames, labelled within `view` alone."""
        known = view.cells().expand(len(self), -1, -1)
        return FrameTable(self.present, {**self.columns, "known": known})

    def take(self, index: Tensor) -> FrameTable:
        """Some of the frames."""
        return FrameTable(self.present, {name: item[index] for name, item in self.columns.items()})


def tables_of(frames: Iterable[LabelledFrame]) -> list[FrameTable]:
    """Frames by the sensors they have, each kind in the order it came; `number` is its place among all."""
    kinds: dict[int, list[dict[str, Tensor]]] = {}
    for number, frame in enumerate(frames):
        given = ((field.name, getattr(_told_seen(frame.inputs), field.name)) for field in fields(ModelInput))
        row = {name: _narrow(name, item[0]) for name, item in given if item is not None}
        row |= {"boxes": frame.boxes[0], "classes": frame.classes[0], "number": torch.tensor(number)}
        kinds.setdefault(frame.inputs.present.bits, []).append(row)
    return [_table(ModalitySet(bits), rows) for bits, rows in sorted(kinds.items())]


def joined(tables: Iterable[FrameTable]) -> list[FrameTable]:
    """Tables of several drives, one for each set of sensors."""
    kinds: dict[int, list[FrameTable]] = {}
    for table in tables:
        kinds.setdefault(table.present.bits, []).append(table)
    result = []
    for bits, parts in sorted(kinds.items()):
        most = max(part.columns["classes"].shape[1] for part in parts)
        columns = {
            name: torch.cat([_padded(name, part.columns[name], most) for part in parts])
            for name in parts[0].columns
        }
        result.append(FrameTable(ModalitySet(bits), columns))
    return result


def _table(present: ModalitySet, rows: list[dict[str, Tensor]]) -> FrameTable:
    most = max(1, *(len(row["classes"]) for row in rows))
    columns = {
        name: torch.stack([_padded(name, row[name][None], most)[0] for row in rows]) for name in rows[0]
    }
    return FrameTable(present, columns)


def _told_seen(inputs: ModelInput) -> ModelInput:
    """The same with `camera_seen` wherever there is a camera: frames of one table have the same columns."""
    if inputs.camera is None or inputs.camera_seen is not None:
        return inputs
    return replace(inputs, camera_seen=all_seen(inputs.camera))


def _padded(name: str, item: Tensor, most: int) -> Tensor:
    """Boxes [n, M, 7] and classes [n, M] with room for `most` boxes; other columns as they are."""
    if name not in ("boxes", "classes"):
        return item
    fill = _NO_CLASS if name == "classes" else 0
    wide = item.new_full((len(item), most, *item.shape[2:]), fill)
    wide[:, : item.shape[1]] = item
    return wide


def _narrow(name: str, item: Tensor) -> Tensor:
    if name == "camera":
        return item.mul(255.0).round().clamp(0, 255).to(torch.uint8)
    return item.half() if name in _HALF else item


def _wide(name: str, item: Tensor) -> Tensor:
    return item.float() / 255.0 if name == "camera" else item.float()
