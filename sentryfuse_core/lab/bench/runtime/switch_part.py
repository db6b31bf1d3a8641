"""What switching costs: the look-up, the first inference and its result, and sets in a row."""

from __future__ import annotations

from typing import Any

import numpy as np

from sentryfuse_core.lab.bench.runtime.context import Context, interval_mapping, steps
from sentryfuse_core.lab.bench.runtime.latency import percentiles, ratio_of_medians
from sentryfuse_core.lab.bench.runtime.pace import late_sets, pace
from sentryfuse_core.lab.bench.runtime.place import undisturbed
from sentryfuse_core.lab.bench.runtime.setting import Setting
from sentryfuse_core.lab.bench.runtime.switch import first_runs, identical_outputs, look_up_us
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.load import load_bank, make_backend

__all__ = ["pace_part", "switch_part"]

_PERIODS_MS = (100.0, 1e3 / 30)  # of the lidar, which anchors sets, and of a camera


def switch_part(context: Context) -> dict[str, Any]:
    """Look-ups, first inferences against steady ones, and outputs against a fresh build's."""
    setting = context.setting
    with undisturbed():
        look_up = look_up_us(context.bank, setting.switches)
        with steps(context, "first inference after a switch", setting.visits) as step:
            first = first_runs(
                context.bank,
                context.backend,
                context.inputs,
                visits=setting.visits,
                device=setting.device,
                on_visit=step,
            )
    context.report("outputs after a switch", 0, 1)
    same, total = identical_outputs(context.bank, context.backend, lambda: _fresh(setting), context.inputs[0])
    median = ratio_of_medians(first.ratios, np.ones_like(first.ratios))
    return {
        "look_up_us": percentiles(look_up),
        "first": {**interval_mapping(median), **percentiles(first.ratios)},
        "identical": {"same": same, "of": total},
    }


def _fresh(setting: Setting) -> tuple[Bank, Backend]:
    bank = load_bank(setting.model())
    return bank, make_backend(bank, setting.model())


def pace_part(context: Context) -> dict[str, Any]:
    """What happened to sets with a switch before each, and to the same ones without."""
    setting = context.setting
    with steps(context, "sets with a switch before each", 2 * setting.switches) as step, undisturbed():
        paced = pace(context.heard, setting.model(), switches=setting.switches, on_set=step)
    return {
        "sets": setting.switches,
        "lost": paced.lost,
        "grouped_lost": paced.grouped_lost,
        "switch_us": percentiles(paced.switch_us),
        "switched_ms": percentiles(paced.switched_ms),
        "grouped_ms": percentiles(paced.grouped_ms),
        "late": [
            {
                "period_ms": round(period_ms, 3),
                "switched": late_sets(paced.switched_ms, period_ms=period_ms),
                "grouped": late_sets(paced.grouped_ms, period_ms=period_ms),
            }
            for period_ms in _PERIODS_MS
        ],
    }
