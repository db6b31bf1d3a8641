"""Write config/sentryfuse.yaml, the ROS parameter file with every default, from sentryfuse_core/config/."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "config" / "sentryfuse.yaml"
HEADER = """\
# Every parameter of fusion_node with its default. Written by tools/write_params.py from config.py.
# Copy it, keep the lines you change, and give it to the node: --params-file FILE, or params_file:=FILE.
/**:
  ros__parameters:
    autostart: true  # configure and activate at once; false: wait for a lifecycle manager
"""


def parameter_file() -> str:
    """Text of the file."""
    sys.path.insert(0, str(ROOT))
    from sentryfuse_core.config import options

    lines: list[str] = []
    section = ""
    for option in options():
        head, name = option.path.split(".")
        if head != section:
            lines.append(f"    {head}:")
            section = head
        limits = ", ".join(option.choices)
        if option.low is not None and option.high is not None:
            limits = f"{option.low:g} .. {option.high:g}"
        notes = [note for note in (limits, "may change at run time" if option.live else "") if note]
        tail = f" ({'; '.join(notes)})" if notes else ""
        lines.append(f"      {name}: {_yaml(option.default)}  # {option.doc}{tail}")
    return HEADER + "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    FILE.write_text(parameter_file(), encoding="utf-8")
