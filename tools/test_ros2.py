"""Run the tests of the ROS parts with launch, tf2, message_filters and vision_msgs of another workspace.

`make test-ros2 OVERLAY=path` runs this; the path is a workspace's install folder, or /opt/ros/<distribution>.
What both have comes from .venv. A test that finds one of those packages missing has failed, not been skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from setup_env import ROOT, VENV, SetupError, environment, run_python

MODULES = ("launch", "launch_ros", "launch_xml", "launch_yaml", "ros2launch", "message_filters", "tf2_ros",
           "vision_msgs.msg")  # fmt: skip
NO_EXCUSES = ("needs launch and launch_ros", "needs message_filters", "needs tf2_ros", "needs vision_msgs")
TESTS = ("test/ros", "test/launch")
PATHS = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH")
PYTHON = str(VENV / "bin" / "python")


def environment_after(command: list[str], start: dict[str, str]) -> dict[str, str]:
    """The environment that a command, which prints it as `env -0` does, ends with."""
    done = subprocess.run(command, env=start, check=False, text=True, capture_output=True)
    if done.returncode != 0:
        told = " ".join(done.stderr.split()) or "nothing said"
        raise SetupError(f"{' '.join(command)} ended with status {done.returncode}: {told}")
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)


def with_overlay(overlay: Path) -> dict[str, str]:
    """The environment in which .venv's Python also finds the overlay's packages, after its own."""
    if not overlay.name:
        raise SetupError("OVERLAY is missing: make test-ros2 OVERLAY=/opt/ros/<distribution>")
    setup = overlay.resolve() / "setup.sh"
    if not setup.is_file():
        raise SetupError(
            f"OVERLAY={overlay} has no setup.sh: give a workspace's install folder or /opt/ros/<distribution>"
        )
    start = environment()
    # What the wheels put on the library path only shows in a Python that has started.
    own = environment_after(
        [PYTHON, "-c", "import os; print(end='\\0'.join(f'{k}={v}' for k, v in os.environ.items()))"], start
    )
    own["PYTHONPATH"] = run_python("import sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
    plain = {key: value for key, value in start.items() if key not in PATHS[1:]}
    # A setup.sh cannot tell its own place and asks for it here, in colcon's and in ament's way.
    places = dict.fromkeys(("COLCON_CURRENT_PREFIX", "AMENT_CURRENT_PREFIX"), str(setup.parent))
    theirs = environment_after(["sh", "-c", f'. "{setup}" >&2; env -0'], plain | places)
    joined = {key: os.pathsep.join(part for part in (own.get(key), theirs.get(key)) if part) for key in PATHS}
    return own | joined


def check_imports(overlay: Path, found: dict[str, str]) -> None:
    """Raise SetupError for the first package that .venv's Python cannot import there."""
    for name in MODULES:
        done = subprocess.run(
            [PYTHON, "-c", f"import {name}"], env=found, check=False, text=True, capture_output=True
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise SetupError(
                f"cannot import {name} with OVERLAY={overlay} ({reason}): it has to hold that package, "
                f"built for Python {sys.version_info.major}.{sys.version_info.minor}"
            )


def main() -> int:
    """Test with the overlay of the first argument and pytest's arguments after it; the exit status."""
    overlay, *arguments = sys.argv[1:] or [""]
    try:
        found = with_overlay(Path(overlay))
        check_imports(Path(overlay), found)
    except SetupError as error:
        print(f"test-ros2: {error}", file=sys.stderr)
        return 2
    refused = [f"--no-skip={reason}" for reason in NO_EXCUSES]
    return subprocess.run(
        [PYTHON, "-m", "pytest", *TESTS, *refused, *arguments], cwd=ROOT, env=found, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
