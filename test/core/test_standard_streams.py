"""Commands and nodes that somebody starts with closed standard streams."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bags
import pytest

from sentryfuse_core.types import Modality

_WITHIN_S = 240.0  # what hangs is to fail
CLI = "from sentryfuse_core.cli import main; sys.exit(main())"


def closed(streams: str, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A program's end whose shell closed these streams."""
    command = [sys.executable, "-c", f"import sys; {program}", *words]
    shell = ["/bin/sh", "-c", f'exec "$@" {streams}', "sh", *command]
    return subprocess.run(shell, capture_output=True, text=True, timeout=_WITHIN_S, check=False)


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_command_ends_by_what_it_did_when_streams_are_closed(streams: str) -> None:
    for word, status in (("camera", 0), ("nowhere", 2)):
        done = closed(streams, CLI, "params", word)
        assert (done.returncode, "Traceback" in done.stderr) == (status, False)


def test_nothing_gets_into_what_is_opened_when_streams_are_closed(tmp_path: Path) -> None:
    found = tmp_path / "found"
    program = (
        "from sentryfuse_core.standard_streams import open_standard_streams; open_standard_streams(); "
        "import os; file = open(sys.argv[1], 'w'); os.write(1, b'x'); os.write(2, b'y'); print('z'); "
        "print('z', file=sys.stderr); print(file.fileno(), file=file)"
    )
    assert closed("<&- >&- 2>&-", program, str(found)).returncode == 0
    assert int(found.read_text()) > 2


def test_a_process_that_is_started_has_its_streams_when_they_were_closed(tmp_path: Path) -> None:
    found = tmp_path / "found"
    child = "import sys; file = open(sys.argv[1], 'w'); file.write(str(file.fileno()))"
    program = (
        "from sentryfuse_core.standard_streams import open_standard_streams; open_standard_streams(); "
        "import subprocess; sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[1:]]))"
    )
    assert closed("<&- >&- 2>&-", program, child, str(found)).returncode == 0
    assert int(found.read_text()) > 2


@pytest.mark.slow
def test_replay_writes_everything_when_streams_are_closed(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "a.mcap", bags.drive([Modality.IMU], seconds=0.5))
    out = tmp_path / "out"
    assert closed("<&- >&- 2>&-", CLI, "replay", str(bag), "--out", str(out)).returncode == 0
    assert {"results.mcap", "sets.jsonl", "junit.xml", "report.html"} <= {path.name for path in out.iterdir()}
