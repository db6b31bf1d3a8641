"""Pass criteria: read strictly, held against metrics, never passed in silence."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from sentryfuse_core.account.latency import STAGES
from sentryfuse_core.errors import CriteriaError
from sentryfuse_core.replay.criteria import Criterion, Verdict, judge, load_criteria
from sentryfuse_core.replay.junit import Suite, write_junit

EXAMPLE = Path(__file__).parents[3] / "config" / "criteria.yaml"


def fault(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "sensor": "camera",
        "fault": kind,
        "at_s": 5.0,
        "until_s": 10.0,
        "already_out": False,
        "noticed_after_s": 0.2,
        "recovered_after_s": 1.5,
        "still_out": False,
        **changes,
    }


def metrics(**changes: Any) -> dict[str, Any]:
    latency = {key: {"p95": 20.0} for key in (*STAGES, "step")}
    return {
        "played_s": 3600.0,
        "accuracy": {"overall": {"map": 0.4, "nds": 0.45, "relative_map": 0.9}},
        "recall_4m": {"lidar": {"found": 6, "boxes": 8}, "camera": {"found": 1, "boxes": 2}},
        "injected": {"named": 2, "reached": 1, "missed": ["drop of imu at 2 s was not injected"]},
        "output": {"share": 0.99, "longest_silence_s": 0.3},
        "false_alarms": {"count": 2, "per_hour": 2.0},
        "faults": [fault("drop"), fault("drop", at_s=9.0, noticed_after_s=0.4)],
        "latency_ms": latency,
        **changes,
    }


@pytest.mark.parametrize(
    ("name", "key", "measured"),
    [
        ("map_min", "", 0.4),
        ("nds_min", "", 0.45),
        ("recall_min", "", 0.7),
        ("relative_accuracy_min", "", 0.9),
        ("coverage_min", "", 0.99),
        ("injected_min", "", 0.5),
        ("longest_silence_max_s", "", 0.3),
        ("false_alarms_per_hour_max", "", 2.0),
        ("detection_delay_max_s", "drop", 0.4),
        ("recovery_delay_max_s", "drop", 1.5),
        ("latency_p95_max_ms", "infer", 20.0),
    ],
)
def test_criterion_passes_at_its_limit_and_fails_beyond_it(name: str, key: str, measured: float) -> None:
    beyond = 0.01 if "_min" in name else -0.01
    both = [Criterion(name, key, measured), Criterion(name, key, measured + beyond)]
    at, past = judge(both, metrics(**({} if name == "injected_min" else {"injected": None})))
    assert at.measured == pytest.approx(measured)
    assert (at.passed, past.passed) == (True, False)
    assert f"{measured + beyond:g}" in past.message


@pytest.mark.parametrize(
    ("name", "key", "changes", "why"),
    [
        ("map_min", "", {"accuracy": None}, "--labels"),
        ("map_min", "", {"accuracy": {"overall": None}}, "--labels"),
        ("recall_min", "", {"recall_4m": {}}, "--labels"),
        ("relative_accuracy_min", "", {"accuracy": {"overall": {"map": 0.4}}}, "--no-clean"),
        ("detection_delay_max_s", "freeze", {}, "no freeze"),
        ("detection_delay_max_s", "drop", {"faults": [fault("drop", already_out=True)]}, "not well before"),
        ("recovery_delay_max_s", "drop", {"faults": [fault("drop", recovered_after_s=None)]}, "no drop"),
        ("latency_p95_max_ms", "infer", {"latency_ms": {"infer": {"p95": None}}}, "no set"),
        ("coverage_min", "", {"output": {"share": None}}, "nothing was played"),
        ("false_alarms_per_hour_max", "", {"false_alarms": {"per_hour": None, "count": 0}}, "nothing"),
        ("injected_min", "", {}, "--scenario"),
        ("injected_min", "", {"injected": {"named": 0, "reached": 0, "missed": []}}, "--scenario"),
    ],
)
def test_criterion_fails_and_says_why_when_nothing_was_measured(
    name: str, key: str, changes: dict[str, Any], why: str
) -> None:
    (verdict,) = judge([Criterion(name, key, 0.0)], metrics(**({"injected": None} | changes)))
    assert not verdict.passed
    assert verdict.to_mapping()["measured"] is None
    assert "not measured" in verdict.message
    assert why in verdict.message


@pytest.mark.parametrize(
    ("name", "changes", "what"),
    [
        ("detection_delay_max_s", {"noticed_after_s": None}, "not noticed"),
        (
            "recovery_delay_max_s",
            {"recovered_after_s": None, "still_out": True},
            "is not well in the 3590.0 s",
        ),
    ],
)
def test_delay_fails_any_limit_when_there_was_no_reaction(
    name: str, changes: dict[str, Any], what: str
) -> None:
    found = metrics(faults=[fault("drop", **changes)], injected=None)
    (verdict,) = judge([Criterion(name, "drop", 1e9)], found)
    assert not verdict.passed
    assert what in verdict.message


def test_whole_scenario_has_to_be_injected_when_the_criteria_do_not_say_how_much() -> None:
    coverage = Criterion("coverage_min", "", 0.9)
    whole, kept = judge([coverage], metrics())
    assert (whole.passed, kept.passed) == (False, True)
    assert whole.message == "injected_min: 0.5 (drop of imu at 2 s was not injected), wanted at least 1"
    assert [item.passed for item in judge([coverage, Criterion("injected_min", "", 0.5)], metrics())] == [
        True,
        True,
    ]
    assert judge([], metrics()) == ()  # who gives no criteria judges nothing
    lines = [f"drop of imu at {at_s} s was not injected" for at_s in range(5)]
    whole, _ = judge([coverage], metrics(injected={"named": 5, "reached": 0, "missed": lines}))
    assert whole.message.endswith("at 2 s was not injected; and 2 more), wanted at least 1")


def test_example_is_valid_also_with_every_comment_taken_away(tmp_path: Path) -> None:
    assert len(load_criteria(EXAMPLE)) >= 3
    lines = EXAMPLE.read_text().splitlines()
    every = [line.removeprefix("# ") for line in lines if "_m" in line and ":" in line and "`" not in line]
    (tmp_path / "c.yaml").write_text("\n".join(every))
    assert {item.name for item in load_criteria(tmp_path / "c.yaml")} >= {"map_min", "latency_p95_max_ms"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("map_mim: 0.2", "map_mim"),
        ("map_min: high", "high"),
        ("map_min: true", "True"),
        ("map_min: .nan", "nan"),
        ("map_min: 80", "a share from 0 to 1"),
        ("coverage_min: 98", "a share from 0 to 1"),
        ("longest_silence_max_s: -1", "0 or more"),
        ("detection_delay_max_s: 0.5", "drop"),
        ("detection_delay_max_s: {dorp: 0.5}", "dorp"),
        ("latency_p95_max_ms: {think: 5}", "think"),
        ("", "map_min"),
        ("[1]", "map_min"),
        ("{", "cannot read"),
    ],
)
def test_criteria_name_what_is_wrong(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(CriteriaError, match=named):
        load_criteria(tmp_path / "c.yaml")


def test_junit_has_a_case_for_each_criterion_and_counts_failures(tmp_path: Path) -> None:
    verdicts = (
        Verdict(Criterion("map_min", "", 0.5), 0.4, passed=False, why=""),
        Verdict(Criterion("latency_p95_max_ms", "infer", 50.0), 20.0, passed=True, why=""),
        Verdict(Criterion("recall_min", "", 0.5), math.nan, passed=False, why="no labels <here>"),
    )
    suites = [
        Suite(name="drive", verdicts=verdicts),
        Suite(name="walk", verdicts=(), error="chunk 7 is gone"),
    ]
    write_junit(tmp_path / "junit.xml", suites)
    top = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 - our own file
    assert (top.get("tests"), top.get("failures"), top.get("errors")) == ("5", "2", "1")
    cases = {str(case.get("name")): case for case in top[0]}
    assert list(cases) == ["played to the end", "map_min", "latency_p95_max_ms.infer", "recall_min"]
    failure = cases["map_min"].find("failure")
    assert failure is not None
    assert failure.get("message") == "map_min: 0.4, wanted at least 0.5"
    assert cases["latency_p95_max_ms.infer"].find("failure") is None
    error = top[1][0].find("error")
    assert error is not None
    assert error.get("message") == "chunk 7 is gone"


def test_junit_is_xml_when_names_hold_control_characters(tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", [Suite(name="a\x1b[31m\x00\nb", verdicts=(), error="no \x07 bell")])
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]  # noqa: S314 - our own file
    assert suite.get("name") == r"a\x1b[31m\x00\nb"
    assert suite[0].get("classname") == r"sentryfuse.replay.a\x1b[31m\x00\nb"
