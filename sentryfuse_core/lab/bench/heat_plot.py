"""Ours minus dense, mask by mask and ratio by ratio, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sentryfuse_core.lab.bench.plot_style import INK, STYLE
from sentryfuse_core.lab.bench.records import Mask
from sentryfuse_core.lab.bench.study import DENSE, OURS, RATIOS, Group, masks_of

__all__ = ["heat_figure"]

_HEAT = "RdBu"  # red below dense, blue above: apart for colour-blind readers
_HEAT_POINTS = 5.0  # the least range of colours, so that noise does not look like a loss


def heat_figure(groups: Sequence[Group]) -> Figure:
    """Ours minus dense in points, mask x ratio; a row of panels for each data set, a column a backbone."""
    by_data: dict[str, list[Group]] = {}
    for group in groups:
        by_data.setdefault(group.data, []).append(group)
    tables = {group.name: _differences(group) for group in groups}
    extent = max([_HEAT_POINTS, *(abs(value) for table in tables.values() for value in table.flat)])
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        heights = [len(masks_of(own[0].modalities)) + 3.5 for own in by_data.values()]
        columns = max(len(own) for own in by_data.values())
        figure = Figure(figsize=(3.0 + 2.8 * columns, 0.27 * sum(heights) + 0.6), layout="constrained")
        axes = figure.subplots(
            len(by_data),
            columns + 1,
            squeeze=False,
            height_ratios=heights,
            width_ratios=[0.75, *[1.0] * columns],
        )
        for row, own in zip(axes, by_data.values(), strict=True):
            _dots(row[0], own[0].modalities)
            for axis in row[1 + len(own) :]:
                axis.set_visible(False)
            for axis, group in zip(row[1:], own, strict=False):
                shown = _heat(axis, tables[group.name], extent)
                axis.set_title(group.name)
        bar = figure.colorbar(shown, ax=axes[:, 1:], shrink=0.6, aspect=30)
        bar.set_label("ours minus dense (points)")
        return figure


def _differences(group: Group) -> NDArray[np.float64]:
    """Points [masks, ratios], mean over shared runs; NaN where one of the two is missing."""
    table = np.full((len(masks_of(group.modalities)), len(RATIOS)), np.nan)
    for row, mask in enumerate(masks_of(group.modalities)):
        dense = group.scores(DENSE, 0.0, [mask], "test")
        for column, ratio in enumerate(RATIOS):
            ours = group.scores(OURS, ratio, [mask], "test")
            if runs := ours.keys() & dense.keys():
                table[row, column] = np.mean([ours[run] - dense[run] for run in runs])
    return table


def _heat(axis: Axes, table: NDArray[np.float64], extent: float) -> Any:
    image = axis.imshow(table, cmap=_HEAT, vmin=-extent, vmax=extent, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        text = "?" if np.isnan(value) else f"{round(value, 1) + 0.0:+.1f}"  # never -0.0
        colour = "white" if abs(value) > 0.62 * extent else INK
        axis.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(len(RATIOS)), [f"{ratio:g}" for ratio in RATIOS])
    axis.set_yticks([])
    axis.set_xlabel("ratio r")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return image


def _dots(axis: Axes, modalities: Mask) -> None:
    """Which sensors a row of the heat map has: a filled dot for each."""
    masks = masks_of(modalities)
    for row, mask in enumerate(masks):
        for column, name in enumerate(modalities):
            colour, fill = (INK, INK) if name in mask else ("#c3cad3", "none")
            axis.plot(column, row, marker="o", markersize=6, color=colour, markerfacecolor=fill)
    axis.set_xlim(-0.6, len(modalities) - 0.4)
    axis.set_ylim(len(masks) - 0.5, -0.5)
    axis.set_xticks(range(len(modalities)), list(modalities), rotation=60, ha="left", rotation_mode="anchor")
    axis.xaxis.tick_top()
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
