"""What a run was made of: hashes of recording, checkpoint and configuration, versions, machine, command."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentryfuse_core import __version__
from sentryfuse_core.bags.readers import bag_files
from sentryfuse_core.config import Config, to_mapping

__all__ = ["file_sha256", "machine", "manifest", "processor", "source_commit", "versions"]

_PACKAGES = ("numpy", "opencv-python-headless", "rosbags", "safetensors", "torch")


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that results depend on."""
    found = {"sentryfuse": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # it may come under another name
            found[name] = importlib.metadata.version(name)
    return found


def machine() -> dict[str, Any]:
    """The computer, in words that make figures comparable."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
    }


def source_commit() -> str:
    """The commit of the source tree, marked where files differ from it; 'unknown' outside one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - git of the user's choice
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def manifest(
    *,
    bag: Path,
    config: Config,
    checkpoint: str,
    device: str,
    seed: int,
    scenario: Path | None,
    poses: Mapping[str, str],
    command: Sequence[str] = tuple(sys.argv),
) -> dict[str, Any]:
    """Plain values for manifest.json; `poses` say by sensor what placed it."""
    settings = to_mapping(config)
    canonical = json.dumps(settings, sort_keys=True).encode()
    return {
        "command": list(command),
        "bag": {
            "path": str(bag),
            "files": {
                path.name: {"sha256": file_sha256(path), "bytes": path.stat().st_size}
                for path in bag_files(bag)
            },
        },
        "checkpoint": checkpoint,
        "config": {"sha256": hashlib.sha256(canonical).hexdigest(), "values": settings},
        "poses": dict(poses),
        "scenario": None if scenario is None else {"path": str(scenario), "sha256": file_sha256(scenario)},
        "seed": seed,
        "device": device,
        "versions": versions(),
        "machine": machine(),
    }
