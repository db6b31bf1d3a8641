"""What is measured on whole processes: replay, the start of the node; and energy, where it can be."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sentryfuse_core.errors import BenchError
from sentryfuse_core.lab.bench.runtime.arms import ALL, Arm, dense_arms, planned_arms
from sentryfuse_core.lab.bench.runtime.context import Context, Setting, steps
from sentryfuse_core.lab.bench.runtime.dense import KINDS
from sentryfuse_core.lab.bench.runtime.recording import run_cli, run_module
from sentryfuse_core.machine import MachineMonitor
from sentryfuse_core.preprocess.tensors import ModelInput

__all__ = ["energy_part", "replay_part", "spent", "start_part"]

_BLOCKS = 5
_LOOK_S = 0.05  # how often a source that tells power now is read


def replay_part(context: Context, backend: str) -> list[dict[str, Any]]:
    """Speed at full width and at the narrowest level on `backend`, and of two recordings at once."""
    runs, config = [(0, 1), (len(context.levels) - 1, 1), (0, 2)], context.setting.model(backend)
    twin = context.folder / f"twin{context.bag.suffix}"  # a replay takes each recording once
    shutil.copyfile(context.bag, twin)
    found = []
    with steps(context, "replay", len(runs)) as step:
        for number, (level, bags) in enumerate(runs):
            settings = {
                "budget.level": level,
                "model.backend": config.backend,
                "model.precision": config.precision,
                "model.device": config.device,
                "model.checkpoint": context.setting.checkpoint,
                "model.engine_dir": context.setting.engines,
            }
            speed = replay_speed([context.bag, twin][:bags], context.folder / f"replay_{number}", settings)
            found.append({"level": level, "bags": bags, "backend": backend, **speed})
            step()
    return found


def replay_speed(bags: Sequence[Path], out: Path, settings: Mapping[str, object]) -> dict[str, Any]:
    """Replay all at once in a process of its own: how many times as fast as real time, also with its start.

    Of several, the time is that of the slowest.
    """
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    options += ["--jobs", str(len(bags))] if len(bags) > 1 else []
    began_s = time.perf_counter()
    run_cli("replay", *map(str, bags), "--out", str(out), "--quiet", *options)
    process_s = time.perf_counter() - began_s
    files = sorted(out.rglob("metrics.json"))
    metrics = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    played_s, run_s = sum(one["played_s"] for one in metrics), max(one["wall_s"] for one in metrics)
    return {
        "played_s": played_s,
        "run_s": run_s,
        "process_s": round(process_s, 3),
        "run_speed": round(played_s / run_s, 3),
        "process_speed": round(played_s / process_s, 3),
        "sets": sum(one["sets"] for one in metrics),
    }


def start_part(context: Context) -> dict[str, Any]:
    """Every start of the node with a warm disk cache; or what it lacks."""
    if not context.setting.starts:
        return {"starts": [], "lacks": "not asked for"}
    context.report("node start", 0, 1)
    try:
        return {"starts": _starts(context.bag, context.setting), "lacks": ""}
    except BenchError as error:
        return {"starts": [], "lacks": f"the node's start was not measured: {error}"}


def _starts(bag: Path, setting: Setting) -> list[dict[str, Any]]:
    """What each start took, eager, asked of a process with ROS; BenchError where there is none."""
    if importlib.util.find_spec("rclpy") is None:
        raise BenchError("no rclpy here; run `make setup`")
    words = ("--starts", setting.starts + 1, "--threads", setting.threads, "--device", setting.device)
    done = run_module(
        "sentryfuse_ros.start_time", *map(str, (*words, "--checkpoint", setting.checkpoint, bag))
    )
    found: list[dict[str, Any]] = json.loads(done.splitlines()[-1])
    return found[1:]  # the first one fills the disk cache


def energy_part(context: Context) -> dict[str, Any]:
    """What one inference with all sensors takes: CPU time, and energy, or why it is not known."""
    context.report("energy", 0, 1)
    device = context.setting.device
    arms = [*planned_arms("eager", context.bank, context.backend), *dense_arms(context.dense, device)]
    chosen = [arm for arm in arms if arm.mask == ALL and arm.name in ("eager", KINDS[0])]
    monitor = MachineMonitor.of_device(device)
    mj, cpu_ms = spent(chosen, context.inputs, monitor, block_s=context.setting.block_s)
    reading = monitor.poll(0)
    source, lacks = reading.power_source, reading.no_power and f"no counter here: {reading.no_power}"
    return {"mj": {} if lacks else mj, "cpu_ms": cpu_ms, "source": source, "lacks": lacks}


def spent(
    arms: Sequence[Arm], inputs: Sequence[ModelInput], monitor: MachineMonitor, *, block_s: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Millijoules and milliseconds of CPU time of one inference by arm, "NAME LEVEL".

    Medians of blocks, arms in turn. The joules are those of all that the counter counts: what the machine
    draws when idle is in them.
    """
    blocks: dict[str, list[tuple[float, float]]] = {}
    for arm in [*arms] * _BLOCKS:
        fed = [arm.feed(item) for item in inputs]
        began_s, before, runs = time.monotonic(), monitor.poll(0), 0
        looked_s = began_s
        while time.monotonic() - began_s < block_s:
            arm.run(fed[runs % len(fed)])
            runs += 1
            if time.monotonic() - looked_s > _LOOK_S:  # sources of power alone are added up
                monitor.poll(0)
                looked_s = time.monotonic()
        after = monitor.poll(0)
        own = (after.energy_j - before.energy_j, after.cpu_s - before.cpu_s)
        blocks.setdefault(f"{arm.name} {arm.level}", []).append((own[0] * 1e3 / runs, own[1] * 1e3 / runs))
    mj, cpu_ms = (
        {name: round(float(np.median([own[which] for own in values])), 3) for name, values in blocks.items()}
        for which in (0, 1)
    )
    return mj, cpu_ms
