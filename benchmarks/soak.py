"""Run the live node for long, with random faults and budgets: python -m benchmarks.soak --minutes 30.

With `--rig config/rigs/four_cameras.yaml` its sensors are those of that parameter file, by name.
Everything seen goes to a file of lines as it happens; `--judge FILE` judges a run that was cut short.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks._ends import above_zero, ended
from benchmarks._live import own_domain, parameters, process, reap, spinning, until
from benchmarks.soak_judge import judge
from benchmarks.soak_plan import draw, scenario_mapping, scenario_text
from sentryfuse_core.config import Config, ModelConfig, load_yaml, override, to_mapping
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.bench.results import FOLDER, ROOT, text_table, write
from sentryfuse_core.lab.world.config import world_v2
from sentryfuse_core.types import Modality
from sentryfuse_ros.demo_world import cached_world

_WORLD = {"seed": 8, "seconds": 30, "light": 0.9}
_START_WITHIN_S = 600.0  # a machine that trains at the same time takes minutes
_END_WITHIN_S = 60.0  # then it is killed, and the row says how long it was waited for
# Other programs may hold up all four processes for a while, as in the demo.
_FLOORS = {f"health.timeout_floor_{kind.value}_s": 0.5 for kind in Modality}


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, or judge what was written before; writes a result and a picture. 1 when a target is missed."""
    args = _parse(arguments)
    name = "soak" if args.rig is None else "soak_around"
    picture = args.picture or ROOT / "docs" / "images" / f"{name}.png"
    if args.judge:
        path = args.judge
    else:
        folder = args.work / datetime.now(timezone.utc).strftime("soak_%Y%m%d_%H%M%S")
        folder.mkdir(parents=True)
        path = folder / "lines.jsonl"
        print(f"writing {path}", flush=True)
        run(
            path,
            rig=args.rig,
            seconds=60.0 * args.minutes,
            seed=args.seed,
            sample_s=args.sample_s,
            rate=args.rate,
        )
    lines = read_lines(path)
    figures, found = judge(lines)
    config = _config(args.rig)
    config = to_mapping(override(config, _parameters(config)))
    written = write(name, figures, raw=found, config=config, folder=args.out)

    from benchmarks.soak_plot import draw as draw_picture

    draw_picture(lines, picture)
    print(f"{text_table(figures)}\n{written}\n{picture}")
    return 1 if any(figure.met is False for figure in figures) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=above_zero, default=30.0, help="length (default 30)")
    parser.add_argument(
        "--rig", type=Path, metavar="FILE", help="sensors by name: a parameter file as the node takes"
    )
    parser.add_argument("--seed", type=int, default=0, help="of faults and budgets")
    parser.add_argument("--sample-s", type=above_zero, default=5.0, help="between two looks, in s")
    parser.add_argument(
        "--rate", type=above_zero, default=1.0, help="speed of the recording; less on a busy machine"
    )
    parser.add_argument("--work", type=Path, default=Path("out"), help="folder of lines and logs")
    parser.add_argument(
        "--judge",
        type=Path,
        metavar="FILE",
        help="the lines of a run that was cut short; give its --rig, too",
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the result file")
    parser.add_argument("--picture", type=Path, help="default: docs/images/ and the result's name")
    return parser.parse_args(arguments)


def _config(rig: Path | None) -> Config:
    return Config() if rig is None else load_yaml(rig)


def _parameters(config: Config) -> dict[str, Any]:
    """What the node gets besides its sensors; the world's pictures are compressed."""
    return {f"{name}.transport": "compressed" for name in config.of_kind(Modality.CAMERA)} | _FLOORS


def run(path: Path, *, rig: Path | None, seconds: float, seed: int, sample_s: float, rate: float) -> None:
    """Play, disturb, watch; every line goes to `path`."""
    from benchmarks.soak_watch import SHM, Watch, shared_files
    from sentryfuse_core.runtime.load import load_bank

    own_domain()
    config = _config(rig)
    world = cached_world(Path("out/worlds"), **_WORLD, rig=config)
    levels = len(load_bank(ModelConfig()).levels)
    plan = draw(seed, seconds=seconds, levels=levels, kinds=config.kinds)
    scenario = path.with_name("scenario.yaml")
    scenario.write_text(scenario_text(plan.scenario), encoding="utf-8")

    def node(module: str, values: dict[str, Any], *, file: Path | None = None) -> Any:
        log = path.with_name(f"{module}.log")
        return process(f"sentryfuse_ros.{module}", *parameters(values, file=file), log=log)

    injector = {"scenario": scenario} | ({} if rig is None else {"sensors_from": rig})
    player = {"bag": world.bag, "prefix": "/raw", "loop": True, "rate": rate, "wait_s": 60.0}
    with (
        path.open("w", encoding="utf-8") as out,
        node("fusion_node", _parameters(config), file=rig) as fusion,
        node("fault_injector_node", injector) as faults,
        spinning(lambda: Watch(out, pid=fusion.pid, wishes=plan.wishes, sample_s=sample_s)) as (watch, turn),
    ):
        watch.write(
            "plan",
            sensors=dict(config.kinds),
            period_s=1.0 / (world_v2().lidar.rate_hz * rate),
            **scenario_mapping(plan.scenario),
        )

        def subscribed() -> bool:
            topics = [config.sensor(name).topic for name in config.of_kind(Modality.LIDAR)]
            return any(watch.count_subscribers(f"/{topic.strip('/')}") for topic in topics)

        until(subscribed, turn, "the fusion node is warm", fusion, within_s=_START_WITHIN_S)
        with node("player_node", player) as playing:
            until(
                lambda: bool(watch.start_ns), turn, "the scenario's start", fusion, within_s=_START_WITHIN_S
            )
            used = set[str]().union(*(shared_files(child.pid) for child in (fusion, faults, playing)))
            while watch.at_s < seconds and fusion.poll() is None:
                turn()
            watch.write("end", **_end(fusion))
    # This process goes on, and may hold on to what it shared with the others.
    left = sorted(name for name in used - shared_files(os.getpid()) if (SHM / name).exists())
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps({"kind": "left", "files": left, "of": len(used)}) + "\n")


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
    """The lines of a run; the last one may be half written. Raises EvaluationError for another file."""
    try:
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
        lines = [json.loads(text) for text in whole.splitlines()]
    except ValueError:
        lines = []
    kinds = {line.get("kind") if isinstance(line, dict) else None for line in lines}
    if "plan" not in kinds or None in kinds:
        raise EvaluationError(f"{path} holds no soak that began; give the lines.jsonl of one")
    return lines


if __name__ == "__main__":
    raise SystemExit(ended(main))
