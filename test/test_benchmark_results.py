"""Result files say what was measured on what, and judge it themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks._results import Row, read, render, write
from benchmarks.table import tables


@pytest.mark.parametrize(
    ("measured", "target", "direction", "met"),
    [
        (5.0, 10.0, "max", True),
        (10.0, 10.0, "max", True),
        (11.0, 10.0, "max", False),
        (11.0, 10.0, "min", True),
        (9.0, 10.0, "min", False),
        (float("nan"), 10.0, "max", False),
        (5.0, None, "max", None),
    ],
)
def test_target_is_met_when_measured_lies_on_its_good_side(
    measured: float, target: float | None, direction: str, met: bool | None
) -> None:
    assert Row(what="latency", measured=measured, unit="ms", target=target, direction=direction).met is met


def test_result_file_has_the_agreed_fields_when_written(tmp_path: Path) -> None:
    row = Row(what="sets", measured=9.9, unit="1/s", target=9.0, direction="min")
    path = write("robot_path", [row], raw=[1, 2], config={"level": 0}, folder=tmp_path)
    content = json.loads(path.read_text())
    assert {"name", "command", "machine", "versions", "commit", "date", "rows", "raw"} <= set(content)
    assert content["rows"][0]["met"] is True
    assert content["versions"]["torch"]
    assert read(path)[1] == [row]


def test_figure_that_is_no_number_survives_the_file_when_written(tmp_path: Path) -> None:
    path = write("runtime", [Row(what="p99", measured=float("nan"), unit="ms", target=1.0)], folder=tmp_path)
    assert json.loads(path.read_text())["rows"][0]["measured"] is None
    assert read(path)[1][0].met is False


def test_verdict_is_computed_anew_when_a_file_claims_another(tmp_path: Path) -> None:
    path = write("sync", [Row(what="p99", measured=20.0, unit="ms", target=10.0)], folder=tmp_path)
    path.write_text(path.read_text().replace('"met": false', '"met": true'))
    assert "NO" in tables(tmp_path, [])
    assert "0 of 1 targets met" in tables(tmp_path, ["sync"])


def test_table_names_what_is_missing_when_asked_for_unknown_results(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no results named runtime"):
        tables(tmp_path, ["runtime"])


def test_table_leaves_the_verdict_open_when_there_is_no_target() -> None:
    text = render([Row(what="memory", measured=512.0, unit="MB")])
    assert text.splitlines()[1].split() == ["memory", "512", "MB"]
