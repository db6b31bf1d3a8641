"""report.html: one file, says what happened, and a browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import results
from builders import MS, S
from results import CAR

from sentryfuse_core.replay import records, report
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.report_data import ReportData, ReportFrame, ReportSpan, box_corners
from sentryfuse_core.types import Modality, ModalitySet, SensorState

CAMERA, LIDAR, IMU, AUDIO = Modality
START_NS = 100 * S
CHROMIUM = shutil.which("chromium")


def history(count: int = 30) -> tuple[SetRecord, ...]:
    """3 s in which the lidar is lost half-way."""
    found = []
    for index in range(count):
        stamp_ns = START_NS + index * 100 * MS
        lost = index >= count // 2
        used = ModalitySet.of(CAMERA) if lost else ModalitySet.of(CAMERA, LIDAR)
        states = {LIDAR: SensorState.LOST} if lost else {}
        result = results.result(stamp_ns, used=used, states=states)
        found.append(records.from_result(result, released_ns=stamp_ns, e2e_ms=30.0))
    return tuple(found)


def data(**changes: object) -> ReportData:
    points = np.random.default_rng(0).uniform(0, 16, (500, 3)).astype(np.float32)
    picture = np.full((90, 160, 3), 90, np.uint8)
    frame = ReportFrame(START_NS, ModalitySet.of(CAMERA), 0, (CAR,), (CAR,), picture, points)
    values = {
        "title": "A run <of> tests",
        "records": history(),
        "start_ns": START_NS,
        "seconds": 3.0,
        "facts": {"recording": "drive & walk.mcap"},
        "frames": (frame,),
        "spans": (ReportSpan("all well", 0.0, 1.5), ReportSpan("lidar dead", 1.5, 3.0)),
        "notes": ("mind the <gap>",),
        "metrics": {
            "coverage": {"anchor": "camera", "stamps": 30, "sets": 30, "share": 1.0},
            "real_time_factor": 3.5,
            "latency_ms": {"infer": {"p50": 10.0, "p90": 11.0, "p95": 12.0, "p99": 13.0, "max": 14.0}},
        },
        **changes,
    }
    return ReportData(**values)  # type: ignore[arg-type]


class _Checker(HTMLParser):
    """Collects what a page would load, and checks that elements nest."""

    VOID = ("meta", "img", "br", "path", "use", "image", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_startendtag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def page(path: Path, content: ReportData) -> str:
    report.write(path / "report.html", content)
    return (path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "content", [data(), data(records=()), data(frames=(), spans=(), metrics={}, notes=())]
)
def test_report_is_one_well_formed_file_that_loads_nothing(content: ReportData, tmp_path: Path) -> None:
    checker = _Checker()
    checker.feed(page(tmp_path, content))
    assert checker.open == []
    assert all(link.startswith(("data:", "#")) for link in checker.links)


def test_report_shows_text_as_text_when_it_looks_like_markup(tmp_path: Path) -> None:
    text = page(tmp_path, data())
    assert "A run &lt;of&gt; tests" in text
    assert "mind the &lt;gap&gt;" in text
    assert "<gap>" not in text


def test_report_is_the_same_when_written_twice(tmp_path: Path) -> None:
    assert page(tmp_path, data()) == page(tmp_path, data())


def test_summary_tells_the_story_in_sentences() -> None:
    text = " ".join(report.summary(data()))
    assert "30 sets in 3.0 s" in text
    assert "100.0% of the 30 camera stamps" in text
    assert "Lidar: part of 50% of the sets, lost 1 time; mostly: as the test says." in text
    assert "Audio: never received" in text
    assert "3.5 times as fast" in text


def test_summary_says_so_when_no_set_was_made() -> None:
    assert report.summary(data(records=())) == ["No set was made: no sensor delivered anything usable."]


def test_report_says_no_picture_when_the_camera_is_missing(tmp_path: Path) -> None:
    frame = ReportFrame(START_NS, ModalitySet.of(LIDAR), 0, (), (), None, None)
    assert "no camera picture" in page(tmp_path, data(frames=(frame,)))


def test_box_corners_turn_with_the_yaw() -> None:
    corners = box_corners(CAR)
    assert corners.mean(axis=0) == pytest.approx([CAR.x, CAR.y, CAR.z])
    along = corners[0] - corners[1]
    assert np.linalg.norm(along) == pytest.approx(CAR.length)
    assert np.arctan2(along[1], along[0]) == pytest.approx(CAR.yaw)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_report_is_light_and_filled_when_a_browser_shows_it(tmp_path: Path) -> None:
    report.write(tmp_path / "report.html", data())
    picture = tmp_path / "page.png"
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1200,1800",
        f"--screenshot={picture}",
        (tmp_path / "report.html").as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    shown = cv2.imread(str(picture))
    assert shown is not None
    assert shown[5, 5].min() > 230  # light background
    greens = (np.abs(shown.astype(int) - (0x6D, 0xA7, 0x3A)) < 12).all(axis=2)  # BGR of 'ok'
    assert greens.sum() > 5000
    assert re.search("lidar dead", (tmp_path / "report.html").read_text())
