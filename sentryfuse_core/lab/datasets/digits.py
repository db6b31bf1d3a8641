"""Pairs images, spoken and air-drawn digits BY CLASS ONLY into samples of three modalities.

No person wrote, spoke and drew one digit: a sample joins three items of unrelated collections that show
the same digit and lie in the same split. Results on it say how a network fuses, not how people write.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import math
import wave
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.arrays import SPLITS, Arrays, tokenised
from sentryfuse_core.safe_files import check_regular
from sentryfuse_core.text import reason_of

__all__ = ["Items", "load_digits", "read_images", "read_spoken", "read_strokes"]

_CLASSES = tuple("0123456789")
_IDX_IMAGES, _IDX_LABELS = 2051, 2049
_IMAGE_PX = 28
_RATE_HZ = 8000
_FRAME = 256  # samples: 32 ms
_TOKENS, _FRAMES_PER_TOKEN, _BANDS = 16, 4, 32
_LOWEST_HZ = 100.0
_FLOOR = 1e-6  # 60 dB below a recording's loudest band
_POINTS, _POINTS_PER_TOKEN = 48, 4
_OFFICIAL_TEST, _VALIDATION = range(5), range(5, 10)  # recording numbers of FSDD
_CYCLE = ("train",) * 12 + ("val",) * 3 + ("test",) * 5  # 60, 15 and 25 %
_TRAIN_PARTNERS, _OTHER_PARTNERS = 2, 4
_OTHER_SEED = 20_230  # what val and test are paired with, whatever the seed of training
_DAMAGE = (
    OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile, zlib.error, wave.Error,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Items:
    """One collection: `values` [n, ...], the digit of each and its split."""

    values: NDArray[np.float32]
    label: NDArray[np.int64]  # [n], 0..9
    split: NDArray[np.str_]  # [n], train | val | test


def load_digits(folder: Path, *, seed: int = 0) -> Arrays:
    """Samples of image [n, 16, 49], sound [n, 16, 32] and strokes [n, 12, 16], paired by class only.

    `folder` holds the four public files (t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz, fsdd.zip,
    airwriting.zip). Every spoken recording of a split meets images and strokes of its digit and split:
    two in training, drawn by `seed`, and four in val and test, the same for every seed. Partners are
    dealt in turn from a shuffled order, so each is used about equally often. `item` is the spoken
    recording; a stroke serves several recordings of a split (about five in test), which an interval over
    recordings does not see.

    Raises DatasetError, with the file and the remedy, where one is missing or damaged.
    """
    image, sound = read_images(folder), read_spoken(folder / "fsdd.zip")
    strokes = read_strokes(folder / "airwriting.zip")
    draws = {"train": np.random.default_rng(seed)}
    draws["val"] = draws["test"] = np.random.default_rng(_OTHER_SEED)
    spoken, images, drawn = [], [], []
    try:
        for split, digit in itertools.product(SPLITS, range(len(_CLASSES))):
            partners = _TRAIN_PARTNERS if split == "train" else _OTHER_PARTNERS
            spoken.append(np.repeat(_of(sound, split, digit), partners))
            images.append(_dealt(_of(image, split, digit), len(spoken[-1]), draws[split]))
            drawn.append(_dealt(_of(strokes, split, digit), len(spoken[-1]), draws[split]))
        item = np.concatenate(spoken)
        return tokenised(
            "digits",
            {
                "image": image.values[np.concatenate(images)],
                "sound": sound.values[item],
                "strokes": strokes.values[np.concatenate(drawn)],
            },
            label=sound.label[item],
            split=sound.split[item],
            classes=_CLASSES,
            item=item,
            sides={"image": 7, "sound": 1, "strokes": _POINTS_PER_TOKEN},
        )
    except DatasetError as error:
        raise DatasetError(f"{folder} {error}") from None


def read_images(folder: Path) -> Items:
    """MNIST's 10,000 test images [n, 28, 28, 1] in 0..1; split 60/15/25 % by us, see `_dealt_splits`."""
    paths = folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz"
    with _reading(paths[0]):
        pixels = _idx(paths[0], _IDX_IMAGES)
    with _reading(paths[1]):
        label = _idx(paths[1], _IDX_LABELS).astype(np.int64)
    if pixels.shape != (len(label), _IMAGE_PX, _IMAGE_PX):
        raise DatasetError(
            f"{paths[0]} holds {list(pixels.shape)} beside {len(label)} labels; fetch both again"
        )
    return Items((pixels[..., None] / 255.0).astype(np.float32), label, _dealt_splits(label))


def read_spoken(path: Path) -> Items:
    """FSDD's recordings, named digit_speaker_number.wav, as log-mel [n, 16, 32] in order of their names.

    The official split: numbers 0 to 4 are test. Of the others, 5 to 9 are validation. Speakers are in all.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".wav"))
        values = np.stack([log_mel(_pcm(name, archive.read(name))) for name in names])
        parts = [Path(name).stem.split("_") for name in names]
        label = np.array([_CLASSES.index(part[0]) for part in parts], np.int64)
        split = np.array([_official(int(part[-1])) for part in parts])
    return Items(values, label, split)


def read_strokes(path: Path) -> Items:
    """Air-drawn digits, 0.json to 9.json, as [n, 48, 4]: x, y and their steps; split 60/15/25 % by us.

    A stroke's points, evenly spaced in time, are interpolated to 48; x and y keep the file's unit
    (about -0.5..0.5). Who drew which is not public, so a person may be in several splits.
    """
    values, digits = [], []
    with _reading(path), zipfile.ZipFile(path) as archive:
        for digit, name in enumerate(_CLASSES):
            for stroke in json.loads(archive.read(f"{name}.json"))["strokes"]:
                values.append(resampled([(point["x"], point["y"]) for point in stroke["strokePoints"]]))
                digits.append(digit)
    label = np.array(digits, np.int64)
    return Items(np.stack(values), label, _dealt_splits(label))


def log_mel(pcm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Log10 power of a recording [N] at 8 kHz in 32 mel bands from 100 to 4000 Hz, [16, 32].

    64 frames of 32 ms, centred evenly over the recording whatever its length (beyond its ends it is
    silent), are averaged by four: a token is a sixteenth of the word. Relative to the recording's
    loudest band and frame, from -6 (60 dB below) to 0: how loud it was recorded does not matter.
    """
    frames = _TOKENS * _FRAMES_PER_TOKEN
    begin = ((np.arange(frames) + 0.5) * len(pcm) / frames).astype(np.intp)
    padded = np.pad(pcm, _FRAME // 2)
    cut = padded[begin[:, None] + np.arange(_FRAME)] * np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(cut, axis=1)) ** 2 @ _mel_bands()
    relative = np.log10(power / max(float(power.max()), 1e-12) + _FLOOR)
    tokens: NDArray[np.float32] = (
        relative.reshape(_TOKENS, _FRAMES_PER_TOKEN, _BANDS).mean(1).astype(np.float32)
    )
    return tokens


def resampled(points: list[tuple[float, float]]) -> NDArray[np.float32]:
    """A stroke's points as 48 evenly spaced ones, [48, 4]: x, y, and the step from the one before."""
    known = np.array(points, np.float64).reshape(-1, 2)
    if not len(known):
        raise ValueError("a stroke without points")
    at = np.linspace(0, len(known) - 1, _POINTS)
    place = np.stack([np.interp(at, np.arange(len(known)), axis) for axis in known.T], axis=1)
    step = np.diff(place, axis=0, prepend=place[:1])
    return np.concatenate([place, step], axis=1).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_bands() -> NDArray[np.float64]:
    """Triangles over the spectrum of a frame, [129, 32], evenly spaced in mel = 2595 log10(1 + f / 700)."""
    lowest, highest = (2595 * math.log10(1 + hz / 700) for hz in (_LOWEST_HZ, _RATE_HZ / 2))
    mel = np.linspace(lowest, highest, _BANDS + 2)
    corner = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.fft.rfftfreq(_FRAME, 1 / _RATE_HZ)[:, None]
    rising = (frequency - corner[:-2]) / (corner[1:-1] - corner[:-2])
    falling = (corner[2:] - frequency) / (corner[2:] - corner[1:-1])
    bands: NDArray[np.float64] = np.maximum(np.minimum(rising, falling), 0.0)
    return bands


def _dealt_splits(label: NDArray[np.int64]) -> NDArray[np.str_]:
    """Splits [n] for collections that publish none: each class's items in file order, 12 : 3 : 5 of twenty.

    They are dealt in turn rather than in blocks, for a file's order may follow who wrote or drew.
    """
    split = np.empty(len(label), "<U5")
    spread = [_CYCLE[place * 7 % len(_CYCLE)] for place in range(len(_CYCLE))]  # 7 and 20 share no factor
    for digit in np.unique(label):
        rows = np.flatnonzero(label == digit)
        split[rows] = np.resize(np.array(spread), len(rows))
    return split


def _official(number: int) -> str:
    return "test" if number in _OFFICIAL_TEST else "val" if number in _VALIDATION else "train"


def _of(items: Items, split: str, digit: int) -> NDArray[np.int64]:
    """Places of a split's items of one digit; there must be some."""
    found = np.flatnonzero((items.split == split) & (items.label == digit)).astype(np.int64)
    if not len(found):
        raise DatasetError(
            f"holds no item of digit {digit} for {split} in one of its collections; fetch it again"
        )
    return found


def _dealt(pool: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` of the pool, in a shuffled order that repeats: neighbours differ while the pool has two."""
    return np.resize(rng.permutation(pool), count)


def _pcm(name: str, content: bytes) -> NDArray[np.float64]:
    """Samples [N] of one recording."""
    with wave.open(io.BytesIO(content)) as sound:
        form = (sound.getframerate(), sound.getnchannels(), sound.getsampwidth())
        if form != (_RATE_HZ, 1, 2) or not sound.getnframes():
            raise ValueError(
                f"{name} has {form} and {sound.getnframes()} samples instead of 8 kHz, mono, 16 bit"
            )
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float64)


def _idx(path: Path, magic: int) -> NDArray[np.uint8]:
    """The array of an idx file of bytes."""
    with gzip.open(path) as opened:
        content = opened.read()
    found = int.from_bytes(content[:4], "big")
    if found != magic:
        raise ValueError(f"number {found} at its start instead of {magic}")
    sizes = [int(size) for size in np.frombuffer(content, ">u4", count=magic % 256, offset=4)]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What goes wrong within is a DatasetError that names the file."""
    try:
        check_regular(path)
        yield
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; put the public file there") from None
    except _DAMAGE as error:
        raise DatasetError(f"{path} cannot be read ({reason_of(error)}); fetch it again") from error
