"""Accuracy against MACs: ours, its rivals, small networks and dense, a panel a group or a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from sentryfuse_core.lab.bench.compare import mean_of, strongest, untrained
from sentryfuse_core.lab.bench.plot_style import STYLE
from sentryfuse_core.lab.bench.records import Mask
from sentryfuse_core.lab.bench.study import DENSE, OURS, RATIOS, Group, masks_of

__all__ = ["accuracy_figure", "mask_figure"]

_COLUMNS = 3

# The candidates of a line, of which it takes at every ratio the one that is best on validation; and its look,
# in Okabe and Ito's colours and a marker each for readers without colour.
_LINES: Mapping[str, tuple[Callable[[Group], Sequence[str]], Mapping[str, Any]]] = {
    "ours": (lambda _: [OURS], {"color": "#0072B2", "marker": "o", "linewidth": 2.4, "zorder": 5}),
    "faithful gate": (lambda _: ["faithful"], {"color": "#56B4E9", "marker": "s"}),
    "DynaBERT": (lambda _: ["dynabert"], {"color": "#009E73", "marker": "^"}),
    "MatFormer": (lambda _: ["matformer"], {"color": "#CC79A7", "marker": "D"}),
    "best refit": (lambda group: group.methods("refit"), {"color": "#E69F00", "marker": "v"}),
    "strongest untrained": (untrained, {"color": "#D55E00", "marker": "X"}),
}
_SMALL = {
    "label": "small networks, each trained",
    "color": "#5b6675",
    "marker": "P",
    "markersize": 7,
    "markerfacecolor": "white",
    "linestyle": (0, (4, 2)),
    "linewidth": 1.2,
    "zorder": 6,  # close to ours where ours is good, so it is drawn above
}
_DENSE = {
    "label": "dense",
    "color": "#000000",
    "marker": "*",
    "linestyle": "none",
    "markersize": 10,
    "zorder": 7,
}


def accuracy_figure(groups: Sequence[Group]) -> Figure:
    """Mean test accuracy over all masks against mean MACs of the whole network; a panel a group."""
    panels = [(group.name, group, masks_of(group.modalities)) for group in groups]
    return _panels(panels, "MACs of the whole network, mean over all masks", "accuracy, mean over masks (%)")


def mask_figure(group: Group) -> Figure:
    """The same for one group; a panel a mask."""
    panels = [(" +\n".join(mask), group, (mask,)) for mask in masks_of(group.modalities)]
    return _panels(panels, "MACs of the whole network with these sensors", "accuracy (%)")


def _panels(panels: Sequence[tuple[str, Group, Sequence[Mask]]], x_label: str, y_label: str) -> Figure:
    with mpl.rc_context(STYLE):
        columns = min(_COLUMNS, len(panels))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(11.0 if columns > 1 else 7.0, 2.9 * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        handles: dict[str, Any] = {}
        for axis, (title, group, masks) in zip(axes, panels, strict=False):
            _curves(axis, group, masks)
            axis.set_title(title)
            handles = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True)) | handles
        figure.legend(
            list(handles.values()), list(handles), loc="outside upper center", ncols=4, frameon=False
        )
        figure.supxlabel(x_label, fontsize=9)
        figure.supylabel(y_label, fontsize=9)
        return figure


def _curves(axis: Axes, group: Group, masks: Sequence[Mask]) -> None:
    """Every line of one panel; a method that lacks a ratio there has no point at it."""
    for label, (candidates, style) in _LINES.items():
        names = [
            (strongest(group, candidates(group), ratio, masks), ratio)
            for ratio in sorted({*RATIOS, *group.ratios(OURS)})
        ]
        points = [_point(group, name, ratio, masks) for name, ratio in names if name]
        _draw(axis, points, label=label, **{"linewidth": 1.5, "markersize": 5, **style})
    _draw(axis, [_point(group, name, 0.0, masks) for name in group.methods("small")], **_SMALL)
    if dense := _point(group, DENSE, 0.0, masks):
        axis.axhline(dense[1], color="#000000", linewidth=0.8, linestyle=(0, (1, 3)))
        _draw(axis, [dense], **_DENSE)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(_ticks(*axis.get_xlim()))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(EngFormatter())
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6))


def _ticks(low: float, high: float) -> LogLocator | MaxNLocator:
    """Ticks at 1, 2 and 5 of every decade, and evenly where fewer than two of them are in view."""
    decades = LogLocator(subs=(1.0, 2.0, 5.0), numticks=20)
    shown = sum(low <= tick <= high for tick in decades.tick_values(low, high))
    return decades if shown > 1 else MaxNLocator(nbins=5)


def _draw(axis: Axes, points: Sequence[tuple[float, float] | None], **style: Any) -> None:
    if known := sorted(point for point in points if point):
        axis.plot(*zip(*known, strict=True), **style)


def _point(group: Group, method: str, ratio: float, masks: Sequence[Mask]) -> tuple[float, float] | None:
    """Mean MACs and accuracy over runs."""
    scores = group.scores(method, ratio, masks, "test")
    return (
        (mean_of(group.scores(method, ratio, masks, "test", of="macs")), mean_of(scores)) if scores else None
    )
