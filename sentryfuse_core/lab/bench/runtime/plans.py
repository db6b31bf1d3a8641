"""What plans cost on this machine: a table of sets of sensors and levels, and a model by parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import nnls

from sentryfuse_core.lab.bench.runtime.arms import ALL
from sentryfuse_core.lab.bench.runtime.dense import KINDS
from sentryfuse_core.lab.bench.runtime.plot import Accuracy
from sentryfuse_core.types import ModalitySet

__all__ = ["cost_model", "plan_table"]


def plan_table(latency: Mapping[str, Any], accuracy: Accuracy) -> list[str]:
    """Lines: sensors, level, mAP of the evaluation, and median ms in every backend that was timed.

    `latency` is what `measure` found. In brackets how many times as fast that is as dense attention in eager
    with all sensors.
    """
    rows = {(row["name"], row["mask"], row["level"]): row["ms"]["p50"] for row in latency["arms"]}
    dense_ms = min(ms for (name, mask, _), ms in rows.items() if name in KINDS and mask == ALL.bits)
    backends = list(dict.fromkeys(name for name, _, _ in rows if not name.startswith(KINDS[0])))
    plans = sorted({(mask, level) for name, mask, level in rows if name in backends})
    lines = [f"{'sensors':<24} level    mAP  " + "".join(f"{name:>20}" for name in backends)]
    for mask, level in plans:
        worth = accuracy.get((mask, level))
        told = "-" if worth is None else f"{100 * worth:.1f}"
        times = [rows.get((name, mask, level)) for name in backends]
        cells = ["-" if ms is None else f"{ms:.1f} ms ({dense_ms / ms:.2f}x)" for ms in times]
        cells = [f"{cell:>20}" for cell in cells]
        lines.append(f"{ModalitySet(mask)!s:<24} {level:>5} {told:>6}  " + "".join(cells))
    return lines


def cost_model(latency: Mapping[str, Any], backend: str) -> tuple[Mapping[str, float], float]:
    """Milliseconds that are spent whatever runs ("fixed") and on each part; median error in per cent.

    Non-negative least squares over the median of every plan that was timed. `camera2` is the camera at its
    level 2, `camera2_tilted` the same with the tilt by the IMU, `fuse1_head0` the trunk at 1, the head at 0.
    """
    rows = [row for row in latency["arms"] if row["name"] == backend and row.get("parts")]
    names = ["fixed", *sorted({part for row in rows for part in row["parts"]})]
    runs = np.array([[name == "fixed" or name in row["parts"] for name in names] for row in rows], float)
    took_ms = np.array([row["ms"]["p50"] for row in rows])
    found, _ = nnls(runs, took_ms)
    error = float(np.median(np.abs(runs @ found - took_ms) / took_ms))
    return dict(zip(names, np.round(found, 3).tolist(), strict=True)), round(100 * error, 2)
