"""The demo's child processes: nodes in the background, their output in log files, all of them ended."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentryfuse_core.errors import SentryFuseError

__all__ = ["Children", "isolated"]

_PATIENCE_S = 5.0  # before a process that does not end is killed
_DOMAINS = range(40, 102)  # up to 101 the ports are below the system's own; low ones are in common use


@contextmanager
def isolated() -> Iterator[None]:
    """A DDS domain of this run's own, at random, on this machine only: nobody else takes part."""
    before = dict(os.environ)
    domain = random.SystemRandom().choice(_DOMAINS)
    os.environ.update(ROS_DOMAIN_ID=str(domain), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Children:
    """Node processes by module name; `stop` ends them in the reverse order of starting."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, module: str, parameters: Mapping[str, Any], *, file: Path | None = None) -> None:
        """Start `python -m sentryfuse_ros.MODULE` with ROS parameters, in this process's environment.

        `parameters` go before those of the parameter `file`.
        """
        command = [sys.executable, "-m", f"sentryfuse_ros.{module}", "--ros-args"]
        if file is not None:
            command += ["--params-file", str(file)]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._log(module).open("wb") as stream:
            self._children[module] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )

    def ended(self, module: str) -> bool:
        """Whether that process has ended by itself, and well."""
        self.check()
        return self._children[module].poll() == 0

    def check(self) -> None:
        """Raise SentryFuseError with the last line of its log for a process that failed."""
        for module, process in self._children.items():
            if status := process.poll():
                raise SentryFuseError(f"{module} ended with status {status}: {_last_line(self._log(module))}")

    def stop(self, *modules: str) -> None:
        """End the named processes, or all, and wait until they are gone."""
        chosen = [module for module in reversed(self._children) if not modules or module in modules]
        for module in chosen:
            self._children[module].terminate()
        for process in [self._children.pop(module) for module in chosen]:
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:  # noqa: PERF203 - three processes at most
                process.kill()
                process.wait()

    def _log(self, module: str) -> Path:
        return self._logs / f"{module}.log"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), f"nothing in {log}")
