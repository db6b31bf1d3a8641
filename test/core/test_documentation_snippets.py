"""The Python of the pages runs as it stands, without ROS, and where it is of time and trust without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({!r}))\n"


@pytest.mark.parametrize(
    ("page", "absent", "told"),
    [
        ("synchroniser.md", ["rclpy", "torch"], "1900000000 front ['front'] {'rear': <Absence.LATE"),
        ("health.md", ["rclpy", "torch"], "LOST timeout no new message"),
        ("pruning.md", ["rclpy"], "{'attend': 2, 'feed': 4} "),
    ],
)
def test_snippets_of_a_page_run_and_print_what_they_should(page: str, absent: list[str], told: str) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert snippets
    code = WITHOUT.format(absent) + "\n".join(snippets)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
