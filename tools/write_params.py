"""Write every parameter from sentryfuse_core/config/ into config/sentryfuse.yaml and docs/ros_api.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "config" / "sentryfuse.yaml"
PAGE = ROOT / "docs" / "ros_api.md"
TABLE = "| parameter | default | values | live | what it is |\n|---|---|---|---|---|\n"
HEADER = """\
# Every parameter of fusion_node with its default. Written by tools/write_params.py.
# Copy it, keep the lines you change, and give it to the node: --params-file FILE, or params_file:=FILE.
/**:
  ros__parameters:
    autostart: true  # configure and activate at once; false: wait for a lifecycle manager
"""


def parameter_file() -> str:
    """Text of the file."""
    sys.path.insert(0, str(ROOT))
    from sentryfuse_core.commands.params import yaml_lines
    from sentryfuse_core.config import options

    return HEADER + "".join(f"    {line}\n" for line in yaml_lines(options(), limits=True))


def page() -> str:
    """Text of the page, its table written anew; the table is the last of the page."""
    sys.path.insert(0, str(ROOT))
    from sentryfuse_core.config import options

    rows = []
    for option in options():
        default = list(option.default) if isinstance(option.default, tuple) else option.default
        limits = ", ".join(option.choices)
        if not limits and option.low is not None:
            limits = f"{option.low:g} .. {option.high:g}"
        live = "yes" if option.live else ""
        rows.append(f"| `{option.path}` | `{json.dumps(default)}` | {limits} | {live} | {option.doc} |\n")
    return PAGE.read_text(encoding="utf-8").partition(TABLE)[0] + TABLE + "".join(rows)


if __name__ == "__main__":
    FILE.write_text(parameter_file(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
