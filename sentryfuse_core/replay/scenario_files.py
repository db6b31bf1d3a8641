"""Finds scenarios: by path, or by the name of one that comes with the package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sentryfuse_core.errors import ScenarioError

__all__ = ["find_scenario", "shipped_scenarios"]

_FOLDER = Path("config") / "scenarios"


def shipped_scenarios() -> dict[str, Path]:
    """Every scenario in the source tree, or else under an installed prefix, by name."""
    prefixes = [prefix for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    places = [
        Path(__file__).resolve().parents[2],
        *(Path(prefix) / "share" / "sentryfuse" for prefix in (*prefixes, sys.prefix)),
    ]
    for place in places:
        found = sorted((place / _FOLDER).glob("*.yaml"))
        if found:
            return {path.stem: path for path in found}
    return {}


def find_scenario(text: str) -> Path:
    """The file that `text` means: a path, or a shipped name; ScenarioError lists the names."""
    path = Path(text).expanduser()
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return path
    names = shipped_scenarios()
    if text not in names:
        raise ScenarioError(f"no scenario {text!r}; give a file, or one of {', '.join(names) or 'none'}")
    return names[text]
