"""Records of the pruning benchmark: what one job measured, read from its JSON file.

A job is one method on one backbone, data set and seed: `<data>/<backbone>/s<seed>/<method>.json`. The content
decides, not the path. Keys that are not known here are left alone, so that a job may log more.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import SentryFuseError

__all__ = [
    "KINDS",
    "Mask",
    "Record",
    "RecordError",
    "RecordRow",
    "Run",
    "load_record",
    "load_records",
    "pack_hits",
    "parse_record",
    "unpack_hits",
]

KINDS = ("reference", "zero_shot", "refit", "trained", "ours", "ablation", "small")
_SPLITS = ("val", "test")
_NUMBER = (int, float)

Mask = tuple[str, ...]  # the modalities that are present, in the record's order


class RecordError(SentryFuseError):
    """A record of the benchmark that is missing, damaged or contradicts another."""


class Run(NamedTuple):
    """What results are paired over: methods of one run saw the same data and the same seed."""

    seed: int
    fold: int


@dataclass(frozen=True, kw_only=True)
class RecordRow:
    """One sub-network on one split.

    Attributes:
        present: modalities, in the record's order.
        ratio: share of the prunable units' MACs that was removed at this mask.
        split: val | test.
        accuracy: per cent; balanced where the data set says so.
        macs: of the whole network for one sample.
        unit_macs: of its prunable units alone.
        kept: units that stay, by layer.
        units: units there are, by layer.
        hits: whether each test sample was classified rightly, packed by `pack_hits`; empty where not kept.
    """

    present: Mask
    ratio: float
    split: str
    accuracy: float
    macs: float
    unit_macs: float
    kept: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, int] = field(default_factory=dict)
    hits: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one job measured; `items` names the independent item of each test sample, empty where not kept."""

    data: str
    backbone: str
    seed: int
    fold: int
    method: str
    kind: str
    modalities: Mask
    rows: tuple[RecordRow, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    train_seconds: float | None = None
    train_macs: float | None = None
    items: tuple[int | str, ...] = ()

    @property
    def run(self) -> Run:
        """Seed and fold."""
        return Run(self.seed, self.fold)

    @property
    def name(self) -> str:
        """As the path has it, without the ending."""
        return f"{self.data}/{self.backbone}/s{self.seed}/{self.method}"

    @cached_property
    def index(self) -> Mapping[tuple[Mask, float, str], RecordRow]:
        """Rows by (present, ratio, split)."""
        return {(row.present, row.ratio, row.split): row for row in self.rows}


def pack_hits(correct: NDArray[np.bool_]) -> str:
    """Correctness [n] of the test samples as text: the count, a colon, and the bits in base64."""
    bits = np.asarray(correct, np.bool_)
    if bits.ndim != 1:
        raise ValueError(f"correctness of shape {list(bits.shape)}; give one value a sample, [n]")
    return f"{len(bits)}:{base64.b64encode(np.packbits(bits).tobytes()).decode('ascii')}"


def unpack_hits(text: str) -> NDArray[np.bool_]:
    """What `pack_hits` packed, [n]; raises RecordError for anything else."""
    count, colon, code = text.partition(":")
    try:
        packed = np.frombuffer(base64.b64decode(code, validate=True), np.uint8)
        length = int(count)
    except (ValueError, binascii.Error) as error:
        raise RecordError(
            f"hits {text[:24]!r} are not '<count>:<base64>'; write them with pack_hits"
        ) from error
    if not colon or length < 0 or len(packed) != -(-length // 8):
        raise RecordError(f"hits {text[:24]!r} hold {len(packed)} bytes for {count} samples; pack them again")
    return np.unpackbits(packed, count=length).astype(np.bool_)


def load_records(folder: Path) -> tuple[Record, ...]:
    """Every `<data>/<backbone>/s<seed>/<method>.json` below `folder`, sorted by path.

    Raises RecordError, naming the file, where there is none, one is damaged or two hold the same job.
    """
    paths = sorted(folder.glob("*/*/s*/*.json"))
    if not paths:
        raise RecordError(
            f"{folder} holds no <data>/<backbone>/s<seed>/<method>.json; run the benchmark first"
        )
    found: dict[tuple[str, str, Run, str], Path] = {}
    records = []
    for path in paths:
        record = load_record(path)
        key = (record.data, record.backbone, record.run, record.method)
        if key in found:
            raise RecordError(f"{path} holds the same job as {found[key]}: {record.name}; remove one of them")
        found[key] = path
        records.append(record)
    return tuple(records)


def load_record(path: Path) -> Record:
    """Read one job's file; raises RecordError, naming it, for anything that is no record."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(f"{path} is no JSON ({error}); delete it and run the job again") from error
    try:
        return parse_record(content)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None


def parse_record(content: object) -> Record:
    """A record from plain values; raises RecordError with the key that is missing or wrong."""
    top = _Fields(content, "the record")
    modalities = tuple(top.text_list("modalities"))
    if not modalities or len(set(modalities)) != len(modalities):
        raise RecordError(f"modalities {list(modalities)} must be one name or more, each once")
    kind = top.get("kind", str)
    if kind not in KINDS:
        raise RecordError(f"kind {kind!r} is none of {', '.join(KINDS)}")
    train = _Fields(top.get("train", dict), "train")
    items = tuple(top.get("items", list, default=[]))
    rows = tuple(
        _row(_Fields(row, f"row {place}"), modalities, len(items))
        for place, row in enumerate(top.get("rows", list))
    )
    record = Record(
        data=top.get("data", str),
        backbone=top.get("backbone", str),
        seed=top.get("seed", int),
        fold=top.get("fold", int),
        method=top.get("method", str),
        kind=kind,
        modalities=modalities,
        rows=rows,
        config=top.get("config", dict),
        versions=top.get("versions", dict),
        commit=top.get("commit", str),
        train_seconds=train.get("seconds", _NUMBER, default=None),
        train_macs=train.get("macs", _NUMBER, default=None),
        items=items,
    )
    if len(record.index) != len(rows):
        raise RecordError("two rows hold the same mask, ratio and split; keep one")
    return record


def _row(row: _Fields, modalities: Mask, items: int) -> RecordRow:
    named = row.text_list("present")
    present = tuple(name for name in modalities if name in named)
    if not present or len(present) != len(named):
        raise RecordError(f"{row.where}: present {list(named)} must be some of {list(modalities)}, each once")
    split = row.get("split", str)
    if split not in _SPLITS:
        raise RecordError(f"{row.where}: split {split!r} is none of {', '.join(_SPLITS)}")
    hits = row.get("hits", str, default="") if split == "test" else ""
    if hits and len(unpack_hits(hits)) != items:
        raise RecordError(f"{row.where}: {len(unpack_hits(hits))} hits for {items} items; one a test sample")
    return RecordRow(
        present=present,
        ratio=round(row.number("ratio", 0.0, 1.0), 4),
        split=split,
        accuracy=row.number("accuracy", 0.0, 100.0),
        macs=row.number("macs", 0.0, math.inf),
        unit_macs=row.number("unit_macs", 0.0, math.inf),
        kept=row.get("kept", dict, default={}),
        units=row.get("units", dict, default={}),
        hits=hits,
    )


class _Fields:
    """A JSON object whose keys are taken with a check of their type."""

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, dict):
            raise RecordError(f"{where} is {type(content).__name__}, not an object")
        self._content: dict[str, Any] = content
        self.where = where

    def get(self, key: str, kind: type | tuple[type, ...], **default: Any) -> Any:
        """The value of `key`; with `default=` it may be missing."""
        if key not in self._content and "default" not in default:
            raise RecordError(f"{self.where} lacks {key!r}; it has {', '.join(self._content) or 'nothing'}")
        value = self._content.get(key, default.get("default"))
        if value is None and "default" in default:
            return default["default"]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise RecordError(f"{self.where}: {key} is {value!r:.40}, which is no {_named(kind)}")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        """A number within [low, high]; never NaN."""
        value = float(self.get(key, _NUMBER))
        if not low <= value <= high or math.isinf(value):
            raise RecordError(f"{self.where}: {key} is {value:g}, outside {low:g} to {high:g}")
        return value

    def text_list(self, key: str) -> list[str]:
        """A list of words."""
        values: list[Any] = self.get(key, list)
        if not all(isinstance(value, str) for value in values):
            raise RecordError(f"{self.where}: {key} is {values!r:.40}, which is no list of names")
        return values


def _named(kind: type | tuple[type, ...]) -> str:
    kinds: Iterable[type] = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(one.__name__ for one in kinds)
