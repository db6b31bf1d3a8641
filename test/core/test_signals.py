"""Signals to a command: one that comes into an import ends the process there, quietly and with its status."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_IMPORTS = """
from sentryfuse_core.commands.signals import interrupt, noted_signals
print("half said")
with noted_signals(interrupt):
    try:
        import halfway
    finally:
        print("raised into the import")
"""
_HALFWAY = "import os, signal\nexec('os.kill(os.getpid(), signal.{name})')\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_process_with_its_status_when_it_comes_into_an_import(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "halfway.py").write_text(_HALFWAY.format(name=number.name), encoding="utf-8")
    code = f"import sys; sys.path.append({str(tmp_path)!r})" + _IMPORTS
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number
    assert (done.stdout, done.stderr) == ("half said\n", "sentryfuse: interrupted\n")
