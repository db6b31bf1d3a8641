"""Finds scenarios: by path, or by the name of one that comes with the package."""

from __future__ import annotations

from pathlib import Path

from sentryfuse_core.errors import ScenarioError
from sentryfuse_core.home import out_of_home
from sentryfuse_core.shipped import or_shipped, share_folder

__all__ = ["find_scenario", "shipped_scenarios"]

_FOLDER = Path("config") / "scenarios"


def shipped_scenarios() -> dict[str, Path]:
    """Every scenario that comes with the package, by name."""
    return {path.stem: path for path in sorted((share_folder() / _FOLDER).glob("*.yaml"))}


def find_scenario(text: str) -> Path:
    """The file that `text` means: a path, or a shipped name; ScenarioError lists the names."""
    path = out_of_home(text)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return or_shipped(path)
    names = shipped_scenarios()
    if text not in names:
        raise ScenarioError(f"no scenario {text!r}; give a file, or one of {', '.join(names)}")
    return names[text]
