"""Measure the robot's path, live over DDS and in replay: python -m benchmarks.robot_path [BAG]."""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks._ends import above_zero, ended
from benchmarks._live import ALL_SENSORS, listener, own_domain, parameters, process, reap, spinning, until
from sentryfuse_core.account.latency import STAGES, percentiles
from sentryfuse_core.config import Config, to_mapping
from sentryfuse_core.lab.bench.results import Figure, at_least, at_most, text_table, write
from sentryfuse_core.lab.bench.runtime.recording import record

START_WITHIN_S = 120.0
LIDAR_HZ = 10.0  # of the synthetic world; it anchors the sets


def main() -> int:
    """Run both and write benchmarks/results/robot_path.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "bag", nargs="?", type=Path, help="a recording of the synthetic world; made if not given"
    )
    parser.add_argument("--seconds", type=above_zero, default=20.0, help="length of what is recorded, in s")
    args = parser.parse_args()
    own_domain()
    with tempfile.TemporaryDirectory() as folder:
        bag = args.bag or record(Path(folder) / "world", seconds=args.seconds)
        replayed = replay(bag, Path(folder) / "replay")
        lived = live(bag)
    figures = [*live_figures(lived), *replay_figures(replayed)]
    path = write("robot_path", figures, raw={"live": lived, "replay": replayed}, config=to_mapping(Config()))
    print(f"{text_table(figures)}\n{path}")
    return 0


def replay(bag: Path, out: Path) -> dict[str, Any]:
    """metrics.json of a replay, and the peak memory of its process."""
    with process("sentryfuse_core.cli", "replay", str(bag), "--out", str(out), "--quiet") as child:
        usage = reap(child)
    if child.returncode != 0:
        raise SystemExit(f"error: the replay ended with status {child.returncode}")
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return {**metrics, "peak_memory_mb": usage.ru_maxrss / 1024}


def live(bag: Path) -> dict[str, Any]:
    """What the node says of itself while the recording plays over DDS, and the peak memory of its process."""
    statuses: list[tuple[float, Any]] = []

    def take(status: Any) -> None:
        statuses.append((time.monotonic(), status))

    node = ("sentryfuse_ros.fusion_node", *parameters({"camera.transport": "compressed"}))
    player = ("sentryfuse_ros.player_node", *parameters({"bag": bag, "wait_s": 60.0}))
    with spinning(lambda: listener(take)) as (_, turn), process(*node) as fusion, process(*player) as playing:
        until(lambda: bool(statuses), turn, "the fusion node's first status", fusion, within_s=START_WITHIN_S)
        until(lambda: playing.poll() is not None, turn, "the recording's end", fusion, within_s=float("inf"))
        fusion.send_signal(signal.SIGTERM)
        usage = reap(fusion)
    first = next((i for i, (_, item) in enumerate(statuses) if item.mask == ALL_SENSORS), 0)
    return {**summary(statuses[first:]), "peak_memory_mb": usage.ru_maxrss / 1024}


def summary(statuses: Sequence[tuple[float, Any]]) -> dict[str, Any]:
    """Rates and percentiles of statuses with their monotonic time of arrival in s, one for each set."""
    times_s = [at_s for at_s, _ in statuses]
    items = [item for _, item in statuses]
    return {
        "sets": len(items),
        "skipped_sets": items[-1].skipped_sets - items[0].skipped_sets,
        "sets_per_s": (len(items) - 1) / (times_s[-1] - times_s[0]),
        "longest_silence_s": max(later - earlier for earlier, later in pairwise(times_s)),
        "all_sensors_share": sum(item.mask == ALL_SENSORS for item in items) / len(items),
        "latency_ms": {
            stage: percentiles(getattr(item, f"{stage}_ms") for item in items) for stage in STAGES
        },
        "device": items[-1].device,
        "checkpoint": items[-1].checkpoint,
    }


def live_figures(found: dict[str, Any]) -> list[Figure]:
    """The table's live part."""
    return [
        at_least("live: sets", found["sets_per_s"], "1/s", 0.95 * LIDAR_HZ),
        at_most("live: sets skipped", found["skipped_sets"], ""),
        at_most("live: longest silence", found["longest_silence_s"], "s", 0.5),
        *_latency_figures("live", found["latency_ms"]),
        at_most("live: peak memory", found["peak_memory_mb"], "MB", 1500),
    ]


def replay_figures(found: dict[str, Any]) -> list[Figure]:
    """The table's replay part."""
    return [
        at_least("replay: speed", found["real_time_factor"], "x real time", 1),
        at_most("replay: sets", found["sets_per_wall_s"], "1/s"),
        at_least("replay: anchor stamps with a set", 100 * found["coverage"]["share"], "%", 99),
        *_latency_figures("replay", found["latency_ms"]),
        at_most("replay: peak memory", found["peak_memory_mb"], "MB", 1500),
    ]


def _latency_figures(where: str, latency_ms: dict[str, dict[str, float]]) -> list[Figure]:
    limits = {("live", "e2e", "p95"): Config().output.max_output_age_s * 1e3}
    return [
        at_most(f"{where}: {stage} {name}", values[name], "ms", limits.get((where, stage, name)))
        for stage, values in latency_ms.items()
        for name in ("p50", "p95", "p99")
    ]


if __name__ == "__main__":
    raise SystemExit(ended(main))
