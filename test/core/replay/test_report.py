"""report.html: one file, says what happened, and a browser shows it."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
import subprocess
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import results
from builders import MS, S
from results import CAR

from sentryfuse_core.faults.scenario import Event, Stretch
from sentryfuse_core.replay import report
from sentryfuse_core.replay.criteria import Criterion, Verdict
from sentryfuse_core.replay.plots import _COLUMNS, _FAULT, _extremes, timeline_svg
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.report_data import ReportData, ReportFrame, box_corners
from sentryfuse_core.track import TrackState
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
        found.append(results.record_of(results.result(stamp_ns, used=used, states=states)))
    return tuple(found)


def data(**changes: object) -> ReportData:
    points = np.random.default_rng(0).uniform(0, 16, (500, 3)).astype(np.float32)
    picture = np.full((90, 160, 3), 90, np.uint8)
    coasting = results.track(71, state=TrackState.COASTING, detection=None, unseen_s=0.4, x=20.0)
    told = results.set_record(START_NS, detections=(CAR,), tracks=(results.track(70), coasting))
    frame = ReportFrame(told, (CAR,), {"camera": picture}, points)
    values = {
        "title": "A run <of> tests",
        "records": history(),
        "start_ns": START_NS,
        "seconds": 3.0,
        "facts": {"recording": "drive & walk.mcap"},
        "frames": (frame,),
        "stretches": (
            Stretch("all well", 0.0, 1.5, ("camera", "lidar"), 0.0, None),
            Stretch("lidar dead", 1.5, 3.0, ("camera",), 0.0, None),
        ),
        "faults": (Event(1.5, 3.0, "lidar", "drop"),),
        "verdicts": (
            Verdict(Criterion("map_min", "", 0.5), math.nan, passed=False, why="no labels"),
            Verdict(Criterion("coverage_min", "", 0.9), 1.0, passed=True, why=""),
        ),
        "notes": ("mind the <gap>",),
        "metrics": {
            "coverage": {"anchor": "camera", "stamps": 30, "sets": 30, "share": 1.0},
            "real_time_factor": 3.5,
            "accuracy": {
                "overall": {"map": 0.5, "relative_map": 0.7},
                "cells": {"camera+lidar @ 1": {"map": 0.62, "relative_map": 0.8}},
            },
            "faults": [
                {
                    "sensor": "lidar",
                    "fault": "drop",
                    "at_s": 1.5,
                    "until_s": 3.0,
                    "code": "timeout",
                    "noticed_after_s": 0.2,
                    "left_mask_after_s": 0.2,
                    "recovered_after_s": None,
                    "still_out": False,
                }
            ],
            "false_alarms": {
                "events": [{"t": 0.5, "sensor": "imu", "after": "LOST", "reason": "no <new> message"}]
            },
            "tracks": {
                "confirmed": 9,
                "longest_coast_s": 1.25,
                "over_ground_share": 1.0,
                "scores": {
                    "overall": {"hota": 0.61, "mota": 0.72, "idf1": 0.83, "switches": 2, "mave_m_s": 0.4},
                    "masks": {},
                    "clean": {"switches": 1},
                    "switches": [{"t": 1.6, "count": 2}],
                },
            },
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
    "content",
    [data(), data(records=()), data(frames=(), stretches=(), faults=(), verdicts=(), metrics={}, notes=())],
)
def test_report_is_one_well_formed_file_that_loads_nothing(content: ReportData, tmp_path: Path) -> None:
    checker = _Checker()
    checker.feed(page(tmp_path, content))
    assert checker.open == []
    assert all(link.startswith(("data:", "#")) for link in checker.links)


@pytest.mark.parametrize(
    "shown",
    [
        ["A run &lt;of&gt; tests", "mind the &lt;gap&gt;"],  # text as text
        [
            "1 of 2 criteria failed",
            "<b class='fail'>FAILED</b></td><td>map_min</td><td>not measured: no labels</td>",
            "<b class='pass'>passed</b></td><td>coverage_min</td><td>1</td><td>at least 0.9</td>",
        ],
        ["drop on lidar", "1.5 to 3 s", ">drop</text>", "Alarms without an injected fault"],
        [  # accuracy where it is known, counts where it is not
            "<b>mAP 0.62</b><span>15 sets, 80% of clean</span>",
            "<b>15 sets</b><span>1.0 boxes a set</span>",
        ],
        [
            ">identity switch</text>",
            ">coasting</text>",
            *(">70</text>", ">71</text>"),  # by identity in the view from above
            "<b>9</b><span>tracks</span>",
            "HOTA 0.61, MOTA 0.72 and IDF1 0.83, with 2 identity switches (1 without the faults)",
            "their velocities over ground are off by 0.40 m/s",
        ],
    ],
    ids=["markup", "criteria", "faults", "matrix", "tracks"],
)
def test_report_tells_what_it_was_given(shown: list[str], tmp_path: Path) -> None:
    text = page(tmp_path, data())
    assert [part for part in shown if part not in text] == []
    assert "<gap>" not in text


def test_report_has_no_row_of_tracks_when_tracking_was_off(tmp_path: Path) -> None:
    off = tuple(results.set_record(record.stamp_ns, tracks=None) for record in history())
    text = page(tmp_path, data(records=off, frames=(), metrics={"tracks": None}))
    assert ">coasting</text>" not in text
    assert "tracks were confirmed" not in text


@pytest.mark.parametrize(("stream", "bands"), [("imu", 1), ("lidar", 2), ("/points", 4)])
def test_timeline_marks_the_sensors_of_a_kind_when_a_fault_hits_the_kind(stream: str, bands: int) -> None:
    kinds = {kind.value: kind for kind in Modality} | {"imu": Modality.LIDAR}
    drawn = [
        timeline_svg(data(kinds=kinds, faults=faults)).count(f"fill: {_FAULT}")
        for faults in ((), (Event(1.5, 3.0, stream, "drop"),))
    ]
    assert drawn[1] - drawn[0] == bands + 1  # and the fault's name


def test_timeline_is_no_larger_when_a_run_is_longer() -> None:
    random = np.random.default_rng(0)
    record = history(1)[0]

    def size(count: int) -> int:
        records = tuple(
            replace(
                record,
                released_ns=START_NS + index * 100 * MS,
                sensors=("camera", "lidar") if index % 2 else ("lidar",),  # a camera of half the rate
                latency_ms=dict.fromkeys(record.latency_ms, random.uniform(1.0, 2.0)),
            )
            for index in range(count)
        )
        return len(timeline_svg(data(records=records, seconds=count / 10, stretches=(), faults=())))

    assert size(16 * _COLUMNS) < 1.1 * size(4 * _COLUMNS)


def test_timeline_draws_the_slowest_and_the_fastest_set_when_a_run_is_long() -> None:
    values = [5.0] * (8 * _COLUMNS + 3)
    values[4321], values[4322] = 90.0, 1.0
    shown = _extremes(values)
    assert {0, 4321, 4322, len(values) - 1} <= set(shown)
    assert sorted(set(shown)) == list(shown)
    assert len(shown) <= 2 * _COLUMNS + 2
    assert list(_extremes(values[: 2 * _COLUMNS])) == list(range(2 * _COLUMNS))


def test_timeline_is_as_wide_when_a_fault_lies_beyond_the_end() -> None:
    beyond = Event(1e3, 2e3, "lidar", "drop")
    assert timeline_svg(data(faults=(beyond,))) == timeline_svg(data(faults=()))


def test_timeline_shows_names_as_they_are_when_they_look_like_formulas_or_have_no_font_here() -> None:
    name = r"$\frac{カメラ}$"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = timeline_svg(data(stretches=(Stretch(name, 0.0, 3.0, ("camera",), 0.0, None),)))
    assert f">{name}<" in shown


def test_timeline_is_as_wide_when_the_story_goes_on_beyond_the_end() -> None:
    story = (Stretch("all well", 0.0, 3.0, ("camera",), 0.0, None),)
    longer = (replace(story[0], until_s=30.0), Stretch("all dead", 30.0, 60.0, (), 0.0, None))
    told = [timeline_svg(data(stretches=one)) for one in (story, longer)]
    middles = [re.findall(r'x="([0-9.]+)"[^>]*>all well<', text) for text in told]
    assert len(middles[0]) == 1
    assert middles[0] == middles[1]
    assert "all dead" not in told[1]


def test_report_is_the_same_when_written_twice(tmp_path: Path) -> None:
    assert page(tmp_path, data()) == page(tmp_path, data())


def test_summary_tells_the_story_in_sentences() -> None:
    text = " ".join(report.summary(data()))
    assert "30 sets in 3.0 s" in text
    assert "100.0% of the 30 messages of the camera in the recording" in text
    assert "Lidar: part of 50% of the sets, lost 1 time; mostly: as the test says." in text
    assert "Audio: never received" in text
    assert "3.5 times as fast" in text


def test_summary_says_so_when_no_set_was_made() -> None:
    assert report.summary(data(records=())) == ["No set was made: no sensor delivered anything usable."]


def test_report_says_no_picture_when_the_camera_is_missing(tmp_path: Path) -> None:
    frame = ReportFrame(results.set_record(START_NS), (), {"camera": None}, None)
    assert "no camera picture" in page(tmp_path, data(frames=(frame,)))


def test_report_shows_every_camera_under_its_name_when_there_are_several(tmp_path: Path) -> None:
    picture = np.full((90, 160, 3), 90, np.uint8)
    told = results.set_record(START_NS, sensors=("front", "lidar"))
    frame = ReportFrame(told, (), {"front": picture, "left": None, "rear": picture}, None, around=True)
    text = page(tmp_path, data(frames=(frame,)))
    assert text.count("data:image/jpeg") == 2
    assert text.count("no camera picture") == 1
    assert ">front</p>" in text
    assert ">left, not used</p>" in text
    assert ">rear, not used</p>" in text


def test_box_corners_turn_with_the_yaw() -> None:
    corners = box_corners(CAR)
    assert corners.mean(axis=0) == pytest.approx([CAR.x, CAR.y, CAR.z])
    along = corners[0] - corners[1]
    assert np.linalg.norm(along) == pytest.approx(CAR.length)
    assert np.arctan2(along[1], along[0]) == pytest.approx(CAR.yaw)


def browse(tmp_path: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Show a page in a real browser."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1200,1800",
        *options,
        page.as_uri(),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize(("scheme", "dark"), [("1", False), ("0", True)])
def test_report_is_filled_and_suits_the_screen_when_a_browser_shows_it(
    scheme: str, dark: bool, tmp_path: Path
) -> None:
    report.write(tmp_path / "report.html", data())
    picture = tmp_path / "page.png"
    options = (f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}")
    browse(tmp_path, tmp_path / "report.html", *options)
    shown = cv2.imread(str(picture))
    assert shown is not None
    assert (shown[5, 5].max() < 60) if dark else (shown[5, 5].min() > 230)
    greens = (np.abs(shown.astype(int) - (0x6D, 0xA7, 0x3A)) < 12).all(axis=2)  # BGR of 'ok'
    assert greens.sum() > 5000


_LOOK = """<script>addEventListener('load', () => {
  const size = item => { const box = item.getBoundingClientRect(); return [box.width, box.height]; };
  const seen = {
    images: [...document.images].map(image => [image.naturalWidth, ...size(image)]),
    figures: [...document.querySelectorAll('svg')].map(size),
    headings: [...document.querySelectorAll('h2')].filter(item => size(item)[1]).map(h => h.textContent),
    wide: document.documentElement.scrollWidth > innerWidth,
  };
  document.title = 'seen ' + JSON.stringify(seen);
});</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_report_shows_every_part_without_a_complaint_when_a_browser_lays_it_out(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    report.write(page, data())
    page.write_text(page.read_text().replace("</body>", f"{_LOOK}</body>"), encoding="utf-8")
    shown = browse(tmp_path, page, "--enable-logging=stderr", "--dump-dom")
    assert "CONSOLE" not in shown.stderr
    title = re.search("<title>seen (.*?)</title>", shown.stdout)
    assert title is not None
    seen = json.loads(html.unescape(title[1]))
    assert not seen["wide"]
    assert [natural for natural, *_ in seen["images"]] == [160]
    assert all(side > 50 for _, *size in seen["images"] for side in size)
    assert len(seen["figures"]) == 2
    assert all(side > 100 for size in seen["figures"] for side in size)
    for heading in ("Criteria", "What happened", "Reactions to faults", "Moments", "Latency", "The run"):
        assert heading in seen["headings"]
