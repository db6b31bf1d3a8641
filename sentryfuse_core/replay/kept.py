"""What is kept of every set until the report is drawn: the same values in a third of the memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar, overload

import numpy as np

from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.track import Track
from sentryfuse_core.types import Detection

__all__ = ["kept"]

Box = TypeVar("Box")
Packed: TypeAlias = tuple[tuple[Any, ...], Sequence[float]]  # words, which many boxes share, and numbers
# What is seldom another than in the set before.
_LASTING = (
    *("anchor", "used", "sensors", "states", "reasons", "absent", "level_reason", "pruning", "ratio"),
    *("heads_kept", "channels_kept", "gmacs", "watched", "notes"),
)
_BOX = ("score", "x", "y", "z", "length", "width", "height", "yaw")
_FOLLOWED = (*_BOX, "existence", "vx", "vy", "turn_rate", "age_s", "unseen_s")
_DETECTION, _TRACK = attrgetter(*_BOX), attrgetter(*_FOLLOWED)


def kept(record: SetRecord, before: SetRecord | None) -> SetRecord:
    """An equal record that shares with the one kept `before` what both have, and packs its numbers.

    Of a track's covariance that of its place is left, which is all that sets.jsonl tells, and no trail.
    """
    same: dict[str, Any] = {}
    if before is not None:
        pairs = ((name, getattr(before, name)) for name in _LASTING)
        same = {name: value for name, value in pairs if value == getattr(record, name)}
    tracks = record.tracks
    return replace(
        record,
        detections=_Boxes(record.detections, _pack_detection, _detection),
        tracks=None if tracks is None else _Boxes(tracks, _pack_track, _track),
        offsets_ms=_Numbers(record.offsets_ms),
        latency_ms=_Numbers(record.latency_ms),
        **same,
    )


class _Boxes(Sequence[Box], Generic[Box]):
    """Boxes whose numbers lie side by side; each is made anew when it is asked for."""

    __slots__ = ("_make", "_numbers", "_words")

    def __init__(
        self,
        boxes: Sequence[Box],
        pack: Callable[[Box], Packed],
        make: Callable[[tuple[Any, ...], Sequence[float]], Box],
    ) -> None:
        packed = [pack(box) for box in boxes]
        self._make = make
        self._words = tuple(_shared(words) for words, _ in packed)
        self._numbers = array("d", (value for _, numbers in packed for value in numbers))

    def __len__(self) -> int:
        return len(self._words)

    @overload
    def __getitem__(self, index: int) -> Box: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Box, ...]: ...
    def __getitem__(self, index: int | slice) -> Box | tuple[Box, ...]:
        if isinstance(index, slice):
            return tuple(self[at] for at in range(*index.indices(len(self))))
        at = range(len(self))[index]
        width = len(self._numbers) // len(self)
        return self._make(self._words[at], self._numbers[at * width : (at + 1) * width])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list


class _Numbers(Mapping[str, float]):
    """Numbers by name; the names are shared."""

    __slots__ = ("_names", "_numbers")

    def __init__(self, values: Mapping[str, float]) -> None:
        self._names = _shared(tuple(values))
        self._numbers = array("d", values.values())

    def __getitem__(self, name: str) -> float:
        try:
            return self._numbers[self._names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@lru_cache(maxsize=4096)
def _shared(words: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first of all equal ones."""
    return words


def _pack_detection(box: Detection) -> Packed:
    return (box.label, box.class_id, box.support), _DETECTION(box)


def _detection(words: tuple[Any, ...], numbers: Sequence[float]) -> Detection:
    label, class_id, support = words
    named: dict[str, Any] = dict(zip(_BOX, numbers, strict=True))
    return Detection(label=label, class_id=class_id, support=support, **named)


def _pack_track(track: Track) -> Packed:
    words = (track.label, track.class_id, track.state, track.seen_by, track.detection)
    return words, (*_TRACK(track), *track.covariance[:2, :2].ravel().tolist(), track.identity)


def _track(words: tuple[Any, ...], numbers: Sequence[float]) -> Track:
    label, class_id, state, seen_by, detection = words
    *values, xx, xy, yx, yy, identity = numbers
    named: dict[str, Any] = dict(zip(_FOLLOWED, values, strict=True))
    covariance = np.zeros((6, 6))
    covariance[:2, :2] = (xx, xy), (yx, yy)
    return Track(
        identity=int(identity),
        label=label,
        class_id=class_id,
        state=state,
        covariance=covariance,
        seen_by=seen_by,
        detection=detection,
        **named,
    )
