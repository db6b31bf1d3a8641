"""The demo's child processes: nodes in the background, their output in log files, all of them ended."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentryfuse_core.errors import SentryFuseError

__all__ = ["Children", "a_domain"]

_PATIENCE_S = 5.0  # before a process that does not end is killed
_DOMAINS = range(40, 102)  # up to 101 the ports are below the system's own; low ones are in common use


def a_domain() -> str:
    """A ROS_DOMAIN_ID at random, for processes that are to hear nobody else."""
    return str(random.SystemRandom().choice(_DOMAINS))


@dataclass(frozen=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Children:
    """Node processes by module name; `stop` ends them in the reverse order of starting."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[_Child] = []

    def start(self, module: str, parameters: Mapping[str, Any]) -> None:
        """Start `python -m sentryfuse_ros.MODULE` with ROS parameters, in this process's environment."""
        command = [sys.executable, "-m", f"sentryfuse_ros.{module}", "--ros-args"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{module}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        self._children.append(_Child(module, process, log))

    def ended(self, module: str) -> bool:
        """Whether that process has ended by itself, and well."""
        self.check()
        return any(child.name == module and child.process.poll() == 0 for child in self._children)

    def check(self) -> None:
        """Raise SentryFuseError with the last line of its log for a process that failed."""
        for child in self._children:
            status = child.process.poll()
            if status not in (None, 0):
                raise SentryFuseError(f"{child.name} ended with status {status}: {_last_line(child.log)}")

    def stop(self, *modules: str) -> None:
        """End the named processes, or all, and wait until they are gone."""
        chosen = [child for child in reversed(self._children) if not modules or child.name in modules]
        for child in chosen:
            child.process.terminate()
        for child in chosen:
            try:
                child.process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            self._children.remove(child)


def _last_line(log: Path) -> str:
    lines: Sequence[str] = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), f"nothing in {log}")
