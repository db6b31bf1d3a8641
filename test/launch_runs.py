"""Runs `ros2 launch` as a user does, in a process of its own; watches what it starts and how that ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

LAUNCH_FILES = Path(__file__).resolve().parents[1] / "launch"
DEADLINE_S = 300.0  # a loaded machine needs most of a minute to warm one network up
# A test run in the background of a shell ignores SIGINT, and so would what it starts.
_ROS2 = """\
import signal, sys
from ros2cli.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


class Launched:
    """A launch file running; leaving ends it and everything it started."""

    def __init__(self, file: Path | str, **arguments: str) -> None:
        given = [f"{name}:={value}" for name, value in arguments.items()]
        command = [
            sys.executable,
            "-c",
            _ROS2,
            "launch",
            "--noninteractive",
            str(LAUNCH_FILES / file),
            *given,
        ]
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Launched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, patience_s in ((signal.SIGINT, 60.0), (signal.SIGKILL, 10.0)):
            if self._process.poll() is None:
                self._process.send_signal(number)
            try:
                self._process.wait(patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        for pid in {pid for found in self.pids().values() for pid in found}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reader.join(10.0)

    def pids(self) -> dict[str, list[int]]:
        """Process numbers by executable, in the order of their starts."""
        found: dict[str, list[int]] = {}
        for match in re.finditer(r"\[(\w+)-\d+\]: process started with pid \[(\d+)\]", self.output()):
            found.setdefault(match[1], []).append(int(match[2]))
        return found

    def started(self, executable: str, *, times: int = 1) -> int:
        """Wait until an executable has started for the nth time; its process number."""
        self.wait_for(lambda: len(self.pids().get(executable, [])) >= times, f"{executable} to start")
        return self.pids()[executable][times - 1]

    def wait_for(self, done: Callable[[], bool], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(done, DEADLINE_S), f"waited for {what}:\n{self.output()}"

    def status(self) -> int:
        """Wait for its end; the exit status of `ros2 launch`."""
        code = self._process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    @property
    def ended(self) -> bool:
        """Whether `ros2 launch` has ended."""
        return self._process.poll() is not None

    def output(self) -> str:
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()
