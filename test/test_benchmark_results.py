"""Result files say what was measured on what, and judge it themselves."""

from __future__ import annotations

import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.table import tables
from sentryfuse_core.errors import OutputError
from sentryfuse_core.lab.bench.results import FOLDER, ROOT, Figure, at_least, at_most, read, text_table, write

NAN = math.nan


@pytest.mark.parametrize(
    ("make", "measured", "target", "met"),
    [
        (at_most, 10.0, 10.0, True),
        (at_most, 1.0000000000000002, 1.0, True),
        (at_most, 10.01, 10.0, False),
        (at_least, 10.0, 10.0, True),
        (at_least, 9.99, 10.0, False),
        (at_most, NAN, 10.0, False),
        (at_least, NAN, 10.0, False),
        (at_most, 5.0, None, None),
    ],
)
def test_target_is_met_at_its_edge_and_never_by_nothing(
    make: Any, measured: float, target: float | None, met: bool | None
) -> None:
    assert make("latency", measured, "ms", target).met is met


@pytest.mark.parametrize("name", ["attention_plot", "budget_step", "table"])
def test_benchmark_explains_itself_and_writes_nothing_when_asked_for_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = {path: path.stat().st_mtime_ns for path in (ROOT / "docs" / "images").iterdir()}
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    assert f"usage: {name}" in capsys.readouterr().out
    assert pictures == {path: path.stat().st_mtime_ns for path in (ROOT / "docs" / "images").iterdir()}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["prune", "EMPTY"],
            "EMPTY holds no <data>/<backbone>/s<seed>/<method>.json; run",
        ),
        (["real", "EMPTY"], "no folder or recording at EMPTY/kitti_drive"),
        (["around", "--weights", "EMPTY/none"], "no weights at EMPTY/none"),
        (["around", "--frames", "0"], "argument --frames: '0': give a whole number from 1"),
        (["tracks", "--drives", "-1"], "argument --drives: '-1': give a whole number from 1"),
        (["robot_path", "--seconds", "nan"], "argument --seconds: 'nan': give a number above 0"),
        (["soak", "--judge", "EMPTY/none"], "EMPTY/none: No such file or directory; check the path"),
        (
            ["soak", "--judge", "EMPTY/file"],
            "EMPTY/file holds no soak that began; give the lines.jsonl",
        ),
    ],
    ids=" ".join,
)
def test_benchmark_says_what_is_wrong_in_one_line_when_it_cannot_run(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text('{"kind": "sample"}\n', encoding="utf-8")
    name, *arguments = (word.replace("EMPTY", str(tmp_path)) for word in words)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "error: " in said
    assert told.replace("EMPTY", str(tmp_path)) in said


def test_result_file_has_the_agreed_fields_when_written(tmp_path: Path) -> None:
    figures = [at_least("sets", 9.9, "1/s", 9.0), at_most("p99", NAN, "ms", 1.0)]
    path = write("robot_path", figures, raw=[1, 2], config={"level": 0}, folder=tmp_path / "new")
    content = json.loads(path.read_text())
    assert {"name", "command", "machine", "versions", "commit", "date", "rows", "raw"} <= set(content)
    agreed = {"what", "measured", "unit", "target", "direction", "met"}
    assert all(agreed <= row.keys() for row in content["rows"])
    assert [(row["measured"], row["met"]) for row in content["rows"]] == [(9.9, True), (None, False)]
    assert content["versions"]["torch"]
    found = read(path)[1]
    assert (found[0], found[1].met) == (figures[0], False)
    with pytest.raises(OutputError, match=r"cannot write .*choose another folder"):
        write("robot_path", figures, folder=path)


@pytest.mark.parametrize(
    ("original", "argv", "told"),
    [
        (["/a/python", "-m", "benchmarks.sync"], ["/a/sync.py"], "python -m benchmarks.sync"),
        (["/a/python", "/a/bin/sentryfuse", "bench"], ["/a/bin/sentryfuse", "bench"], "sentryfuse bench"),
    ],
)
def test_command_is_written_without_the_machines_folders(
    original: list[str], argv: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", original)
    monkeypatch.setattr(sys, "argv", argv)
    assert json.loads(write("sync", [], folder=tmp_path).read_text())["command"] == told


def test_verdict_is_computed_anew_when_a_file_claims_another(tmp_path: Path) -> None:
    path = write("sync", [at_most("p99", 20.0, "ms", 10.0)], folder=tmp_path)
    path.write_text(path.read_text().replace('"met": false', '"met": true'))
    assert "NO" in tables(tmp_path, [])
    assert "0 of 1 targets met" in tables(tmp_path, ["sync"])


def test_committed_results_are_all_shown_when_none_is_named() -> None:
    text = tables(FOLDER, [])
    assert all(f"{path.stem}: 20" in text for path in FOLDER.glob("*.json"))
    with pytest.raises(LookupError, match="no results named nothing"):
        tables(FOLDER, ["nothing"])


def test_table_shows_verdicts_intervals_and_notes_where_there_are_any() -> None:
    text = text_table([Figure(what="memory", measured=512.0, unit="MB")])
    assert text.splitlines()[1].split() == ["memory", "512", "MB"]
    judged = Figure(what="x", measured=1.0, unit="", target=92.0, low=0.5, high=1.5, notes=("one run",))
    lines = text_table([judged]).splitlines()
    assert lines[1].split() == ["x", "1", "0.50", "to", "1.50", ">=", "92", "NO"]
    assert lines[2] == "    one run"
