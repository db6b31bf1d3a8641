"""Write constraints.txt from pip's installation reports, one report for each supported Python.

For every Python: python3.X -m pip install --dry-run --ignore-installed --report X.json -r requirements.txt
-r requirements-build.txt -r requirements-dev.txt; then: write_constraints.py 3.10.json 3.11.json ...
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Everything that the requirements bring along, pinned. Written by tools/write_constraints.py.
# torch itself pins the CUDA libraries of its build, so they are not repeated here.
"""
PINNED_BY_TORCH = re.compile(r"nvidia-|cuda-|triton$")


def canonical(name: str) -> str:
    """Name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints(reports: list[Path]) -> str:
    """Text of the file: one line where every Python takes the same version, else one a Python."""
    files = [ROOT / f"requirements{part}.txt" for part in ("", "-build", "-dev")]
    required = "\n".join(path.read_text(encoding="utf-8") for path in files)
    named = {canonical(name) for name in re.findall(r"^([A-Za-z][\w.-]*)", required, re.MULTILINE)}
    versions: dict[str, dict[str, str]] = {}
    pythons = []
    for path in reports:
        report = json.loads(path.read_text(encoding="utf-8"))
        python = report["environment"]["python_version"]
        pythons.append(python)
        for item in report["install"]:
            name = canonical(item["metadata"]["name"])
            if name not in named and not PINNED_BY_TORCH.match(name):
                versions.setdefault(name, {})[python] = item["metadata"]["version"]
    lines = []
    for name, by_python in sorted(versions.items()):
        if len(by_python) == len(pythons) and len(set(by_python.values())) == 1:
            lines.append(f"{name}=={by_python[pythons[0]]}")
        else:
            lines += [f'{name}=={by_python[p]}; python_version == "{p}"' for p in pythons if p in by_python]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    (ROOT / "constraints.txt").write_text(
        constraints([Path(name) for name in sys.argv[1:]]), encoding="utf-8"
    )
