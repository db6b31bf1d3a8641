"""docs/faults.md names every fault with its options and defaults, and its example is valid."""

from __future__ import annotations

import re
from pathlib import Path

from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.faults.scenario import load_scenario
from sentryfuse_core.faults.scenario_files import shipped_scenarios

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


def test_example_loads_when_taken_from_the_page(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    path = tmp_path / "example.yaml"
    path.write_text(found[1], encoding="utf-8")
    assert [event.fault for event in load_scenario(path).events] == ["drop", "jitter"]
