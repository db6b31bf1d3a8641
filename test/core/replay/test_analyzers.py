"""The analyzers for diagnostic_aggregator: in its format, and every status in exactly one group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sentryfuse_core.account.diagnostics import Diagnostics, status_name
from sentryfuse_core.config import Config
from sentryfuse_core.health.monitor import HealthMonitor

FILE = Path(__file__).resolve().parents[3] / "config" / "diagnostic_analyzers.yaml"
# Of diagnostic_aggregator's README and the documentation of its GenericAnalyzer.
MATCHING = {"startswith", "contains", "name", "expected", "regex", "find_and_remove_prefix"}
OTHER = {"type", "path", "remove_prefix", "timeout", "num_items", "discard_stale"}


def analyzers() -> dict[str, dict[str, Any]]:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert list(content) == ["/**"]
    parameters = content["/**"]["ros__parameters"]
    assert isinstance(parameters.pop("path"), str)
    return dict(parameters)


def matches(analyzer: dict[str, Any], name: str) -> bool:
    """As GenericAnalyzer matches the names of statuses."""
    return (
        any(name.startswith(text) for text in analyzer.get("startswith", ()))
        or any(text in name for text in analyzer.get("contains", ()))
        or name in analyzer.get("expected", ())
        or name in analyzer.get("name", ())
    )


def names(node: str) -> list[str]:
    reports = HealthMonitor(Config()).reports(0)
    made = Diagnostics(Config(), node=node).statuses(
        reports=reports, counters={}, budget={}, placements={}, now_ns=0
    )
    return [
        *(status["name"] for status in made),
        status_name(node, "odometry"),
    ]  # the last: where there is some


@pytest.mark.parametrize("name", sorted(analyzers()))
def test_analyzer_has_the_parameters_that_the_aggregator_documents(name: str) -> None:
    analyzer = analyzers()[name]
    assert analyzer["type"] == "diagnostic_aggregator/GenericAnalyzer"
    assert isinstance(analyzer["path"], str)
    assert "/" not in analyzer["path"]
    assert set(analyzer) <= MATCHING | OTHER
    assert set(analyzer) & MATCHING
    for key in set(analyzer) & (MATCHING | {"remove_prefix"}):
        assert isinstance(analyzer[key], list)
        assert all(isinstance(text, str) and text for text in analyzer[key])
    assert isinstance(analyzer["timeout"], float)  # the aggregator refuses an integer


def test_every_status_belongs_to_one_group_and_those_of_others_to_none() -> None:
    groups = analyzers().values()
    for name in names("/sentryfuse"):
        assert sum(matches(group, name) for group in groups) == 1, name
    for name in (*names("/robot/sentryfuse"), "player: playback", "other_sentryfuse: sync"):
        assert not any(matches(group, name) for group in groups), name


def test_what_is_expected_is_always_told() -> None:
    expected = {name for group in analyzers().values() for name in group.get("expected", ())}
    assert expected <= set(names("/sentryfuse"))
