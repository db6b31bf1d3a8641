"""The arrows between modules, and what importing them may need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROS = (
    "rclpy sensor_msgs std_msgs geometry_msgs builtin_interfaces sentryfuse cv_bridge launch tf2_ros "
    "message_filters nav_msgs"
)
TORCH_FREE = "types errors clock config sync health convert ego ingest"

BLOCK = """
import importlib, pkgutil, sys
for name in sys.argv[1].split():
    sys.modules[name] = None  # importing it now raises ImportError
import sentryfuse_core
wanted = sys.argv[2].split()
names = [f"sentryfuse_core.{name}" for name in wanted]
for package in [sentryfuse_core] if not wanted else [importlib.import_module(name) for name in names]:
    for found in pkgutil.walk_packages(getattr(package, "__path__", []), f"{package.__name__}."):
        importlib.import_module(found.name)
        names.append(found.name)
print(len(names))
"""


def imported(blocked: str, wanted: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK, blocked, wanted], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_imports_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():  # a ROS distribution has no package for it; `make check` runs it
        pytest.skip("needs import-linter")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_core_imports_completely_when_ros_is_missing() -> None:
    result = imported(ROS, "")
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 40


def test_time_and_trust_import_when_torch_is_missing() -> None:
    result = imported(f"torch {ROS}", TORCH_FREE)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 10


def test_import_is_refused_when_a_module_is_blocked() -> None:
    result = imported("numpy", "")
    assert result.returncode != 0
    assert "numpy" in result.stderr


LOADED = """
import sys
import sentryfuse_ros.fusion_node, sentryfuse_ros.session, sentryfuse_ros.subscribe, sentryfuse_ros.publish
import sentryfuse_ros.player_node, sentryfuse_ros.fault_injector_node
print(*sys.modules)
"""


def test_nodes_load_neither_workshop_nor_replay_nor_what_only_those_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "sentryfuse_core.pipeline" in loaded
    core = ("lab", "replay", "commands", "cli", "evaluation")
    unwanted = (*(f"sentryfuse_core.{name}" for name in core), "scipy", "matplotlib")
    assert not [name for name in loaded if name.startswith(unwanted)]


STARTED = """
import sys
import sentryfuse_ros.fusion_node
first = {*sys.modules}
import sentryfuse_ros.engine, sentryfuse_ros.session
print(*first)
print(*sys.modules)
"""


def test_fusion_node_loads_nothing_at_its_start_that_it_does_without() -> None:
    """What stands below was paid for in the time to the first detections, or would be."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before_weights, loaded = (set(line.split()) for line in done.stdout.splitlines())
    assert "torch" in loaded
    heavy = {"torch", "cv2", "rosbags", "safetensors"}  # a misspelt parameter is told without them
    assert not heavy & before_weights
    libraries = {
        "lap",
        "matplotlib",
        "onnx",
        "onnxruntime",
        "openvino",
        "pandas",
        "rosbags",
        "scipy",
        "tensorrt",
    }
    assert not libraries & loaded


BESIDE = """
import gc, sys
from sentryfuse_ros import fusion_node
class Node:
    autostart = True
    def __init__(self, *, ahead, **_): self.ahead, self.beside = ahead, not ahead.done()
    def start(self): self.ahead.result()
fusion_node.FusionNode = Node
before = "torch" in sys.modules
node = fusion_node._make(fusion_node.Stop())
print(before, node.beside, "torch" in sys.modules, gc.isenabled())
"""


def test_torch_is_loaded_beside_the_making_of_the_fusion_node() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BESIDE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("False True True True", "")
