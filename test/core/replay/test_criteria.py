"""Pass criteria: judged against the run's figures, never passed in silence, and readable by CI."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.replay.criteria import CRITERIA, judge, load_criteria
from sentryfuse_core.replay.junit import write_junit

METRICS = {"coverage": {"share": 0.97}, "longest_gap_between_sets_s": 0.31, "accuracy": None, "sets": 120}
SHIPPED = Path(__file__).parents[3] / "config" / "criteria.yaml"


@pytest.mark.parametrize(
    ("name", "limit", "passed"),
    [
        ("coverage_min", 0.97, True),
        ("coverage_min", 0.98, False),
        ("longest_gap_max_s", 0.31, True),
        ("longest_gap_max_s", 0.3, False),
        ("sets_min", 121, False),
    ],
)
def test_criteria_compare_in_the_direction_of_their_name(name: str, limit: float, passed: bool) -> None:
    (verdict,) = judge({name: limit}, METRICS)
    assert verdict.passed is passed
    assert f"{limit:g}" in str(verdict)


@pytest.mark.parametrize("name", ["map_min", "infer_p95_max_ms"])
def test_criteria_fail_when_the_run_has_no_such_figure(name: str) -> None:
    (verdict,) = judge({name: 0.0}, METRICS)
    assert not verdict.passed
    assert "not measured" in str(verdict)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("coverage: 0.9", "unknown criterion 'coverage'; there are map_min"),
        ("coverage_min: high", "give a number"),
        ("coverage_min: true", "give a number"),
        ("- 1", "holds no criteria"),
        ("", "holds no criteria"),
        ("a: [", "is not YAML"),
    ],
)
def test_criteria_say_what_is_wrong_when_the_file_is(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "criteria.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"criteria\.yaml") as caught:
        load_criteria(path)
    assert said in str(caught.value)


def test_criteria_say_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the criteria"):
        load_criteria(tmp_path / "none.yaml")


def test_shipped_criteria_are_known() -> None:
    assert set(load_criteria(SHIPPED)) <= set(CRITERIA)


def test_junit_has_a_failure_with_figure_and_limit_when_a_criterion_is_missed(tmp_path: Path) -> None:
    verdicts = judge({"coverage_min": 0.99, "sets_min": 100}, METRICS)
    write_junit(tmp_path / "junit.xml", {"drive": verdicts})
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 - our own file
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("drive", "2", "1")
    failed, passed = suite
    failure = failed.find("failure")
    assert failure is not None
    assert "0.97" in failure.get("message", "")
    assert "0.99" in failure.get("message", "")
    assert passed.find("failure") is None
