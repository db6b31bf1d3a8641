"""Records of the benchmark: read whole, and refused by name when they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prune_records import LEVELS, content_of

from sentryfuse_core.lab.bench.records import (
    RecordError,
    Run,
    load_record,
    load_records,
    pack_hits,
    parse_record,
    unpack_hits,
)


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = (
        folder / content["data"] / content["backbone"] / f"s{content['seed']}" / f"{content['method']}.json"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_records_are_read_in_order_when_all_are_sound(tmp_path: Path) -> None:
    for seed in (1, 0):
        for method in ("ours", "dense"):
            write(tmp_path, content_of(method, seed=seed))
    found = load_records(tmp_path)
    assert [record.name for record in found] == [
        "har/trunk/s0/dense", "har/trunk/s0/ours", "har/trunk/s1/dense", "har/trunk/s1/ours",
    ]  # fmt: skip
    assert found[1].run == Run(0, 0)
    assert found[1].index[("accel", "gyro"), 0.5, "test"].accuracy == LEVELS["ours"]
    assert found[1].train_macs == 1e12


def test_masks_are_put_in_the_records_order_when_a_row_names_them_in_another() -> None:
    content = content_of("ours")
    content["rows"] = [row for row in content["rows"] if len(row["present"]) == 2]
    for row in content["rows"]:
        row["present"].reverse()
    assert ("accel", "gyro") in {row.present for row in parse_record(content).rows}


def test_folder_without_records_is_refused_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"<data>/<backbone>/s<seed>/<method>\.json"):
        load_records(tmp_path)


def test_same_job_twice_is_refused_with_both_files(tmp_path: Path) -> None:
    path = write(tmp_path, content_of("ours"))
    path.with_name("copy.json").write_text(path.read_text())
    with pytest.raises(RecordError, match=r"ours\.json holds the same job as .*copy\.json"):
        load_records(tmp_path)


@pytest.mark.parametrize("text", ["{", "", "[]", "null", '{"rows": NaN}', "\x00"])
def test_broken_file_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"ours\.json"):
        load_record(path)


@pytest.mark.parametrize(
    "key", ["data", "backbone", "seed", "fold", "method", "kind", "modalities", "rows", "train", "commit"]
)
def test_missing_key_is_named_with_the_file(key: str, tmp_path: Path) -> None:
    path = write(tmp_path, content_of("ours"))
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=rf"ours\.json: the record lacks '{key}'"):
        load_record(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accuracy": 101.0}, "accuracy is 101"),
        ({"accuracy": float("nan")}, "accuracy is nan"),
        ({"accuracy": True}, "accuracy is True"),
        ({"macs": -1}, "macs is -1"),
        ({"macs": float("inf")}, "macs is inf"),
        ({"ratio": "half"}, "ratio is 'half'"),
        ({"split": "train"}, "split 'train'"),
        ({"present": []}, "present"),
        ({"present": ["lidar"]}, "lidar"),
        ({"present": ["accel", "accel"]}, "each once"),
        ({"hits": "7:AA=="}, "7 hits for 0 items"),
    ],
)
def test_bad_row_is_named_with_its_value(changes: dict[str, Any], message: str) -> None:
    content = content_of("ours")
    content["rows"][1].update(changes)  # a test row
    with pytest.raises(RecordError, match=message) as caught:
        parse_record(content)
    assert "row 1" in str(caught.value)


def test_two_rows_of_one_place_are_refused() -> None:
    content = content_of("ours")
    content["rows"].append(content["rows"][0])
    with pytest.raises(RecordError, match="same mask, ratio and split"):
        parse_record(content)


def test_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecordError, match=r"'magic' is none of reference, zero_shot"):
        parse_record({**content_of("ours"), "kind": "magic"})


@given(st.lists(st.booleans(), max_size=40))
def test_hits_come_back_when_packed(values: list[bool]) -> None:
    text = pack_hits(np.array(values, np.bool_))
    assert unpack_hits(text).tolist() == values


@pytest.mark.parametrize("text", ["", "AA==", "9:AA==", "-1:", "3:*", "x:AA==", "3"])
def test_hits_are_refused_when_damaged(text: str) -> None:
    with pytest.raises(RecordError):
        unpack_hits(text)


def test_hits_are_refused_when_not_one_a_sample() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        pack_hits(np.ones((2, 3), np.bool_))
