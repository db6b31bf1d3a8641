"""Runs `ros2 launch` as a user does; watches what it starts and how that ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from programs import Program

LAUNCH_FILES = Path(__file__).resolve().parents[1] / "launch"
# A test run in the background of a shell ignores SIGINT, and so would what it starts.
_ROS2 = """\
import signal, sys
from ros2cli.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


class Launched(Program):
    """A launch file running; leaving ends it and everything it started."""

    deadline_s = 300.0  # a loaded machine needs most of a minute to warm one network up

    def __init__(self, file: Path | str, **arguments: str) -> None:
        given = [f"{name}:={value}" for name, value in arguments.items()]
        command = [sys.executable, "-c", _ROS2, "launch", "--noninteractive", str(LAUNCH_FILES / file)]
        super().__init__([*command, *given])

    def __exit__(self, *_: object) -> None:
        if not self.ended:
            self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(60.0)
        super().__exit__()

    def pids(self) -> dict[str, list[int]]:
        """Process numbers by executable, in the order of their starts."""
        found: dict[str, list[int]] = {}
        for match in re.finditer(r"\[(\w+)-\d+\]: process started with pid \[(\d+)\]", self.output):
            found.setdefault(match[1], []).append(int(match[2]))
        return found

    def started(self, executable: str, *, times: int = 1) -> int:
        """Wait until an executable has started for the nth time; its process number."""
        self.wait_for(lambda: len(self.pids().get(executable, [])) >= times, f"{executable} to start")
        return self.pids()[executable][times - 1]
