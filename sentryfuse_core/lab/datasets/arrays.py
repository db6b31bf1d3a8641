"""Labelled samples of several modalities as tokens, read from anyone's own .npz file."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.patches import tokenise
from sentryfuse_core.safe_files import check_regular
from sentryfuse_core.text import reason_of

__all__ = ["SPLITS", "Arrays", "load_npz", "not_judged", "tokenised"]

SPLITS = ("train", "val", "test")
MOST_BYTES = 4 << 30  # all arrays are in memory at once, and some twice
_FREE_BYTES, _MOST_RATIO = 256 << 20, 200  # beyond the first, data that pack better than this are none
_NOT_INPUTS = ("label", "split", "item")
_RANKS = "[n, F], [n, T, C] or [n, H, W, C]"


@dataclass(frozen=True, eq=False)
class Arrays:
    """Samples of several modalities, tokenised, with labels and a split.

    `inputs` are modality -> [n, tokens, features], standardised with the training split's statistics;
    `item` is the unit that is independent of the others, which intervals are drawn over.
    """

    name: str
    inputs: Mapping[str, NDArray[np.float32]]
    label: NDArray[np.int64]  # [n], 0..K-1
    split: NDArray[np.str_]  # [n], train | val | test
    classes: tuple[str, ...]  # K names
    item: NDArray[np.int64]  # [n]

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, split: str) -> Arrays:
        """The samples of one split."""
        if split not in SPLITS:
            raise DatasetError(f"{self.name} has no split {split!r}; choose one of {', '.join(SPLITS)}")
        return self.take(np.flatnonzero(self.split == split))

    def take(self, index: NDArray[np.intp]) -> Arrays:
        """The samples at `index` [m], in that order."""
        return replace(
            self,
            inputs={modality: values[index] for modality, values in self.inputs.items()},
            label=self.label[index],
            split=self.split[index],
            item=self.item[index],
        )


def not_judged(arrays: Arrays) -> list[str]:
    """A note for each judged split that lacks classes: its balanced accuracy is of the others alone."""
    notes = []
    for split in ("val", "test"):
        there = set(arrays.label[arrays.split == split].tolist())
        lacking = [name for number, name in enumerate(arrays.classes) if number not in there]
        if lacking:
            notes.append(
                f"{split} of {arrays.name} has no sample of class {', '.join(lacking)}: "
                "its balanced accuracy is the mean over the others"
            )
    return notes


def load_npz(path: Path) -> Arrays:
    """Read anyone's own data: one numeric array per modality, `label`, `split` and perhaps `item`.

    A modality is features [n, F], a series [n, T, C] or images [n, H, W, C]; each channel (the last
    axis) is standardised over the training samples and cut into tokens by `patches.tokenise`, with
    nothing tuned by hand. `label` [n] holds any integers, which become 0..K-1 in rising order and name
    the classes; `split` [n] holds train, val or test; `item` [n], integers or text, says which samples
    belong to one independent unit (a person, a recording), and is the sample itself where it is missing.

    Raises DatasetError, with the file, the offending value and the remedy, for anything else.
    """
    members = _members(path)
    try:
        for name in ("label", "split"):
            if name not in members:
                raise DatasetError(f"has no array {name!r} [n]; save it beside {sorted(members)}")  # noqa: TRY301
        label, classes = _labels(members["label"])
        item = members.get("item", np.arange(len(label)))
        _check_kind("items", item, "iuUS", "integers or text")
        return tokenised(
            path.stem,
            {name: values for name, values in members.items() if name not in _NOT_INPUTS},
            label=label,
            classes=classes,
            split=_text(members["split"]),
            item=item,
        )
    except DatasetError as error:
        raise DatasetError(f"{path} {error}") from None


def tokenised(
    name: str,
    values: Mapping[str, NDArray[Any]],
    *,
    label: NDArray[np.int64],
    split: NDArray[np.str_],
    classes: tuple[str, ...],
    item: NDArray[Any],
    sides: Mapping[str, int] | None = None,
) -> Arrays:
    """Standardise and tokenise `values`, modality -> [n, F], [n, T, C] or [n, H, W, C].

    Channels (features of [n, F]) are centred and scaled with the mean and deviation of the training
    samples alone; one that is constant there is only centred. `item` holds integers or text. `sides` are
    the patches' sides where a data set has its own. Raises DatasetError for samples that cannot be used,
    without naming their file.
    """
    if not values:
        raise DatasetError(f"has no modality; save an array {_RANKS} under a name of its own")
    for key, array in {**values, "split": split, "item": item}.items():
        _check_length(key, array, len(label))
    for modality, array in values.items():
        _check_values(modality, array)
    _check_splits(split, label, classes, item)
    train = split == "train"
    return Arrays(
        name=name,
        inputs={
            modality: tokenise(_standardised(modality, array, train), side=(sides or {}).get(modality))
            for modality, array in values.items()
        },
        label=label,
        split=split,
        classes=classes,
        item=_numbered(item),
    )


def _members(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of the file; never unpickles."""
    try:
        check_regular(path)
        if zipfile.is_zipfile(path):
            _check_sizes(path)
        loaded = np.load(path, allow_pickle=False)
        bare = not isinstance(loaded, np.lib.npyio.NpzFile)
        if not bare:
            with loaded as opened:
                members = {key: opened[key] for key in opened.files}
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; give the path of an .npz file") from None
    except DatasetError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged bytes make numpy, zipfile and zlib raise nearly anything
        raise DatasetError(
            f"{path} is no readable .npz ({reason_of(error)}); write it with numpy.savez"
        ) from None
    if bare:
        raise DatasetError(f"{path} holds one bare array; save named ones with numpy.savez")
    strange = [key for key, value in members.items() if not isinstance(value, np.ndarray)]
    if strange:
        raise DatasetError(f"{path} holds {strange[0]!r}, which is no array; write the file with numpy.savez")
    return members


def _check_sizes(path: Path) -> None:
    """Raise DatasetError for arrays that are Python objects, not of the size they claim, or a bomb."""
    unpacked = 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            unpacked += info.file_size
            if not info.filename.endswith(".npy"):
                continue
            key = info.filename.removesuffix(".npy")
            with archive.open(info) as member:
                old = np.lib.format.read_magic(member) == (1, 0)
                read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                shape, _, kind = read(member)
                size = member.tell() + math.prod(shape) * kind.itemsize
            if kind.hasobject:
                raise DatasetError(
                    f"{path} holds Python objects in {key!r}, which are not read; save numbers or "
                    ".astype(str)"
                )
            if size != info.file_size:
                raise DatasetError(
                    f"{path} is no readable .npz ({key!r} claims {list(shape)} of {kind}, {size:,} bytes, "
                    f"and has {info.file_size:,}); write it with numpy.savez"
                )
    packed = path.stat().st_size
    if unpacked > MOST_BYTES or unpacked > max(_FREE_BYTES, _MOST_RATIO * packed):
        raise DatasetError(
            f"{path} has {packed:,} bytes and unpacks to {unpacked:,}, more than the {MOST_BYTES:,} or "
            f"{_MOST_RATIO} times its size that are read; save fewer samples, without compression"
        )


def _check_kind(what: str, values: NDArray[Any], kinds: str, remedy: str) -> None:
    if values.dtype.kind not in kinds:
        raise DatasetError(f"has {what} of type {values.dtype}; save {remedy}")


def _labels(values: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels 0..K-1 [n], and the texts of the K integers they stood for."""
    _check_kind("labels", values, "iub", "integers, for example .astype(int)")
    if values.ndim != 1:
        raise DatasetError(f"has labels of shape {list(values.shape)}; save one integer a sample [n]")
    found, label = np.unique(values, return_inverse=True)
    return label.astype(np.int64), tuple(str(int(value)) for value in found)


def _text(values: NDArray[Any]) -> NDArray[np.str_]:
    """Strings or bytes as strings."""
    _check_kind("a split", values, "US", f"the words {', '.join(SPLITS)}")
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _numbered(values: NDArray[Any]) -> NDArray[np.int64]:
    """Integers as they are, text as the number of its place in the order of all texts."""
    numbers = values if values.dtype.kind in "iu" else np.unique(values, return_inverse=True)[1]
    return numbers.astype(np.int64)


def _check_length(name: str, values: NDArray[Any], count: int) -> None:
    if values.ndim == 0 or len(values) != count:
        raise DatasetError(
            f"has {name!r} of shape {list(values.shape)} beside {count} labels; save one row a sample"
        )
    if name in _NOT_INPUTS and values.ndim != 1:
        raise DatasetError(f"has {name!r} of shape {list(values.shape)}; save one value a sample [n]")


def _check_values(modality: str, values: NDArray[Any]) -> None:
    _check_kind(f"{modality!r}", values, "biuf", "real numbers")
    if values.ndim not in {2, 3, 4} or 0 in values.shape[1:]:
        raise DatasetError(
            f"has {modality!r} of shape {list(values.shape)}; reshape it to {_RANKS}, none of them 0"
        )
    finite = np.isfinite(values)
    if not finite.all():
        place = np.argwhere(~finite)[0].tolist()
        raise DatasetError(
            f"has {values[tuple(place)]} in {modality!r} at {place}; fill or leave out what was not measured"
        )


def _check_splits(
    split: NDArray[np.str_], label: NDArray[np.int64], classes: tuple[str, ...], item: NDArray[Any]
) -> None:
    unknown = sorted(set(split.tolist()) - set(SPLITS))
    if unknown:
        raise DatasetError(f"has the split {unknown[0]!r}; use {', '.join(SPLITS)}")
    for name in SPLITS:
        if not np.any(split == name):
            raise DatasetError(f"has no sample in the split {name!r}; mark some")
    unlearnt = np.setdiff1d(np.arange(len(classes)), label[split == "train"])
    if len(unlearnt):
        raise DatasetError(
            f"has no training sample of class {classes[unlearnt[0]]!r}; add some or leave it out"
        )
    if len(classes) < 2:
        raise DatasetError(f"has only the class {classes[0]!r}; save two or more")
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = np.intersect1d(item[split == one], item[split == other])
        if len(shared):
            raise DatasetError(
                f"has item {shared[0]} in {one} and in {other}; keep each item inside one split"
            )


def _standardised(modality: str, values: NDArray[Any], train: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`values` [n, ..., C] with mean 0 and deviation 1 per channel over the training samples."""
    exact = values.astype(np.float64)
    axes = tuple(range(exact.ndim - 1))
    mean = exact[train].mean(axes)
    deviation = exact[train].std(axes)
    # Rounding gives a constant channel a deviation of about 1e-16 of its value.
    scale = np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        result: NDArray[np.float32] = ((exact - mean) / scale).astype(np.float32)
    if not np.isfinite(result).all():
        raise DatasetError(f"has values in {modality!r} too large to standardise; rescale them")
    return result
