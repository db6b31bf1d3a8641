"""Threads of the process that runs the network sleep while they wait, unless the user wants otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bags
import pytest

from sentryfuse_core.openmp import wait_asleep
from sentryfuse_core.types import Modality

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
FROM = "from sentryfuse_ros.{module} import {name} as main; raise SystemExit(main())"


def told_by_the_runtime(module: str, name: str, words: list[str], **environment: str) -> str:
    """What the OpenMP that torch loads in a command's process says of itself, in its standard form."""
    own = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", FROM.format(module=module, name=name), *words],
        env=own | {"OMP_DISPLAY_ENV": "TRUE"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_runtime_waits_asleep_when_a_recording_is_replayed(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "drive.mcap", bags.drive([Modality.IMU], seconds=0.2))
    told = told_by_the_runtime("cli", "main", ["replay", str(bag), "--out", str(tmp_path / "out")])
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in told


@pytest.mark.parametrize("policy", ["", "ACTIVE"])
def test_runtime_waits_asleep_when_the_node_starts_and_the_user_does_not_say_how(policy: str) -> None:
    # Weights that are not there: the node loads what runs the network, then ends.
    words = ["--ros-args", "-p", "model.checkpoint:=/nowhere"]
    told = told_by_the_runtime(
        "executables", "fusion_node", words, **({"OMP_WAIT_POLICY": policy} if policy else {})
    )
    assert f"OMP_WAIT_POLICY = '{policy or 'PASSIVE'}'" in told


@pytest.mark.parametrize("name", ["", *NAMES])
def test_environment_stays_when_the_user_set_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in NAMES:
        monkeypatch.delenv(other, raising=False)
    if name:
        monkeypatch.setenv(name, "10")
    wait_asleep()
    expected = {name: "10"} if name else {"OMP_WAIT_POLICY": "PASSIVE"}
    assert {other: os.environ[other] for other in NAMES if other in os.environ} == expected
