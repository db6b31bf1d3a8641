"""Rules of every test run: a DDS domain of its own, no unexplained skips, no child processes left behind."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import capabilities
import hypothesis
import pytest

from sentryfuse_ros.middleware import apply_profile

DOMAINS = range(1, 40)  # the demo and benchmarks take theirs, at random, from those above
CHILD_GRACE_S = 60.0

hypothesis.settings.register_profile("sentryfuse", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("sentryfuse")


def _claim_domain() -> IO[str]:
    """Lock a DDS domain no other test run on this machine uses, and name it in the environment."""
    for domain in DOMAINS:
        path = Path(tempfile.gettempdir(), f"sentryfuse-test-domain-{domain}.lock")
        lock = path.open("w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        return lock
    pytest.exit(
        f"all DDS domains from {DOMAINS[0]} to {DOMAINS[-1]} are taken by other test runs", returncode=2
    )


# Before anything loads torch: the tests share the cores, with each other and with whatever else runs, and a
# parallel region that loses one of its cores waits for it.
os.environ["OMP_NUM_THREADS"] = "1"
# Before anything loads rclpy: it reads these once.
_DOMAIN_LOCK = _claim_domain()
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("ROS_LOG_DIR", tempfile.mkdtemp(prefix="sentryfuse-test-log-"))
os.environ.setdefault("MPLBACKEND", "Agg")
apply_profile()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run refuse reasons of the list that do not hold for it."""
    parser.addoption(
        "--no-skip", action="append", default=[], metavar="REASON", help="fail where a test skips so"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hook in the table of capabilities."""
    plugin = capabilities.Plugin(config.rootpath, refused=config.getoption("no_skip"))
    config.pluginmanager.register(plugin, "capabilities")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot do, with a reason from the list."""
    for item in items:
        if item.get_closest_marker("gpu") and not _has_cuda():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Whatever the test before it in this process did with the threads."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_children_left() -> Iterator[None]:
    """Fail a test that leaves a process running."""
    before = _children()
    yield
    deadline = time.monotonic() + CHILD_GRACE_S
    while (left := _children() - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, f"processes left running: {sorted(left)}"


def _children() -> set[tuple[int, str]]:
    """Running child processes with their command lines; neither zombies nor Python's own helpers."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            pids = (task / "children").read_text(encoding="utf-8").split()
        except OSError:
            continue
        for pid in pids:
            try:
                command = (
                    Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
            if command and "multiprocessing.resource_tracker" not in command:
                found.add((int(pid), command.strip()))
    return found
