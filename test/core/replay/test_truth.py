"""Ground truth: labels read back, detections matched to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.errors import BagError
from sentryfuse_core.replay.labels import none_near
from sentryfuse_core.replay.truth import NEAR_NS, load_labels, matched
from sentryfuse_core.types import Detection


def box(x: float, y: float, *, label: str = "car", score: float = 1.0) -> Detection:
    return Detection(label, 0, score, x, y, 0.8, 4.0, 1.8, 1.5, 0.0)


def labels(path: Path, moments: dict[int, list[tuple[float, float]]]) -> Path:
    size = {"z": 0.8, "length": 4.0, "width": 1.8, "height": 1.5, "yaw": 0.0}
    lines = [
        json.dumps({"stamp_ns": stamp, "boxes": [{"label": "car", "x": x, "y": y, **size} for x, y in boxes]})
        for stamp, boxes in moments.items()
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_truth_gives_the_nearest_moment_in_the_region_when_asked(tmp_path: Path) -> None:
    truth = load_labels(
        labels(tmp_path / "l.jsonl", {0: [(5.0, 0.0), (-3.0, 0.0), (40.0, 0.0)], 100: [(6.0, 0.0)]})
    )
    assert [item.x for item in truth.at(-50)] == [5.0]
    assert [item.x for item in truth.at(49)] == [5.0]
    assert [item.x for item in truth.at(51)] == [6.0]
    assert [item.x for item in truth.at(10_000)] == [6.0]


def test_truth_is_read_when_another_editor_wrote_the_lines(tmp_path: Path) -> None:
    plain = labels(tmp_path / "plain.jsonl", {0: [(5.0, 0.0)], 100: [(6.0, 0.0)]}).read_text()
    more = plain.replace('"yaw": 0.0', '"yaw": 0.0, "track": 7, "note": "a\u2028b"')
    path = tmp_path / "labels.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + more.replace("\n", "\r\n\r\n").encode())
    truth = load_labels(path)
    assert len(truth.stamps_ns) == 2
    assert [item.x for item in truth.at(100)] == [6.0]
    path.write_text(plain.replace("6.0", "NaN"), encoding="utf-8")
    with pytest.raises(BagError, match=r"labels\.jsonl:2: a box of \[nan"):
        load_labels(path)


def test_none_near_names_no_stamp_of_a_set_when_there_is_no_set() -> None:
    assert none_near([5], None, near_ns=NEAR_NS) == "there is no set for its 1 labelled moments"
    assert "begin at 5 ns, the sets at 7 ns" in none_near([5], 7, near_ns=NEAR_NS)


def test_labels_are_refused_by_line_when_a_moment_has_two(tmp_path: Path) -> None:
    path = labels(tmp_path / "labels.jsonl", {0: [(5.0, 0.0)], 100: [(6.0, 0.0)]})
    path.write_text(path.read_text() + "\n\n" + path.read_text().splitlines()[0], encoding="utf-8")
    with pytest.raises(BagError, match=r"labels\.jsonl:4: line 1 has the moment 0 too"):
        load_labels(path)


@pytest.mark.parametrize("length_m", [0.0, -4.0])
def test_labels_are_refused_by_line_when_a_box_has_no_size(length_m: float, tmp_path: Path) -> None:
    path = labels(tmp_path / "labels.jsonl", {0: [(5.0, 0.0)], 100: [(6.0, 0.0)]})
    first, second = path.read_text().splitlines()
    path.write_text(first + "\n" + second.replace('"length": 4.0', f'"length": {length_m}'), encoding="utf-8")
    with pytest.raises(BagError, match=rf"labels\.jsonl:2: a box of {length_m} m by 1\.8 m .* leave it out"):
        load_labels(path)


@pytest.mark.parametrize(
    ("detections", "found"),
    [
        ([box(10.0, 0.0)], 1),
        ([box(13.9, 0.0)], 1),
        ([box(14.1, 0.0)], 0),
        ([box(10.0, 0.0, label="cyclist")], 0),
        ([box(10.0, 0.0), box(10.5, 0.0)], 1),  # one box is found once
        ([box(30.0, 9.0), box(30.0, -9.0), box(10.0, 0.0)], 0),  # only as many guesses as there are boxes
        ([], 0),
    ],
)
def test_matching_counts_boxes_found_when_near_and_of_their_class(
    detections: list[Detection], found: int
) -> None:
    assert matched(detections, [box(10.0, 0.0), box(20.0, 5.0)]) == found


@given(st.lists(st.tuples(st.floats(0, 32), st.floats(-16, 16)), max_size=8))
def test_matching_finds_everything_when_detections_are_the_truth(centres: list[tuple[float, float]]) -> None:
    boxes = [box(x, y) for x, y in centres]
    assert matched(boxes, boxes) == len(boxes)


def test_truth_says_nothing_of_a_moment_that_no_label_is_near(tmp_path: Path) -> None:
    truth = load_labels(labels(tmp_path / "l.jsonl", {10 * NEAR_NS: [(6.0, 0.0)], 0: [(5.0, 0.0)]}))
    near = truth.near(NEAR_NS)
    assert near is not None
    assert [item.x for item in near] == [5.0]
    assert truth.near(NEAR_NS + 1) is None
    assert truth.near(10 * NEAR_NS) is not None
    assert truth.labels == ("car",)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[" * 100_000,
        '{"stamp_ns": Infinity, "boxes": []}',
        "[]",
        "[1]",
        "null",
        '{"boxes": []}',
        '{"stamp_ns": 1}',
        '{"stamp_ns": 1, "boxes": [{"label": "car"}]}',
        "x" * 1_000_000,
    ],
)
def test_labels_are_refused_in_one_line_when_a_line_is_odd(line: str, tmp_path: Path) -> None:
    path = labels(tmp_path / "bad.jsonl", {0: [(5.0, 0.0)]})
    path.write_text(path.read_text(encoding="utf-8") + "\n" + line, encoding="utf-8")
    with pytest.raises(BagError, match=r"bad\.jsonl:2: ") as error:
        load_labels(path)
    assert len(str(error.value)) < 400
    assert not {"indices", "subscriptable"}.intersection(str(error.value).split())  # words of Python
