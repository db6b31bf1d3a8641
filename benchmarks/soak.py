"""Run the node for long under random faults, budgets and charges: python -m benchmarks.soak --minutes 30.

Everything is real: a recording played over DDS, the fault injector, the fusion node in its own process.
The record is written as it grows, so that a soak that was cut off is judged as far as it came.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from benchmarks._results import ROOT, render, write
from benchmarks.robot_path import record, start
from benchmarks.soak_judge import Sample, Seen, judge
from benchmarks.soak_plot import draw
from benchmarks.soak_scenario import make_scenario
from sentryfuse_core.config import Config, to_mapping
from sentryfuse_core.replay.scenario import Scenario
from sentryfuse_ros.middleware import apply_profile

SAMPLE_EVERY_S = 5.0
BATTERY_EVERY_S = 20.0
START_WITHIN_S = 120.0
EXIT_WITHIN_S = 30.0
PICTURE = ROOT / "docs" / "images" / "soak.png"


def main() -> int:
    """Soak, judge, and write benchmarks/results/soak.json and docs/images/soak.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0, help="of faults, budgets and charges")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the recording that is looped")
    parser.add_argument("--record", type=Path, default=Path("out/soak.jsonl"), help="grows as the soak runs")
    args = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(60 + os.getpid() % 40))
    apply_profile()
    scenario = make_scenario(minutes=args.minutes, seed=args.seed)
    with tempfile.TemporaryDirectory() as folder:
        story = Path(folder) / "soak.yaml"
        story.write_text(yaml.safe_dump(plain(scenario)), encoding="utf-8")
        bag = record(Path(folder), args.seconds)
        soak = Soak(scenario, args.record, seed=args.seed)
        exit_status, exit_s = soak.run(bag, story)
    rows, found = judge(scenario, soak.samples, soak.seen, exit_status=exit_status, exit_s=exit_s)
    draw(PICTURE, scenario, soak.samples, soak.seen)
    found["samples"] = [asdict(item) for item in soak.samples]
    path = write("soak", rows, raw=found, config={"minutes": args.minutes, **to_mapping(Config())})
    print(f"{render(rows)}\n{path}\n{PICTURE}")
    for line in found["missed"]:
        print(f"missed: {line}")
    return 0


def plain(scenario: Scenario) -> dict[str, Any]:
    """The scenario as its file has it."""
    return {
        "name": scenario.name,
        "seed": scenario.seed,
        "seconds": scenario.seconds,
        "events": [
            {"at_s": item.at_s, "until_s": item.until_s, "stream": item.stream, "fault": item.fault}
            for item in scenario.events
        ],
        "actions": [
            {key: value for key, value in asdict(item).items() if value >= 0}  # neither NaN nor -1: asked for
            for item in scenario.actions
        ],
    }


class Soak:
    """Listens to the node and to its process; times are the scenario's, by the injector's own account."""

    def __init__(self, scenario: Scenario, path: Path, *, seed: int) -> None:
        self.samples: list[Sample] = []
        self.seen: list[Seen] = []
        self._scenario = scenario
        self._start_ns = 0  # of the scenario, on the clock of stamps; 0: not yet
        self._draw = random.Random(seed)  # noqa: S311 - no secret
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")

    def run(self, bag: Path, story: Path) -> tuple[int, float]:
        """Exit status of the node, and how long it took to end, in s."""
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import BatteryState
        from sentryfuse.msg import FusionStatus

        rclpy.init()
        listener = rclpy.create_node("soak")
        listener.create_subscription(FusionStatus, "/sentryfuse/status", self._on_status, 100)
        listener.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        battery = listener.create_publisher(BatteryState, "/battery", 1)
        executor = SingleThreadedExecutor()
        executor.add_node(listener)
        options = ("-p", "camera.transport:=compressed")
        playing = ("-p", f"bag:={bag}", "-p", "prefix:=/raw", "-p", "loop:=true")
        with (
            start("sentryfuse_ros.fusion_node", "--ros-args", *options) as node,
            start("sentryfuse_ros.fault_injector_node", "--ros-args", "-p", f"scenario:={story}"),
            start("sentryfuse_ros.player_node", "--ros-args", *playing),
        ):
            self._follow(node, executor, battery)
            stopped_s = time.monotonic()
            node.send_signal(signal.SIGINT)
            status = node.wait(timeout=EXIT_WITHIN_S)
            ended_s = time.monotonic() - stopped_s
        executor.shutdown()
        listener.destroy_node()
        rclpy.shutdown()
        self._file.close()
        return status, ended_s

    def _follow(self, node: subprocess.Popen[bytes], executor: Any, battery: Any) -> None:
        """Until the scenario is over; a sample now and then, a charge now and then."""
        began_s = time.monotonic()
        next_sample_s = next_battery_s = began_s
        while self._at_s() < self._scenario.seconds:
            executor.spin_once(timeout_sec=0.1)
            now_s = time.monotonic()
            if node.poll() is not None or (not self.seen and now_s > began_s + START_WITHIN_S):
                raise SystemExit("error: the fusion node gave no status or ended; run it alone to see why")
            if self._start_ns and now_s >= next_sample_s:
                next_sample_s = now_s + SAMPLE_EVERY_S
                self._note(self.samples, sample(node.pid, self._at_s()))
            if now_s >= next_battery_s:
                next_battery_s = now_s + BATTERY_EVERY_S
                charge = self._draw.choice((0.9, 0.5, 0.1, float("nan")))
                battery.publish(battery.msg_type(percentage=charge, present=True))

    def _at_s(self) -> float:
        return (time.time_ns() - self._start_ns) / 1e9 if self._start_ns else -1.0

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            if status.name == "fault_injector: scenario":
                values = {item.key: item.value for item in status.values}
                self._start_ns = int(values["start_ns"])

    def _on_status(self, message: Any) -> None:
        if self._start_ns:
            used = frozenset(message.used)
            self._note(self.seen, Seen(self._at_s(), used, message.level, message.severity))

    def _note(self, items: list[Any], item: Any) -> None:
        items.append(item)
        self._file.write(json.dumps({"kind": type(item).__name__, **_jsonable(item)}) + "\n")
        self._file.flush()


def sample(pid: int, at_s: float) -> Sample:
    """Memory, threads and open files of a process, as Linux has them."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    values = dict(line.split(":", 1) for line in lines)
    rss_mb = int(values["VmRSS"].split()[0]) / 1024
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(at_s, rss_mb, int(values["Threads"]), files)


def _jsonable(item: Any) -> dict[str, Any]:
    values = asdict(item).items()
    return {key: sorted(value) if isinstance(value, frozenset) else value for key, value in values}


if __name__ == "__main__":
    sys.exit(main())
