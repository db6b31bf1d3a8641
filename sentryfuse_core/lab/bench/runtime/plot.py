"""The accuracy-latency front: every sub-network's mAP in the evaluation against its measured latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from sentryfuse_core.lab.bench.plot_style import INK, STYLE
from sentryfuse_core.lab.bench.runtime.arms import ALL, NO_CAMERA
from sentryfuse_core.lab.bench.runtime.dense import KINDS
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["Accuracy", "front", "front_figure"]

Accuracy = Mapping[tuple[int, int], float]  # mAP, 0..1, by (mask bits, level)
Point = tuple[float, float]  # ms, mAP in per cent

# Okabe and Ito's colours, and a marker each for readers without colour.
_LINES: Mapping[ModalitySet, Mapping[str, Any]] = {
    ALL: {"color": "#0072B2", "marker": "o"},
    NO_CAMERA: {"color": "#009E73", "marker": "^"},
    ALL - ModalitySet.of(Modality.LIDAR): {"color": "#D55E00", "marker": "s"},
    ModalitySet.of(Modality.LIDAR): {"color": "#CC79A7", "marker": "v"},
    ModalitySet.of(Modality.CAMERA): {"color": "#E69F00", "marker": "D"},
}


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both, by rising latency."""
    best: list[Point] = []
    for point in sorted(points, key=lambda item: (item[0], -item[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best


def front_figure(raw: Mapping[str, Any], accuracy: Accuracy) -> Figure:
    """Sub-networks as points, levels of the sets that matter most joined, dense attention as a line."""
    arms = raw["latency"]["arms"]
    points = {
        (row["mask"], row["level"]): (row["ms"]["p50"], 100 * accuracy[row["mask"], row["level"]])
        for row in arms
        if row["name"] == "eager" and (row["mask"], row["level"]) in accuracy
    }
    dense_ms = min(row["ms"]["p50"] for row in arms if row["name"] in KINDS and row["mask"] == ALL.bits)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.0, 5.0), layout="constrained")
        axis = figure.subplots()
        best, every = _columns(front(list(points.values()))), _columns(list(points.values()))
        axis.step(*best, where="post", color="#c9ced6", linewidth=4, zorder=1, label="front")
        label = "every set of sensors and level"
        axis.plot(*every, "o", color="#9aa3af", markersize=4, zorder=2, label=label)
        for mask, style in _LINES.items():
            line = [point for (bits, _), point in sorted(points.items()) if bits == mask.bits]
            axis.plot(*_columns(line), linewidth=1.8, markersize=6, zorder=3, label=_short(mask), **style)
        axis.axvline(dense_ms, color=INK, linestyle=(0, (4, 2)), linewidth=1.2, zorder=1)
        axis.annotate(
            "dense attention, unpruned, all sensors",
            (dense_ms, 0.5),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            rotation=90,
            va="center",
            fontsize=8,
        )
        axis.set_xlim(0, 1.08 * max(dense_ms, *(ms for ms, _ in points.values())))
        axis.set_ylim(bottom=0)
        axis.set_xlabel(f"median latency of the network, ms ({raw['device']}, threads: {raw['threads']})")
        axis.set_ylabel("mAP in the evaluation (%)")
        figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=4)
    return figure


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _short(mask: ModalitySet) -> str:
    if mask == ALL:
        return "all sensors"
    missing = ALL - mask
    return f"without {missing}" if len(missing) == 1 else f"{mask} alone"
