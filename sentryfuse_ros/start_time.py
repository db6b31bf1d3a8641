"""Time from the fusion node's process start to its first detections: python -m sentryfuse_ros.start_time BAG.

A player repeats BAG over real DDS from before the node starts, as a robot's drivers would. Prints JSON: for
every start the seconds to the first message and to the first one with a box.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import SentryFuseError
from sentryfuse_core.openmp import wait_asleep
from sentryfuse_ros.middleware import apply_profile
from sentryfuse_ros.processes import Children, isolated

__all__ = ["main"]

_PATIENCE_S = 120.0
_SENSOR_TOPIC = "/imu/data"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print; exit status 2 after an error, told in one line."""
    wait_asleep()  # as the node's executable does, which is not what is started here
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bag", type=Path)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--checkpoint", type=Path)
    args = parser.parse_args(argv)
    parameters = {
        "camera.transport": "compressed",
        "model.backend": "eager",  # auto depends on what is built on this machine
        "model.device": args.device,
        "model.threads": args.threads,
    }
    if args.checkpoint is not None:
        parameters["model.checkpoint"] = args.checkpoint
    try:
        with isolated(), tempfile.TemporaryDirectory() as logs:
            apply_profile()
            found = _starts(args.bag, args.starts, parameters, Path(logs))
    except SentryFuseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


def _starts(bag: Path, starts: int, parameters: dict[str, Any], logs: Path) -> list[dict[str, float]]:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sentryfuse.msg import FusedDetectionArray

    heard: list[tuple[float, int]] = []  # monotonic time and boxes of messages of the node that runs now
    started_ns = 0  # ROS time

    def hear(message: Any) -> None:
        stamp = message.header.stamp
        if stamp.sec * NS_PER_S + stamp.nanosec >= started_ns:  # else of the node before, still on its way
            heard.append((time.monotonic(), len(message.detections)))

    rclpy.init()
    listener = rclpy.create_node("start_time")
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    listener.create_subscription(FusedDetectionArray, "/sentryfuse/detections", hear, 10)
    children = Children(logs)

    def wait(what: str, done: Callable[[], bool]) -> None:
        until_s = time.monotonic() + _PATIENCE_S
        while not done():
            executor.spin_once(timeout_sec=0.05)
            children.check()
            if time.monotonic() > until_s:
                raise SentryFuseError(f"no {what} within {_PATIENCE_S:.0f} s; see the node's own log")

    try:
        children.start("player_node", {"bag": bag, "loop": True})
        wait("recorded sensors", lambda: listener.count_publishers(_SENSOR_TOPIC) > 0)
        found = []
        for _ in range(starts):
            heard.clear()
            started_ns = listener.get_clock().now().nanoseconds
            began_s = time.monotonic()
            children.start("fusion_node", parameters)
            wait("detections", lambda: any(boxes for _, boxes in heard))
            found.append(
                {
                    "first_message_s": round(heard[0][0] - began_s, 3),
                    "first_boxes_s": round(next(at for at, boxes in heard if boxes) - began_s, 3),
                }
            )
            children.stop("fusion_node")
        return found
    finally:
        children.stop()
        executor.shutdown()
        listener.destroy_node()
        rclpy.shutdown()


if __name__ == "__main__":
    sys.exit(main())
