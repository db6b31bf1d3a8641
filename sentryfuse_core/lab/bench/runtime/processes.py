"""What is measured on whole processes: replay, the start of the node; and energy, where it can be."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sentryfuse_core.errors import BenchError, ReadingError
from sentryfuse_core.lab.bench.runtime.arms import ALL, Arm, dense_arms, planned_arms
from sentryfuse_core.lab.bench.runtime.context import Context, Setting, steps
from sentryfuse_core.lab.bench.runtime.dense import KINDS
from sentryfuse_core.lab.bench.runtime.recording import run_cli, run_module
from sentryfuse_core.machine.monitor import SYSFS
from sentryfuse_core.machine.rapl import RaplPower
from sentryfuse_core.preprocess.tensors import ModelInput

__all__ = ["energy_part", "replay_part", "start_part"]

_BLOCK_S = 1.0  # the energy counter moves every millisecond or so
_BLOCKS = 5


def replay_part(context: Context) -> list[dict[str, Any]]:
    """Speed at full width and at the narrowest level."""
    levels = sorted({0, len(context.levels) - 1})
    found = []
    with steps(context, "replay", len(levels)) as step:
        for level in levels:
            settings = {
                "budget.level": level,
                "model.backend": "eager",  # as all else here; auto depends on what is built on this machine
                "model.device": context.setting.device,
                "model.threads": context.setting.threads,
                "model.checkpoint": context.setting.checkpoint,
            }
            out = context.folder / f"replay_{level}"
            found.append({"level": level, **replay_speed(context.bag, out, settings)})
            step()
    return found


def replay_speed(bag: Path, out: Path, settings: Mapping[str, object]) -> dict[str, Any]:
    """Replay in a process of its own; how many times as fast as real time, with and without its start."""
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    began_s = time.perf_counter()
    run_cli("replay", str(bag), "--out", str(out), "--quiet", *options)
    process_s = time.perf_counter() - began_s
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return {
        "played_s": metrics["played_s"],
        "run_s": metrics["wall_s"],
        "process_s": round(process_s, 3),
        "run_speed": metrics["real_time_factor"],
        "process_speed": round(metrics["played_s"] / process_s, 3),
        "sets": metrics["sets"],
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
    """Millijoules of one inference with all sensors; or what it lacks."""
    try:
        counter = RaplPower(SYSFS)
        context.report("energy", 0, 1)
        arms = planned_arms("eager", context.bank, context.backend)
        arms += dense_arms(context.dense, context.setting.device)
        chosen = [arm for arm in arms if arm.mask == ALL and arm.name in ("eager", KINDS[0])]
        return {"mj": _energy_mj(chosen, context.inputs, counter), "lacks": ""}
    except ReadingError as error:
        return {"mj": {}, "lacks": f"no counter here: {error}"}


def _energy_mj(arms: Sequence[Arm], inputs: Sequence[ModelInput], counter: RaplPower) -> Mapping[str, float]:
    """Millijoules of one inference by arm, "NAME LEVEL": medians of blocks of a second, arms in turn.

    They are those of whole processor packages: what the machine draws when idle is in them.
    """
    blocks: dict[str, list[float]] = {}
    for arm in [*arms] * _BLOCKS:
        fed = [arm.feed(item) for item in inputs]
        began_ns, runs = time.monotonic_ns(), 0
        counter.power_w(began_ns)
        while time.monotonic_ns() - began_ns < _BLOCK_S * 1e9:
            arm.run(fed[runs % len(fed)])
            runs += 1
        ended_ns = time.monotonic_ns()
        spent_mj = counter.power_w(ended_ns) * (ended_ns - began_ns) / 1e6
        blocks.setdefault(f"{arm.name} {arm.level}", []).append(spent_mj / runs)
    return {name: round(float(np.median(values)), 3) for name, values in blocks.items()}
