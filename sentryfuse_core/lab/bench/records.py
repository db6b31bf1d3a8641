"""Records of the pruning benchmark: what one job measured, read from its JSON file.

A job is one method on one backbone, data set and seed: `<data>/<backbone>/s<seed>/<method>.json`. The content
decides, not the path. Keys that are not known here are left alone, so that a job may log more.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
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
# What each key holds, and what stands for it where it may be missing.
_RECORD: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(("data", "backbone", "method", "kind", "commit"), (str,)),
    **dict.fromkeys(("seed", "fold"), (int,)),
    **dict.fromkeys(("modalities", "rows"), (list,)),
    **dict.fromkeys(("config", "versions", "train"), (dict,)),
    "items": (list, []),
}
_TRAIN: Mapping[str, tuple[Any, ...]] = {"seconds": (_NUMBER, None), "macs": (_NUMBER, None)}
_ROW: Mapping[str, tuple[Any, ...]] = {
    "present": (list,),
    "split": (str,),
    **dict.fromkeys(("ratio", "accuracy", "macs", "unit_macs"), (_NUMBER,)),
    **dict.fromkeys(("kept", "units"), (dict, {})),
    "hits": (str, ""),
}
_MOST = {"ratio": 1.0, "accuracy": 100.0, "macs": math.inf, "unit_macs": math.inf}

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
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    commit: str
    train_seconds: float | None
    train_macs: float | None
    items: tuple[int | str, ...]

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
    found: dict[tuple[str, Run], tuple[Path, Record]] = {}
    for path in paths:
        record = load_record(path)
        other, _ = found.setdefault((record.name, record.run), (path, record))
        if other != path:
            raise RecordError(f"{path} holds the same job as {other}: {record.name}; remove one of them")
    return tuple(record for _, record in found.values())


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
    top = _taken(content, "the record", _RECORD)
    modalities = _names(top["modalities"], "the record: modalities")
    if not modalities or len(set(modalities)) != len(modalities):
        raise RecordError(f"modalities {list(modalities)} must be one name or more, each once")
    if top["kind"] not in KINDS:
        raise RecordError(f"kind {top['kind']!r} is none of {', '.join(KINDS)}")
    train = _taken(top.pop("train"), "train", _TRAIN)
    rows = tuple(
        _row(row, f"row {place}", modalities, len(top["items"])) for place, row in enumerate(top["rows"])
    )
    record = Record(
        **{**top, "modalities": modalities, "rows": rows, "items": tuple(top["items"])},
        train_seconds=train["seconds"],
        train_macs=train["macs"],
    )
    if len(record.index) != len(rows):
        raise RecordError("two rows hold the same mask, ratio and split; keep one")
    return record


def _row(content: object, where: str, modalities: Mask, items: int) -> RecordRow:
    row = _taken(content, where, _ROW)
    named = _names(row["present"], f"{where}: present")
    present = tuple(name for name in modalities if name in named)
    if not present or len(present) != len(named):
        raise RecordError(f"{where}: present {list(named)} must be some of {list(modalities)}, each once")
    if row["split"] not in _SPLITS:
        raise RecordError(f"{where}: split {row['split']!r} is none of {', '.join(_SPLITS)}")
    for key, most in _MOST.items():
        row[key] = value = float(row[key])
        if not 0.0 <= value <= most or math.isinf(value):
            raise RecordError(f"{where}: {key} is {value:g}, outside 0 to {most:g}")
    hits = row["hits"] if row["split"] == "test" else ""
    if hits and len(unpack_hits(hits)) != items:
        raise RecordError(f"{where}: {len(unpack_hits(hits))} hits for {items} items; one a test sample")
    return RecordRow(**{**row, "present": present, "ratio": round(row["ratio"], 4), "hits": hits})


def _taken(content: object, where: str, keys: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """The values of `keys`, each with a check of its type."""
    if not isinstance(content, dict):
        raise RecordError(f"{where} is {type(content).__name__}, not an object")
    found = {}
    for key, (kind, *default) in keys.items():
        value = content.get(key)
        if key not in content and not default:
            raise RecordError(f"{where} lacks {key!r}; it has {', '.join(content) or 'nothing'}")
        if value is None and default:
            value = default[0]
        elif not isinstance(value, kind) or isinstance(value, bool):
            kinds = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
            raise RecordError(f"{where}: {key} is {value!r:.40}, which is no {kinds}")
        found[key] = value
    return found


def _names(values: Sequence[Any], where: str) -> Mask:
    if not all(isinstance(value, str) for value in values):
        raise RecordError(f"{where} is {values!r:.40}, which is no list of names")
    return tuple(values)
