"""Sources: names, divisions by seed, and what a record says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.bench import data
from sentryfuse_core.lab.bench.data import digits, har, own_data
from sentryfuse_core.lab.datasets.arrays import Arrays


def arrays_of(count: int = 30) -> Arrays:
    return Arrays(
        name="tiny",
        inputs={"a": np.arange(count, dtype=np.float32).reshape(count, 1, 1)},
        label=np.arange(count) % 2,
        split=np.array(["train", "val", "test"] * (count // 3)),
        classes=("x", "y"),
        item=np.arange(count),
    )


def test_har_scores_every_second_window_and_trains_on_all_when_windows_overlap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def load_windows(*where: Path, **options: float) -> str:
        asked.append((*where, options))
        return "windows"

    def har_fold(windows: str, fold: int, *, patch: int) -> Arrays:
        asked.append((windows, fold, patch))
        return arrays_of()

    monkeypatch.setattr(data, "load_windows", load_windows)
    monkeypatch.setattr(data, "har_fold", har_fold)
    source = har(tmp_path / "a.zip")
    whole, found = arrays_of(), source.load(7)
    assert asked == [
        (tmp_path / "a.zip", {"window_s": 1.0, "step_s": 0.25, "pure": 0.5}),
        ("windows", 2, 20),  # the third of five folds of people
    ]
    assert found.rows("train").item.tolist() == whole.rows("train").item.tolist()
    for split in ("val", "test"):
        assert found.rows(split).item.tolist() == [row for row in whole.rows(split).item if row % 2 == 0]
    assert source.config == {"har_step_s": 0.25, "har_pure": 0.5, "har_patch": 20, "har_thin": 2}
    assert (source.name, source.folds, source.keeps_hits) == ("har", 5, False)


def test_digits_draw_training_pairs_by_seed_when_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def load(folder: Path, *, seed: int) -> Arrays:
        asked.append((folder, seed))
        return arrays_of()

    monkeypatch.setattr(data, "load_digits", load)
    source = digits(tmp_path)
    assert len(source.load(3)) == 30
    assert asked == [(tmp_path, 3)]
    assert (source.name, source.folds, source.keeps_hits, source.config) == ("digits", 1, True, {})


@pytest.mark.parametrize("content", [None, b"no npz"], ids=["missing", "broken"])
def test_own_data_names_the_file_when_it_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"mine\.npz"):
        own_data(path).load(0)
