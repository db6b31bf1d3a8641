"""Run the live node for long, with random faults and budgets: python -m benchmarks.soak --minutes 30.

Everything seen goes to a file of lines as it happens; `--judge FILE` judges a run that was cut short.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from benchmarks._results import FOLDER, ROOT, Row, render, write
from benchmarks.soak_judge import judge
from benchmarks.soak_plan import Plan, draw, event_mappings, scenario_text
from sentryfuse_core.config import Config, ModelConfig, override, to_mapping
from sentryfuse_ros.demo_world import cached_world
from sentryfuse_ros.middleware import apply_profile

if TYPE_CHECKING:
    from benchmarks.soak_watch import Watch

_WORLD = {"seed": 8, "seconds": 30, "light": 0.9}
_START_WITHIN_S = 600.0  # a machine that trains at the same time takes minutes
_END_WITHIN_S = 60.0  # then it is killed, and the row says how long it was waited for
# Other programs may hold up all four processes for a while, as in the demo.
_PARAMETERS = {
    "camera.transport": "compressed",
    "health.timeout_floor_camera_s": 0.5,
    "health.timeout_floor_lidar_s": 0.5,
    "health.timeout_floor_imu_s": 0.5,
    "health.timeout_floor_audio_s": 0.5,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, or judge what was written before; writes soak.json and a picture. 1 when a target is missed."""
    args = _parse(arguments)
    if args.judge:
        path = args.judge
    else:
        folder = args.work / datetime.now(timezone.utc).strftime("soak_%Y%m%d_%H%M%S")
        folder.mkdir(parents=True)
        path = folder / "lines.jsonl"
        print(f"writing {path}", flush=True)
        run(path, seconds=60.0 * args.minutes, seed=args.seed, sample_s=args.sample_s, rate=args.rate)
    lines = read_lines(path)
    rows, found = judge(lines)
    report(rows, found, lines, out=args.out, picture=args.picture)
    return 1 if any(row.met is False for row in rows) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="length (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="of faults and budgets")
    parser.add_argument("--sample-s", type=float, default=5.0, help="between two looks at the process, in s")
    parser.add_argument(
        "--rate", type=float, default=1.0, help="speed of the recording; less on a busy machine"
    )
    parser.add_argument("--work", type=Path, default=Path("out"), help="folder of lines and logs")
    parser.add_argument("--judge", type=Path, metavar="FILE", help="the lines of a run that was cut short")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the result file")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "soak.png")
    return parser.parse_args(arguments)


def run(path: Path, *, seconds: float, seed: int, sample_s: float, rate: float) -> None:
    """Play, disturb, watch; every line goes to `path`."""
    import rclpy

    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(60 + os.getpid() % 40))
    apply_profile()
    world = cached_world(Path("out/worlds"), **_WORLD)
    plan = draw(seed, seconds=seconds, levels=_levels())
    scenario = path.with_name("scenario.yaml")
    scenario.write_text(scenario_text(plan.scenario), encoding="utf-8")
    player = {"bag": world.bag, "prefix": "/raw", "loop": True, "rate": rate, "wait_s": 60.0}
    rclpy.init(args=[])
    try:
        with ExitStack() as stack:
            out = stack.enter_context(path.open("w", encoding="utf-8"))
            node = stack.enter_context(_node("fusion_node", _PARAMETERS, path.parent))
            stack.enter_context(_node("fault_injector_node", {"scenario": scenario}, path.parent))
            follow = stack.enter_context(_watching(out, node, plan, sample_s=sample_s))
            follow.until(lambda: bool(follow.watch.count_subscribers("/lidar/points")), "is warm")
            stack.enter_context(_node("player_node", player, path.parent))
            follow.until(lambda: bool(follow.watch.start_ns), "hears of the scenario")
            while follow.watch.at_s < seconds and node.poll() is None:
                follow.turn()
            follow.watch.write("end", **_end(node))
    finally:
        rclpy.try_shutdown()


@dataclass(frozen=True)
class _Follower:
    """The watching node and what turns it."""

    watch: Watch
    node: subprocess.Popen[bytes]
    turn: Callable[[], None]

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Turn until `done`; an error if the node ends before, or that takes too long."""
        patience_s = time.monotonic() + _START_WITHIN_S
        while not done():
            self.turn()
            if self.node.poll() is not None or time.monotonic() > patience_s:
                raise SystemExit(
                    f"error: not so within {_START_WITHIN_S:.0f} s: the node {what}; see its log"
                )


@contextmanager
def _watching(
    out: TextIO, node: subprocess.Popen[bytes], plan: Plan, *, sample_s: float
) -> Iterator[_Follower]:
    from rclpy.executors import SingleThreadedExecutor

    from benchmarks.soak_watch import Watch

    watch = Watch(out, pid=node.pid, wishes=plan.wishes, sample_s=sample_s)
    scenario = plan.scenario
    watch.write("plan", seed=scenario.seed, seconds=scenario.seconds, events=event_mappings(scenario))
    executor = SingleThreadedExecutor()
    executor.add_node(watch)
    try:
        yield _Follower(watch, node, lambda: executor.spin_once(timeout_sec=0.1))
    finally:
        executor.shutdown()
        watch.destroy_node()


def _end(node: subprocess.Popen[bytes]) -> dict[str, float]:
    """End it as a user would, with its sensors still sending: exit status, time and CPU time it took in s."""
    from benchmarks.soak_watch import process_sample

    if node.poll() is not None:
        return {"status": node.returncode, "took_s": 0.0, "cpu_s": 0.0}
    began_s, cpu_s = time.monotonic(), process_sample(node.pid)["cpu_s"]
    node.send_signal(signal.SIGINT)
    killer = threading.Timer(_END_WITHIN_S, node.kill)
    killer.start()
    _, status, usage = os.wait4(node.pid, 0)
    killer.cancel()
    node.returncode = os.waitstatus_to_exitcode(status)
    return {
        "status": node.returncode,
        "took_s": round(time.monotonic() - began_s, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime - cpu_s, 3),
    }


@contextmanager
def _node(module: str, parameters: Mapping[str, Any], logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A node in a process of its own, its output in a log file; it does not outlive the context."""
    command = [sys.executable, "-m", f"sentryfuse_ros.{module}", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    with (logs / f"{module}.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a run; the last one may be half written."""
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(text) for text in whole.splitlines()]


def report(
    rows: Sequence[Row],
    found: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    *,
    out: Path,
    picture: Path,
) -> None:
    """Write the result file and the picture, print the table."""
    from benchmarks.soak_plot import draw as draw_picture

    config = to_mapping(override(Config(), _PARAMETERS))
    path = write("soak", rows, raw=found, config=config, folder=out)
    draw_picture(lines, picture)
    print(f"{render(rows)}\n{path}\n{picture}")


def _levels() -> int:
    """How many pruning levels the shipped weights have."""
    from sentryfuse_core.runtime.load import load_bank

    return len(load_bank(ModelConfig()).levels)


if __name__ == "__main__":
    sys.exit(main())
