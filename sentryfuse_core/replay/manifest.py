"""What a run was made of: hashes of recording, checkpoint and configuration, versions, machine, command."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core import __version__
from sentryfuse_core.bags.readers import bag_files
from sentryfuse_core.config import to_mapping
from sentryfuse_core.machine.processor import processor

if TYPE_CHECKING:
    from sentryfuse_core.replay.run import ReplayOptions, ReplayResult

__all__ = ["file_sha256", "machine", "manifest", "processor", "source_commit", "versions"]

_PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless", "openvino", "rosbags", "safetensors", "torch")


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


def manifest(
    options: ReplayOptions, result: ReplayResult, *, scenario: Path | None, command: Sequence[str]
) -> dict[str, Any]:
    """Plain values for manifest.json; `scenario` is the file that the options' one was read from."""
    settings = to_mapping(options.config)
    canonical = json.dumps(settings, sort_keys=True).encode()
    return {
        "command": list(command),
        "bag": {
            "path": str(options.bag.absolute()),  # for whoever looks from another folder
            "files": {
                path.name: {"sha256": file_sha256(path), "bytes": path.stat().st_size}
                for path in bag_files(options.bag)
            },
        },
        "checkpoint": result.checkpoint,
        "config": {"sha256": hashlib.sha256(canonical).hexdigest(), "values": settings},
        "poses": dict(result.poses),
        "scenario": None if scenario is None else {"path": str(scenario), "sha256": file_sha256(scenario)},
        "seed": 0 if options.scenario is None else options.scenario.seed,
        "device": result.ran_by.device,
        "backend": result.ran_by.name,
        "versions": versions(),
        "machine": machine(),
    }
