"""Write an executable for every console script of pyproject.toml, for the ament install.

Usage: make_scripts.py PYPROJECT FOLDER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# The kernel finds no interpreter whose path has a space or is long. There the shell starts Python, to which
# the shell's lines are a text, as in the scripts that pip writes.
LONGEST = 127
BY_SHELL = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
"""
TEMPLATE = """\
import sys

from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""


def write_scripts(pyproject: Path, folder: Path) -> list[Path]:
    """Fill `folder` with one executable for each entry of [project.scripts], and nothing else."""
    scripts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["scripts"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = sys.executable
    plain = " " not in python and len(python) < LONGEST
    first = f"#!{python}\n" if plain else BY_SHELL.format(python=python)
    written = []
    for name, target in scripts.items():
        module, function = target.split(":")
        path = folder / name
        path.write_text(first + TEMPLATE.format(module=module, function=function), encoding="utf-8")
        path.chmod(0o755)
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write_scripts(Path(sys.argv[1]), Path(sys.argv[2]))
