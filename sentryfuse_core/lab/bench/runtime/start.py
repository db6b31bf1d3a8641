"""How long the node takes from its process's start to its first detections, asked of a process with ROS."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from sentryfuse_core.errors import BenchError

__all__ = ["node_starts"]

_MODULE = "sentryfuse_ros.start_time"


def node_starts(
    bag: Path, *, starts: int, threads: int, checkpoint: Path, device: str
) -> list[dict[str, Any]]:
    """What each start took, eager on `device`.

    Raises BenchError where there is no ROS, or the node gave nothing.
    """
    if importlib.util.find_spec("rclpy") is None:
        raise BenchError("the node's start was not measured: no rclpy here; run `make setup`")
    command = [sys.executable, "-m", _MODULE, "--starts", str(starts), "--threads", str(threads)]
    command += ["--device", device, "--checkpoint", str(checkpoint), str(bag)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise BenchError(f"the node's start was not measured: {lines[-1] if lines else 'no message'}")
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found
