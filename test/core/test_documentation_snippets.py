"""The Python of the pages on time and trust runs as it stands, without ROS and torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
ALONE = "import sys; sys.modules.update(dict.fromkeys(['rclpy', 'torch']))\n"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("synchroniser.md", "1900000000 front ['front'] {'rear': <Absence.LATE"),
        ("health.md", "LOST timeout no new message"),
    ],
)
def test_snippets_of_a_page_run_and_print_what_they_should(page: str, told: str) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert snippets
    code = ALONE + "\n".join(snippets)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
