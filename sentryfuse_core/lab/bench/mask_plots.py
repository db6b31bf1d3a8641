"""What happens mask by mask: ours minus dense as a heat map, and the units that ours keeps as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sentryfuse_core.lab.bench.accuracy_plot import broken
from sentryfuse_core.lab.bench.plot_style import INK, STYLE
from sentryfuse_core.lab.bench.records import Mask
from sentryfuse_core.lab.bench.study import DENSE, OURS, RATIOS, Group, masks_of

__all__ = ["heat_figure", "kept_figure"]

_HEAT = "RdBu"  # red below dense, blue above: apart for colour-blind readers
_HEAT_POINTS = 5.0  # the least range of colours, so that noise does not look like a loss
_PARTS = {"attend": ("groups of heads", "#0072B2"), "feed": ("blocks of channels", "#E69F00")}
_OTHER_PART = ("other units", "#7a828e")


def heat_figure(groups: Sequence[Group]) -> Figure:
    """Ours minus dense in points, mask x ratio; a row of panels for each data set, a column a backbone."""
    by_data: dict[str, list[Group]] = {}
    for group in groups:
        by_data.setdefault(group.data, []).append(group)
    tables = {group.name: _differences(group) for group in groups}
    known = [float(np.nanmax(abs(table))) for table in tables.values() if not np.isnan(table).all()]
    extent = max([_HEAT_POINTS, *known])
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        heights = [len(masks_of(own[0].modalities)) + 3.5 for own in by_data.values()] or [4]
        columns = max((len(own) for own in by_data.values()), default=1)
        figure = Figure(figsize=(3.0 + 2.8 * columns, 0.27 * sum(heights) + 0.6), layout="constrained")
        axes = figure.subplots(
            max(1, len(by_data)),
            columns + 1,
            squeeze=False,
            height_ratios=heights,
            width_ratios=[0.75, *[1.0] * columns],
        )
        shown = None
        for row, own in zip(axes, by_data.values(), strict=False):
            _dots(row[0], own[0].modalities)
            for axis in row[1:]:
                axis.set_visible(False)
            for axis, group in zip(row[1:], own, strict=False):
                axis.set_visible(True)
                shown = _heat(axis, tables[group.name], extent)
                axis.set_title(group.name)
        if shown is not None:
            bar = figure.colorbar(shown, ax=axes[:, 1:], shrink=0.6, aspect=30)
            bar.set_label("ours minus dense (points)")
        return figure


def _differences(group: Group) -> NDArray[np.float64]:
    """Points [masks, ratios], mean over shared runs; NaN where one of the two is missing."""
    table = np.full((max(1, len(masks_of(group.modalities))), len(RATIOS)), np.nan)
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
            there = name in mask
            colour, fill = (INK, INK) if there else ("#c3cad3", "none")
            axis.plot(column, row, marker="o", markersize=6, color=colour, markerfacecolor=fill)
    axis.set_xlim(-0.6, max(len(modalities), 1) - 0.4)
    axis.set_ylim(len(masks) - 0.5, -0.5)
    axis.set_xticks(range(len(modalities)), list(modalities), rotation=60, ha="left", rotation_mode="anchor")
    axis.xaxis.tick_top()
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def kept_figure(group: Group, ratio: float) -> Figure:
    """Share of its units that each layer keeps in ours, mean over runs; a row of bars for each mask."""
    masks = masks_of(group.modalities)
    shares = [_shares(group, ratio, mask) for mask in masks]
    layers = list(dict.fromkeys(layer for own in shares for layer in own))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 0.48 * max(1, len(masks)) + 2.6), layout="constrained")
        axes = figure.subplots(max(1, len(masks)), 1, sharex=True, squeeze=False).ravel()
        for axis, mask, own in zip(axes, masks, shares, strict=False):
            for place, layer in enumerate(layers):
                if layer in own:
                    axis.bar(place, 1.0, width=0.8, color="#eceff3", linewidth=0)
                    axis.bar(place, own[layer], width=0.8, color=_part(layer)[1], linewidth=0)
            axis.set_ylim(0.0, 1.0)
            axis.set_yticks([0.0, 1.0], ["0", "1"], fontsize=7)
            axis.set_ylabel(broken(mask), rotation=0, ha="right", va="center", fontsize=8)
            axis.grid(visible=False, axis="x")
            axis.tick_params(axis="x", length=0)
        axes[-1].set_xticks(range(len(layers)), layers, fontsize=8)
        axes[-1].tick_params(axis="x", rotation=90)
        figure.supylabel("share of the units that ours keeps", fontsize=9)
        axes[-1].set_xlim(-0.6, max(len(layers), 1) - 0.4)
        parts = dict(_part(layer) for layer in layers)
        if parts:
            figure.legend(
                handles=[Patch(color=colour, label=name) for name, colour in parts.items()],
                loc="outside upper center",
                ncols=3,
                frameon=False,
            )
        return figure


def _shares(group: Group, ratio: float, mask: Mask) -> dict[str, float]:
    """Kept share by layer; layers that do not run with these sensors are left out."""
    found: dict[str, list[float]] = {}
    for rows in group.rows(OURS, ratio, [mask], "test").values():
        for layer, total in rows[0].units.items():
            if layer in rows[0].kept and total:
                found.setdefault(layer, []).append(rows[0].kept[layer] / total)
    return {layer: float(np.mean(values)) for layer, values in found.items()}


def _part(layer: str) -> tuple[str, str]:
    """What the units of a layer are, and their colour."""
    return _PARTS.get(layer.rpartition(".")[2], _OTHER_PART)
