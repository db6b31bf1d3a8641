"""docs/faults.md names every fault with its options and defaults, and its example is valid."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from builders import image_message

from sentryfuse_core.faults import kinds
from sentryfuse_core.faults.corruption import image
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.faults.scenario import load_scenario
from sentryfuse_core.faults.scenario_files import shipped_scenarios
from sentryfuse_core.faults.severities import SEVERITIES
from sentryfuse_core.types import Modality

EXTENDING = (Path(__file__).parents[3] / "docs" / "extending.md").read_text(encoding="utf-8")
PAGE = (Path(__file__).parents[3] / "docs" / "faults.md").read_text(encoding="utf-8")


def test_page_lists_every_fault_and_option_when_compared_with_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\| .* \|$", PAGE.split("## Shipped scenarios")[0], re.MULTILINE)
    written = {
        name: {option: value or None for option, value in re.findall(r"`(\w+)`(?: = (-?[\d.]+))?", options)}
        for name, options in rows
    }
    real = {
        name: {
            option: None if item.default is None else f"{item.default:g}"
            for option, item in kind.options.items()
        }
        for name, kind in FAULTS.items()
    }
    assert written == real


def test_page_lists_every_shipped_scenario_when_compared_with_the_folder() -> None:
    section = PAGE.split("## Shipped scenarios")[1].split("## player_node")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(shipped_scenarios())


def test_examples_load_when_taken_from_the_page(tmp_path: Path) -> None:
    faults = []
    for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        path = tmp_path / "example.yaml"
        path.write_text(text, encoding="utf-8")
        faults.append([event.fault for event in load_scenario(path).events])
    assert faults == [["drop", "jitter"], ["dirty", "turned"]]


def test_page_tells_the_severities_of_every_fault_that_has_some() -> None:
    section = PAGE.split("## Severities")[1].split("## Shipped scenarios")[0]
    sensor, told = "", set()
    for first, faults in re.findall(r"^\| ([^|]*) ?\| (`[^|]*) \|", section, re.MULTILINE):
        sensor = first.strip().lower() or sensor
        told |= {(sensor, fault) for fault in re.findall(r"`(\w+)`", faults)}
    assert told == {(owner.value, fault) for owner, fault in SEVERITIES}


def test_example_of_a_new_fault_works_when_it_is_put_where_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, entry = re.findall(r"```py\n(.*?)```", EXTENDING, re.DOTALL)
    scenario = re.search(r"```yaml\n(.*?)```", EXTENDING, re.DOTALL)
    assert scenario is not None
    names = dict(vars(image))
    exec(function, names)  # noqa: S102 - our own page
    monkeypatch.setattr(image, "rain", names["rain"], raising=False)
    rain = eval(f"{{{entry}}}", dict(vars(kinds)))["rain"]  # noqa: S307 - our own page
    monkeypatch.setitem(FAULTS, "rain", rain)  # type: ignore[arg-type] # a dict, told as a Mapping
    path = tmp_path / "rain.yaml"
    path.write_text(scenario[1], encoding="utf-8")
    dark = image_message("mono8", np.zeros((8, 500), np.uint8), width=500)
    seen = FaultInjector(load_scenario(path)).apply("/camera", Modality.CAMERA, dark, at_s=3.0)[0].message
    wet = (np.asarray(seen.data).reshape(8, 500) == 255).any(axis=0).mean()
    assert wet == pytest.approx(0.9, abs=0.06)
