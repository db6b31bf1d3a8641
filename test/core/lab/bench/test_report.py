"""The benchmark's report: one file, says what was measured, and a browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from prune_records import At, plain, records_of

from sentryfuse_core.errors import OutputError
from sentryfuse_core.lab.bench import report
from sentryfuse_core.lab.bench.accuracy_plot import _ticks, accuracy_figure
from sentryfuse_core.lab.bench.plot_style import write_png
from sentryfuse_core.lab.bench.study import arrange
from sentryfuse_core.lab.bench.summary import Summary, summarise

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def summary() -> Summary:
    """Two sensors, so that the pictures are few; a rival wins, and a record is missing."""

    def rule(at: At) -> float:
        if at.method == "layerdrop" and at.mask == ("gyro",):
            return 93.0
        return plain(at) - 5 * (at.method != "dense") * at.ratio

    return summarise(arrange(records_of(rule=rule, sensors=("accel", "gyro"), without=("matformer", 1))))


@pytest.fixture(scope="module")
def page(summary: Summary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.write(path, summary)
    return path


def test_report_is_one_well_formed_file_that_loads_nothing(page: Path) -> None:
    text = re.sub(r"<(!doctype|meta)\b[^>]*>", "", page.read_text(encoding="utf-8"))  # all others are closed
    text = text.replace("<details open>", "<details>")  # the one attribute without a value
    links = [
        value
        for element in ET.fromstring(text).iter()  # noqa: S314 - no stranger's
        for name, value in element.attrib.items()
        if name.endswith(("src", "href"))
    ]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)


def test_report_tells_targets_losses_gaps_and_how_it_was_made(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for part in (
        "≥ 92", "missed", "har/trunk, r = 0.9, without accel", "har/trunk/s1/matformer: no record", "abc123",
        "&lt;tuned&gt; &amp; true", "no_conditioning", "2.13.0",
    ):  # fmt: skip
        assert part in text
    assert "<tuned>" not in text
    assert "nan" not in text.replace("dominant", "")


def test_report_is_written_when_nearly_everything_is_missing(tmp_path: Path) -> None:
    summary = summarise(arrange(records_of(methods=("taylor",), seeds=(0,), sensors=("accel",))))
    report.write(tmp_path / "report.html", summary)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "har/trunk/s0/ours: no record" in text
    assert "No ablation was run" in text


def test_report_says_where_it_cannot_be_written(summary: Summary, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(report, "_page", lambda _summary: "")
    with pytest.raises(OutputError, match="nowhere"):
        report.write(tmp_path / "nowhere" / "report.html", summary)


def test_picture_for_documents_is_light_and_drawn_in_colour(summary: Summary, tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "accuracy.png"
    write_png(accuracy_figure(summary.study.groups), path)
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape[1] >= 900
    assert picture[2, 2].min() > 250
    spread = picture.max(axis=2).astype(int) - picture.min(axis=2)
    assert (spread > 40).sum() > 1000
    with pytest.raises(OutputError, match=r"cannot write .*accuracy\.png"):
        write_png(accuracy_figure(summary.study.groups), path / "accuracy.png")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_report_is_light_and_filled_when_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1280,6000",
        f"--screenshot={picture}",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    shown = cv2.imread(str(picture))
    assert shown is not None
    assert shown[5, 5].min() > 230  # light background
    blues = (np.abs(shown.astype(int) - (0xB2, 0x72, 0x00)) < 12).all(axis=2)  # BGR of ours
    assert blues.sum() > 300


@pytest.mark.parametrize(("low", "high"), [(300.0, 2400.0), (2.1e6, 4.8e6), (1.1e6, 1.4e6), (3e3, 5e9)])
def test_axis_of_macs_has_ticks_in_view_whatever_its_range(low: float, high: float) -> None:
    assert sum(low <= tick <= high for tick in _ticks(low, high).tick_values(low, high)) >= 2
