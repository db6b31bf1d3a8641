"""What is measured on whole processes: replay, the start of the node; and energy, where it can be."""

from __future__ import annotations

from typing import Any

from sentryfuse_core.errors import BenchError, ReadingError
from sentryfuse_core.lab.bench.runtime.arms import ALL, dense_arms, planned_arms
from sentryfuse_core.lab.bench.runtime.context import Context, steps
from sentryfuse_core.lab.bench.runtime.dense import KINDS
from sentryfuse_core.lab.bench.runtime.energy import energy_mj
from sentryfuse_core.lab.bench.runtime.recording import replay_speed
from sentryfuse_core.lab.bench.runtime.start import node_starts
from sentryfuse_core.machine.monitor import SYSFS
from sentryfuse_core.machine.rapl import RaplPower

__all__ = ["energy_part", "replay_part", "start_part"]


def replay_part(context: Context) -> list[dict[str, Any]]:
    """Speed at full width and at the narrowest level."""
    levels = sorted({0, len(context.levels) - 1})
    found = []
    with steps(context, "replay", len(levels)) as step:
        for level in levels:
            settings = (
                f"budget.level={level}",
                "model.backend=eager",  # as all else here; auto depends on what is built on this machine
                f"model.device={context.setting.device}",
                f"model.threads={context.setting.threads}",
                f"model.checkpoint={context.setting.checkpoint}",
            )
            out = context.folder / f"replay_{level}"
            found.append({"level": level, **replay_speed(context.bag, out, settings=settings)})
            step()
    return found


def start_part(context: Context) -> dict[str, Any]:
    """Every start of the node with a warm disk cache; or what it lacks."""
    if not context.setting.starts:
        return {"starts": [], "lacks": "not asked for"}
    context.report("node start", 0, 1)
    try:
        starts = node_starts(
            context.bag,
            starts=context.setting.starts + 1,  # the first one fills the disk cache
            threads=context.setting.threads,
            checkpoint=context.setting.checkpoint,
            device=context.setting.device,
        )
    except BenchError as error:
        return {"starts": [], "lacks": str(error)}
    return {"starts": starts[1:], "lacks": ""}


def energy_part(context: Context) -> dict[str, Any]:
    """Millijoules of one inference with all sensors; or what it lacks."""
    try:
        counter = RaplPower(SYSFS)
        context.report("energy", 0, 1)
        arms = planned_arms("eager", context.bank, context.backend)
        arms += dense_arms(context.dense, context.setting.device)
        chosen = [arm for arm in arms if arm.mask == ALL and arm.name in ("eager", KINDS[0])]
        return {"mj": energy_mj(chosen, context.inputs, counter), "lacks": ""}
    except ReadingError as error:
        return {"mj": {}, "lacks": f"no counter here: {error}"}
