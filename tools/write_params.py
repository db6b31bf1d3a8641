"""Write config/sentryfuse.yaml, the ROS parameter file with every default, from sentryfuse_core/config/."""

from __future__ import annotations

import sys
from pathlib import Path

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
    from sentryfuse_core.commands.params import yaml_lines
    from sentryfuse_core.config import options

    return HEADER + "".join(f"    {line}\n" for line in yaml_lines(options(), limits=True))


if __name__ == "__main__":
    FILE.write_text(parameter_file(), encoding="utf-8")
