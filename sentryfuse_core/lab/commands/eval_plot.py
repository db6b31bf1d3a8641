"""The dropout matrix as a picture: mAP and calibration error, sets of sensors by levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sentryfuse_core.lab.bench.plot_style import INK, STYLE
from sentryfuse_core.lab.scoring.matrix import Cell
from sentryfuse_core.types import ModalitySet

__all__ = ["dropout_figure", "heat"]

_ROW_INCHES, _COLUMN_INCHES = 0.3, 0.62


def dropout_figure(cells: Mapping[tuple[str, int], Cell]) -> Figure:
    """Per cent, a row for every set of sensors, best first; '-' where nothing was measured."""
    sets = {str(mask) for mask in (ModalitySet(), *ModalitySet.subsets())}
    cells = {key: cell for key, cell in cells.items() if key[0] in sets}
    levels = sorted({level for _, level in cells})

    def percent(name: str, value: Callable[[Cell], float]) -> list[float]:
        own = (cells.get((name, level)) for level in levels)
        return [100 * (math.nan if cell is None else value(cell)) for cell in own]

    def worth(name: str) -> float:
        cell = cells.get((name, levels[0]))
        return math.inf if cell is None else -cell.metrics.map

    names = sorted({name for name, _ in cells}, key=worth)
    maps = np.array([percent(name, lambda cell: cell.metrics.map) for name in names])
    errors = np.array([percent(name, _error) for name in names])
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        size = (3.4 + 2 * _COLUMN_INCHES * len(levels), 1.2 + _ROW_INCHES * len(names))
        figure = Figure(figsize=size, layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        heat(left, maps, levels, "viridis", largest=100.0)
        heat(right, errors, levels, "magma_r", largest=max(10.0, float(np.nanmax([0.0, *errors.flat]))))
        left.set_yticks(range(len(names)), names)
        for axis in (left, right):
            axis.set_xlabel("pruning level")
        left.set_title("mAP, %")
        right.set_title("calibration error, %")
        return figure


def heat(
    axis: Axes,
    table: NDArray[np.float64],
    columns: Sequence[object],
    colours: str,
    *,
    largest: float,
    least: float = 0.0,
) -> None:
    """A table [rows, columns] as a picture with its numbers; NaN is a dash. Rows are named by the caller."""
    shown = axis.imshow(table, cmap=colours, vmin=least, vmax=largest, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        text = "-" if np.isnan(value) else f"{value:.1f}"
        red, green, blue, _ = shown.cmap(shown.norm(value)) if not np.isnan(value) else (1.0, 1.0, 1.0, 1.0)
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        axis.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
    axis.set_xticks(range(len(columns)), [str(column) for column in columns])
    axis.tick_params(length=0)


def _error(cell: Cell) -> float:
    """After calibration; of raw scores where none was fitted."""
    found = cell.after or cell.before
    return math.nan if found is None else found.error
