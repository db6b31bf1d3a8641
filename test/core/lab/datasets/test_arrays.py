"""Anyone's own .npz becomes standardised tokens, or one line that says what to mend."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.arrays import load_npz

N = 12


def own_data() -> dict[str, Any]:
    """Twelve samples of two classes, six of them for training."""
    rng = np.random.default_rng(0)
    return {
        "features": rng.normal(5, 3, (N, 20)),
        "series": rng.normal(-2, 4, (N, 100, 3)).astype(np.float32),
        "image": rng.integers(0, 256, (N, 28, 30, 3), np.uint8),
        "label": np.array([7, -3] * 6),
        "split": np.array(["train"] * 6 + ["val"] * 2 + ["test"] * 4),
    }


def saved(folder: Path, **changes: Any) -> Path:
    members = {key: value for key, value in {**own_data(), **changes}.items() if value is not None}
    np.savez(folder / "own.npz", **members)
    return folder / "own.npz"


def test_load_npz_tokenises_every_rank_when_nothing_is_tuned(tmp_path: Path) -> None:
    arrays = load_npz(saved(tmp_path))
    assert {key: value.shape for key, value in arrays.inputs.items()} == {
        "features": (N, 10, 2),
        "series": (N, 10, 30),
        "image": (N, 9, 300),
    }
    assert all(value.dtype == np.float32 for value in arrays.inputs.values())
    assert (arrays.name, arrays.classes, len(arrays)) == ("own", ("-3", "7"), N)
    assert arrays.label.tolist() == [1, 0] * 6
    assert arrays.item.tolist() == list(range(N))


def test_load_npz_standardises_with_training_samples_when_others_lie_elsewhere(tmp_path: Path) -> None:
    data = own_data()
    base = load_npz(saved(tmp_path)).rows("train")
    data["series"][6:] += 1000.0
    shifted = load_npz(saved(tmp_path, series=data["series"])).rows("train")
    assert np.array_equal(base.inputs["series"], shifted.inputs["series"])
    channels = base.inputs["series"].reshape(-1, 3)
    assert np.allclose(channels.mean(0), 0, atol=1e-5)
    assert np.allclose(channels.std(0), 1, atol=1e-5)


def test_load_npz_only_centres_a_channel_when_it_is_constant_in_training(tmp_path: Path) -> None:
    features = own_data()["features"]
    features[:, 4] = 0.1
    features[-1, 4] = 2.1
    tokens = load_npz(saved(tmp_path, features=features)).inputs["features"].reshape(N, -1)
    assert np.allclose(tokens[:, 4], [0.0] * 11 + [2.0], atol=1e-6)


def test_load_npz_reads_bytes_and_text_when_split_and_items_are_such(tmp_path: Path) -> None:
    item = np.array(["b", "a", "b", "a", "b", "a", "c", "c", "d", "d", "e", "e"])
    arrays = load_npz(saved(tmp_path, split=own_data()["split"].astype("S"), item=item))
    assert arrays.split.tolist() == own_data()["split"].tolist()
    assert arrays.item.tolist() == [1, 0, 1, 0, 1, 0, 2, 2, 3, 3, 4, 4]


def test_rows_selects_every_array_when_given_a_split(tmp_path: Path) -> None:
    arrays = load_npz(saved(tmp_path))
    test = arrays.rows("test")
    assert len(test) == 4
    assert test.item.tolist() == [8, 9, 10, 11]
    assert np.array_equal(test.inputs["image"], arrays.inputs["image"][8:])
    with pytest.raises(DatasetError, match=r"'tests'.*train, val, test"):
        arrays.rows("tests")


def _with(array: str, place: tuple[int, ...], value: Any) -> dict[str, Any]:
    data = own_data()[array]
    data[place] = value
    return {array: data}


_NO_MODALITY = dict.fromkeys(("features", "series", "image"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, r"no array 'label'"),
        ({"split": None}, r"no array 'split'"),
        (_NO_MODALITY, r"no modality"),
        ({"features": np.zeros((N - 1, 3))}, r"'features' of shape \[11, 3\] beside 12 labels"),
        ({"split": own_data()["split"][1:]}, r"'split' of shape \[11\] beside 12"),
        ({"item": np.zeros((N, 2), int)}, r"'item' of shape \[12, 2\]"),
        (_with("split", (3,), "dev"), r"split 'dev'; use train, val, test"),
        ({"split": np.array(["train"] * 6 + ["test"] * 6)}, r"no sample in the split 'val'"),
        ({"split": np.zeros(N, int)}, r"split of type int64"),
        ({"features": np.array([None] * N)}, r"Python objects in 'features'"),
        ({"features": np.zeros((N, 3), "U1")}, r"'features' of type <U1"),
        ({"features": np.zeros(N)}, r"'features' of shape \[12\]; reshape"),
        ({"features": np.zeros((N, 0))}, r"'features' of shape \[12, 0\]"),
        (_with("series", (4, 50, 1), np.nan), r"nan in 'series' at \[4, 50, 1\]"),
        (_with("features", (0, 2), -np.inf), r"-inf in 'features' at \[0, 2\]"),
        (_with("label", (11,), 9), r"no training sample of class '9'"),
        ({"label": np.linspace(0, 1, N)}, r"labels of type float64"),
        ({"label": np.zeros((N, 2), int)}, r"labels of shape \[12, 2\]"),
        ({"label": np.zeros(N, int)}, r"only the class '0'"),
        ({"item": np.full(N, 4)}, r"item 4 in train and in val"),
        ({"item": np.full(N, "anna")}, r"item anna in train and in val"),
        ({"item": np.zeros(N)}, r"items of type float64"),
        (_with("features", (11, 0), 1e300), r"'features' too large"),
    ],
)
def test_load_npz_says_in_one_line_what_to_mend_when_data_is_wrong(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        load_npz(saved(tmp_path, **changes))
    assert str(caught.value).startswith(str(tmp_path / "own.npz"))
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value)  # the remedy


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps({"label": 1}), b"PK\x03\x04 cut short"])
def test_load_npz_names_the_file_when_it_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"own\.npz is no readable \.npz"):
        load_npz(path)


def test_load_npz_names_the_file_when_it_is_cut_short_missing_bare_or_a_pipe(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    np.save(tmp_path / "bare.npy", np.zeros(3))
    os.mkfifo(tmp_path / "pipe.npz")
    for name, told in (
        ("own.npz", r"own\.npz is no readable"),
        ("none.npz", r"none\.npz does not exist"),
        (".", "no readable"),
        ("bare.npy", r"bare\.npy holds one bare array"),
        ("pipe.npz", "named pipe"),
    ):
        with pytest.raises(DatasetError, match=told):
            load_npz(tmp_path / name)


def rewritten(path: Path, name: str, content: bytes) -> Path:
    """The file with one member's bytes replaced."""
    with zipfile.ZipFile(path) as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for item, data in (members | {f"{name}.npy": content}).items():
            archive.writestr(item, data)
    return path


def member(shape: tuple[int, ...], content: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


@pytest.mark.parametrize(
    ("shape", "size", "told"),
    [
        ((1 << 30, 20), 1920, r"'features' claims \[1073741824, 20\]"),
        ((N, 4_000_000), 8 * N * 4_000_000, "unpacks to"),
    ],
)
def test_load_npz_refuses_a_member_when_it_is_not_of_the_size_it_claims_or_gigabytes(
    tmp_path: Path, shape: tuple[int, ...], size: int, told: str
) -> None:
    path = rewritten(saved(tmp_path), "features", member(shape, bytes(size)))
    with pytest.raises(DatasetError, match=told):
        load_npz(path)
