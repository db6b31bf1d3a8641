"""Runs `sentryfuse` in a process of its own and signals it once something is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 300.0


def end(words: list[str], number: signal.Signals, ready: Callable[[], bool], *, group: bool = False) -> None:
    """Signal the command, or its whole `group`, once it is `ready`: it ends by it, without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sentryfuse_core.cli", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=group,
    )
    deadline_s = time.monotonic() + DEADLINE_S
    while not ready() and process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.02)
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors
