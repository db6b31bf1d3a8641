"""Measure the robot's path, live over DDS and in replay: python -m benchmarks.robot_path [BAG]."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks._results import Row, render, write
from sentryfuse_core.account.latency import percentiles
from sentryfuse_core.config import Config, to_mapping
from sentryfuse_ros.middleware import apply_profile

STAGES = ("age", "wait", "queue", "pre", "infer", "post", "track", "e2e")
ALL_SENSORS = 15
START_WITHIN_S = 120.0
LIDAR_HZ = 10.0  # of the synthetic world; it anchors the sets


def main() -> int:
    """Run both and write benchmarks/results/robot_path.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "bag", nargs="?", type=Path, help="a recording of the synthetic world; made if not given"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the recording to make, in s")
    args = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(60 + os.getpid() % 40))
    apply_profile()
    with tempfile.TemporaryDirectory() as folder:
        bag = args.bag or record(Path(folder), args.seconds)
        replayed = replay(bag, Path(folder) / "replay")
        lived = live(bag)
    rows = [*live_rows(lived), *replay_rows(replayed)]
    path = write("robot_path", rows, raw={"live": lived, "replay": replayed}, config=to_mapping(Config()))
    print(f"{render(rows)}\n{path}")
    return 0


def record(folder: Path, seconds: float) -> Path:
    """A drive in the synthetic world."""
    out = folder / "world"
    command = [
        sys.executable,
        "-m",
        "sentryfuse_core.cli",
        "world",
        "record",
        "--seconds",
        str(seconds),
        str(out),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(out.glob("*.mcap"))


def replay(bag: Path, out: Path) -> dict[str, Any]:
    """metrics.json of a replay, and the peak memory of its process."""
    with _process("sentryfuse_core.cli", "replay", str(bag), "--out", str(out), "--quiet") as process:
        status, peak_mb = _wait(process)
    if status != 0:
        raise SystemExit(f"error: the replay ended with status {status}")
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return {**metrics, "peak_memory_mb": peak_mb}


def live(bag: Path) -> dict[str, Any]:
    """What the node says of itself while the recording plays over DDS, and the peak memory of its process."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sentryfuse.msg import FusionStatus

    statuses: list[tuple[float, Any]] = []
    rclpy.init()
    listener = rclpy.create_node("robot_path_bench")
    listener.create_subscription(
        FusionStatus, "/sentryfuse/status", lambda message: statuses.append((time.monotonic(), message)), 100
    )
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    node = ("sentryfuse_ros.fusion_node", "--ros-args", "-p", "camera.transport:=compressed")
    player = ("sentryfuse_ros.player_node", "--ros-args", "-p", f"bag:={bag}", "-p", "wait_s:=60.0")
    with _process(*node) as fusion, _process(*player) as playing:
        deadline_s = time.monotonic() + START_WITHIN_S
        while playing.poll() is None:
            executor.spin_once(timeout_sec=0.1)
            if fusion.poll() is not None or (not statuses and time.monotonic() > deadline_s):
                raise SystemExit("error: the fusion node gave no status; run it alone to see why")
        fusion.send_signal(signal.SIGTERM)
        _, peak_mb = _wait(fusion)
    executor.shutdown()
    listener.destroy_node()
    rclpy.shutdown()
    first = next((i for i, (_, item) in enumerate(statuses) if item.mask == ALL_SENSORS), 0)
    return {**summary(statuses[first:]), "peak_memory_mb": peak_mb}


def summary(statuses: Sequence[tuple[float, Any]]) -> dict[str, Any]:
    """Rates and percentiles of statuses with their monotonic time of arrival in s, one for each set."""
    times_s = [at_s for at_s, _ in statuses]
    items = [item for _, item in statuses]
    gaps_s = [later - earlier for earlier, later in pairwise(times_s)]
    return {
        "sets": len(items),
        "skipped_sets": items[-1].skipped_sets - items[0].skipped_sets,
        "sets_per_s": (len(items) - 1) / (times_s[-1] - times_s[0]),
        "longest_silence_s": max(gaps_s),
        "all_sensors_share": sum(item.mask == ALL_SENSORS for item in items) / len(items),
        "latency_ms": {
            stage: percentiles(getattr(item, f"{stage}_ms") for item in items) for stage in STAGES
        },
        "device": items[-1].device,
        "checkpoint": items[-1].checkpoint,
    }


def live_rows(found: dict[str, Any]) -> list[Row]:
    """The table's live part."""
    return [
        Row(
            what="live: sets",
            measured=found["sets_per_s"],
            unit="1/s",
            target=0.95 * LIDAR_HZ,
            direction="min",
        ),
        Row(what="live: sets skipped", measured=found["skipped_sets"], unit=""),
        Row(what="live: longest silence", measured=found["longest_silence_s"], unit="s", target=0.5),
        *_latency_rows("live", found["latency_ms"]),
        Row(what="live: peak memory", measured=found["peak_memory_mb"], unit="MB", target=1500),
    ]


def replay_rows(found: dict[str, Any]) -> list[Row]:
    """The table's replay part."""
    coverage = 100 * found["coverage"]["share"]
    return [
        Row(
            what="replay: speed",
            measured=found["real_time_factor"],
            unit="x real time",
            target=1,
            direction="min",
        ),
        Row(what="replay: sets", measured=found["sets_per_wall_s"], unit="1/s"),
        Row(what="replay: anchor stamps with a set", measured=coverage, unit="%", target=99, direction="min"),
        *_latency_rows("replay", found["latency_ms"]),
        Row(what="replay: peak memory", measured=found["peak_memory_mb"], unit="MB", target=1500),
    ]


def _latency_rows(where: str, latency_ms: dict[str, dict[str, float]]) -> list[Row]:
    limits = {("live", "e2e", "p95"): Config().output.max_output_age_s * 1e3}
    return [
        Row(
            what=f"{where}: {stage} {name}",
            measured=values[name],
            unit="ms",
            target=limits.get((where, stage, name)),
        )
        for stage, values in latency_ms.items()
        for name in ("p50", "p95", "p99")
    ]


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A module running in a process of its own; it does not outlive the context."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments])
    try:
        yield process
    finally:
        if process.returncode is None and process.poll() is None:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Exit status and peak resident memory in MB of a child."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
