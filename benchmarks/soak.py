"""Run the live node for long, with random faults and budgets: python -m benchmarks.soak --minutes 30.

Everything seen goes to a file of lines as it happens; `--judge FILE` judges a run that was cut short.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks._live import own_domain, parameters, process, reap, spinning, until
from benchmarks.soak_judge import judge
from benchmarks.soak_plan import draw, scenario_mapping, scenario_text
from sentryfuse_core.config import Config, ModelConfig, override, to_mapping
from sentryfuse_core.lab.bench.results import FOLDER, ROOT, text_table, write
from sentryfuse_ros.demo_world import cached_world

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
    figures, found = judge(lines)
    config = to_mapping(override(Config(), _PARAMETERS))
    written = write("soak", figures, raw=found, config=config, folder=args.out)

    from benchmarks.soak_plot import draw as draw_picture

    draw_picture(lines, args.picture)
    print(f"{text_table(figures)}\n{written}\n{args.picture}")
    return 1 if any(figure.met is False for figure in figures) else 0


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
    from benchmarks.soak_watch import Watch
    from sentryfuse_core.runtime.load import load_bank

    own_domain()
    world = cached_world(Path("out/worlds"), **_WORLD)
    plan = draw(seed, seconds=seconds, levels=len(load_bank(ModelConfig()).levels))
    scenario = path.with_name("scenario.yaml")
    scenario.write_text(scenario_text(plan.scenario), encoding="utf-8")

    def node(module: str, values: dict[str, Any]) -> Any:
        log = path.with_name(f"{module}.log")
        return process(f"sentryfuse_ros.{module}", *parameters(values), log=log)

    player = {"bag": world.bag, "prefix": "/raw", "loop": True, "rate": rate, "wait_s": 60.0}
    with (
        path.open("w", encoding="utf-8") as out,
        node("fusion_node", _PARAMETERS) as fusion,
        node("fault_injector_node", {"scenario": scenario}),
        spinning(lambda: Watch(out, pid=fusion.pid, wishes=plan.wishes, sample_s=sample_s)) as (watch, turn),
    ):
        watch.write("plan", **scenario_mapping(plan.scenario))

        def subscribed() -> bool:
            return bool(watch.count_subscribers("/lidar/points"))

        until(subscribed, turn, "the fusion node is warm", fusion, within_s=_START_WITHIN_S)
        with node("player_node", player):
            until(
                lambda: bool(watch.start_ns), turn, "the scenario's start", fusion, within_s=_START_WITHIN_S
            )
            while watch.at_s < seconds and fusion.poll() is None:
                turn()
            watch.write("end", **_end(fusion))


def _end(node: subprocess.Popen[bytes]) -> dict[str, float]:
    """End it as a user would, with its sensors still sending: exit status, time and CPU time it took in s."""
    from benchmarks.soak_watch import process_sample

    if node.poll() is not None:
        return {"status": node.returncode, "took_s": 0.0, "cpu_s": 0.0}
    began_s, cpu_s = time.monotonic(), process_sample(node.pid)["cpu_s"]
    node.send_signal(signal.SIGINT)
    killer = threading.Timer(_END_WITHIN_S, node.kill)
    killer.start()
    usage = reap(node)
    killer.cancel()
    return {
        "status": node.returncode,
        "took_s": round(time.monotonic() - began_s, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime - cpu_s, 3),
    }


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a run; the last one may be half written."""
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(text) for text in whole.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
