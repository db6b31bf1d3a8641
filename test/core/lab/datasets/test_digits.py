"""Three collections of digits, paired by class within splits that share no item."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
from driving_trees import SHARED

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.digits import (
    load_digits,
    log_mel,
    read_images,
    read_spoken,
    read_strokes,
    resampled,
)

PUBLIC = SHARED / "data" / "digits"
needs_recordings = pytest.mark.skipif(not PUBLIC.is_dir(), reason="needs the recordings in ../shared/data")

_IMAGES, _LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


def wav(pcm: np.ndarray, *, rate_hz: int = 8000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate_hz)
        sound.writeframes(pcm.astype("<i2").tobytes())
    return out.getvalue()


def write_images(folder: Path, label: np.ndarray) -> None:
    # The pixel in the corner numbers the image, so that a test recognises it.
    pixels = np.zeros((len(label), 28, 28), np.uint8)
    pixels[:, 0, 0] = np.arange(len(label))
    sizes = b"".join(size.to_bytes(4, "big") for size in pixels.shape)
    (folder / _IMAGES).write_bytes(gzip.compress((2051).to_bytes(4, "big") + sizes + pixels.tobytes()))
    count = len(label).to_bytes(4, "big")
    (folder / _LABELS).write_bytes(
        gzip.compress((2049).to_bytes(4, "big") + count + label.astype(np.uint8).tobytes())
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the public layout: 200 images, 12 recordings and 20 strokes of each digit."""
    folder = tmp_path_factory.mktemp("digits")
    rng = np.random.default_rng(0)
    write_images(folder, np.arange(200) % 10)
    with zipfile.ZipFile(folder / "fsdd.zip", "w") as out:
        out.writestr("README.md", "spoken digits")
        for digit in range(10):
            for number in range(12):
                pcm = rng.normal(0, 1000, 1200 + 100 * number)
                out.writestr(f"recordings/{digit}_ann_{number}.wav", wav(pcm))
    with zipfile.ZipFile(folder / "airwriting.zip", "w") as out:
        for digit in range(10):
            points = [[{"x": (20 * digit + i) / 400, "y": t / 50} for t in range(30)] for i in range(20)]
            strokes = [{"label": str(digit), "strokePoints": own} for own in points]
            out.writestr(f"{digit}.json", json.dumps({"strokes": strokes}))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "digits"))


def test_load_digits_shares_no_item_between_splits_or_classes_when_pairing(made: Path) -> None:
    digits = load_digits(made)
    count = {split: len(digits.rows(split)) for split in ("train", "val", "test")}
    assert count == {"train": 10 * 2 * 2, "val": 10 * 5 * 4, "test": 10 * 5 * 4}
    shapes = {key: value.shape[1:] for key, value in digits.inputs.items()}
    assert shapes == {"image": (16, 49), "sound": (16, 32), "strokes": (12, 16)}
    # A made image's corner pixel and a made stroke's x number it, also after standardisation.
    marks = {
        "image": digits.inputs["image"][:, 0, 0],
        "sound": digits.item,
        "strokes": digits.inputs["strokes"][:, 0, 0],
    }
    for modality, mark in marks.items():
        found: dict[float, tuple[int, str]] = {}
        for number, *place in zip(mark.tolist(), digits.label.tolist(), digits.split.tolist(), strict=True):
            assert found.setdefault(number, (place[0], place[1])) == tuple(place), modality
        assert len(found) > 80


def test_load_digits_repeats_itself_when_the_seed_is_the_same(made: Path) -> None:
    first, again, other = load_digits(made, seed=1), load_digits(made, seed=1), load_digits(made, seed=2)
    for modality, values in first.inputs.items():
        assert np.array_equal(values, again.inputs[modality])
    assert np.array_equal(first.item, other.item)
    assert not np.array_equal(first.rows("train").inputs["strokes"], other.rows("train").inputs["strokes"])


def test_load_digits_pairs_a_recording_with_different_partners_when_it_comes_again(made: Path) -> None:
    test = load_digits(made).rows("test")
    for item in np.unique(test.item):
        rows = np.flatnonzero(test.item == item)
        assert len(rows) == 4
        assert len(np.unique(test.label[rows])) == 1
        assert len(np.unique(test.inputs["sound"][rows], axis=0)) == 1
        assert len(np.unique(test.inputs["image"][rows], axis=0)) == 4
        assert len(np.unique(test.inputs["strokes"][rows], axis=0)) == 4


def test_read_spoken_keeps_the_official_split_when_recordings_are_numbered(made: Path) -> None:
    spoken = read_spoken(made / "fsdd.zip")
    assert spoken.values.shape == (120, 16, 32)
    # By name: 0, 1, 10, 11, 2, ... 9 of each digit.
    expected = ["test", "test", "train", "train", *["test"] * 3, *["val"] * 5]
    assert spoken.split[:12].tolist() == expected
    assert spoken.label[:13].tolist() == [0] * 12 + [1]


def test_read_images_and_strokes_deal_splits_by_class_when_none_are_published(made: Path) -> None:
    for items in (read_images(made), read_strokes(made / "airwriting.zip")):
        for digit in range(10):
            names, counts = np.unique(items.split[items.label == digit], return_counts=True)
            found = dict(zip(names.tolist(), counts.tolist(), strict=True))
            assert found == {"train": 12, "val": 3, "test": 5}


def test_log_mel_puts_a_tone_in_its_band_and_third_when_it_sounds_for_a_part() -> None:
    time_s = np.arange(4800) / 8000
    tone = np.sin(2 * np.pi * 1000 * time_s) * (time_s < 0.3)
    features = log_mel(tone)
    assert features.shape == (16, 32)
    assert features[:7].argmax(1).tolist() == [int(features[0].argmax())] * 7
    mel = np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 4000 / 700), 34)[1:-1]
    centre_hz = 700 * (10 ** (mel / 2595) - 1)
    assert abs(centre_hz[features[0].argmax()] - 1000) < 60
    assert features[9:].max() < -5.9


def test_log_mel_is_the_same_when_a_recording_is_louder() -> None:
    pcm = np.random.default_rng(0).normal(0, 100, 3000)
    assert np.allclose(log_mel(pcm), log_mel(8 * pcm), atol=1e-5)
    assert np.isfinite(log_mel(np.zeros(500))).all()


def test_resampled_keeps_ends_and_steps_when_a_stroke_is_a_line() -> None:
    line = resampled([(0.0, 1.0), (4.7, 1.0)])
    assert line.shape == (48, 4)
    assert np.allclose(line[:, 0], np.linspace(0, 4.7, 48), atol=1e-6)
    assert np.allclose(line[1:, 2], 0.1, atol=1e-6)
    assert line[0, 2:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", [_IMAGES, _LABELS, "fsdd.zip", "airwriting.zip"])
def test_load_digits_names_the_file_when_it_is_missing_or_damaged(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=f"{name} cannot be read .*fetch it again"):
        load_digits(folder)
    (folder / name).unlink()
    with pytest.raises(DatasetError, match=f"{name} is missing"):
        load_digits(folder)


def test_load_digits_names_the_cause_when_a_file_is_another_kind(folder: Path) -> None:
    write_images(folder, np.arange(100) % 9)
    with pytest.raises(DatasetError, match="no item of digit 9 for train"):
        load_digits(folder)
    shutil.copy(folder / _LABELS, folder / _IMAGES)
    with pytest.raises(DatasetError, match="2049 at its start instead of 2051"):
        load_digits(folder)
    with zipfile.ZipFile(folder / "fsdd.zip", "w") as out:
        out.writestr("recordings/0_ann_0.wav", wav(np.ones(900), rate_hz=16_000))
    with pytest.raises(DatasetError, match=r"0_ann_0\.wav has .*16000"):
        read_spoken(folder / "fsdd.zip")


@needs_recordings
def test_load_digits_is_balanced_when_read_from_the_public_files() -> None:
    digits = load_digits(PUBLIC)
    for split, count, recordings in (("train", 480, 2400), ("val", 120, 300), ("test", 120, 300)):
        rows = digits.rows(split)
        assert np.bincount(rows.label).tolist() == [count] * 10
        assert len(np.unique(rows.item)) == recordings
    train = digits.rows("train")
    for modality in ("image", "sound"):
        assert abs(train.inputs[modality].mean()) < 1e-3
    for modality, values in digits.inputs.items():
        flat = values.reshape(len(values), -1)
        seen = {row.tobytes() for row in flat[digits.split == "train"]}
        assert not any(row.tobytes() in seen for row in flat[digits.split == "test"]), modality
