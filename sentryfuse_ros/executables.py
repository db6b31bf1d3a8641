"""The nodes' executables: each node is imported on its start, so that a missing ROS is one line."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from sentryfuse_core.errors import NotInstalledError
from sentryfuse_core.loading import loading
from sentryfuse_core.openmp import wait_asleep
from sentryfuse_core.standard_streams import open_standard_streams
from sentryfuse_ros.without_ros import needs_ros

__all__ = ["fault_injector_node", "fusion_node", "player_node"]

_USAGE = """\
usage: ros2 run sentryfuse {name} --ros-args [-r FROM:=TO] [-p NAME:=VALUE] [--params-file FILE]

{summary}. Topics and parameters: {page}.
"""


def fusion_node() -> int:
    """Run the fusion node; the exit status is 2 after an error."""
    summary = "Camera, lidar, IMU and audio in, detections and an account of how they were made out"
    page = "docs/ros_api.md; `sentryfuse params` lists the latter"
    return _start("fusion_node", summary, own_messages=True, page=page)


def player_node() -> int:
    """Run the player; the exit status is 2 after an error."""
    summary = "Plays a recording's sensors on their topics"
    return _start("player_node", summary, own_messages=False, page="docs/faults.md")


def fault_injector_node() -> int:
    """Run the fault injector; the exit status is 2 after an error."""
    summary = "Passes the sensors' topics on, broken as a scenario says"
    return _start("fault_injector_node", summary, own_messages=False, page="docs/faults.md")


def _start(name: str, summary: str, *, own_messages: bool, page: str) -> int:
    # Until the node takes them itself: importing ROS takes a second, and nothing is open yet to be closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    open_standard_streams()
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.stdout.write(_USAGE.format(name=name, summary=summary, page=page))
        return 0
    if ignored := _ignored(sys.argv[1:]):
        # As every ROS node does, this one starts all the same: with defaults where parameters were meant.
        sys.stderr.write(
            f"warning: {name} ignores {' '.join(ignored)}: give --ros-args before what ROS is to take\n"
        )
    wait_asleep()
    try:
        with ExitStack() as stack:
            with loading():
                stack.enter_context(needs_ros(name, own_messages=own_messages))
                node = importlib.import_module(f"sentryfuse_ros.{name}")
            status: int = node.main()
    except NotInstalledError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return status


def _end(_number: int, _frame: Any) -> None:
    os._exit(0)


def _ignored(words: Sequence[str]) -> list[str]:
    """The arguments outside of `--ros-args ... [--]`; nodes have none of their own."""
    ignored, for_ros = [], False
    for word in words:
        if word == "--ros-args":
            for_ros = True
        elif for_ros and word == "--":
            for_ros = False
        elif not for_ros:
            ignored.append(word)
    return ignored
