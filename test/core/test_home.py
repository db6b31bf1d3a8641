"""Home folders in paths: written out, or one line where nobody knows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.faults.scenario_files import find_scenario
from sentryfuse_core.home import out_of_home
from sentryfuse_core.shipped import or_shipped


def test_home_is_written_out_when_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert out_of_home("~/engines") == tmp_path / "engines"
    assert out_of_home("engines/~x") == Path("engines/~x")


def test_one_line_names_the_path_when_nobody_knows_the_home() -> None:
    for asks in (out_of_home, find_scenario, or_shipped):
        with pytest.raises(ConfigError, match=r"^~nobody here/x\.yaml: no such home folder"):
            asks("~nobody here/x.yaml")
