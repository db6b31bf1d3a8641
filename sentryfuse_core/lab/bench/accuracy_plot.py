"""Accuracy against MACs: ours, its rivals, small networks and dense, a panel a group or a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from sentryfuse_core.lab.bench.compare import strongest, untrained
from sentryfuse_core.lab.bench.plot_style import STYLE
from sentryfuse_core.lab.bench.records import Mask
from sentryfuse_core.lab.bench.study import DENSE, OURS, RATIOS, Group, masks_of

__all__ = ["accuracy_figure", "broken", "mask_figure"]

_COLUMNS = 3

# What a line is drawn from: the method of a group at a ratio and masks.
_Choice = Callable[[Group, float, Sequence[Mask]], "str | None"]


@dataclass(frozen=True)
class _Line:
    """A line of the accuracy plots; Okabe and Ito's colours, and a marker each for readers without colour."""

    label: str
    choose: _Choice
    style: Mapping[str, Any]


def _always(method: str) -> _Choice:
    return lambda group, _ratio, _masks: method if method in group.kinds else None


def _refit(group: Group, ratio: float, masks: Sequence[Mask]) -> str | None:
    return strongest(group, group.methods("refit"), ratio, masks)


def _zero_shot(group: Group, ratio: float, masks: Sequence[Mask]) -> str | None:
    return strongest(group, untrained(group), ratio, masks)


_LINES = (
    _Line("ours", _always(OURS), {"color": "#0072B2", "marker": "o", "linewidth": 2.4, "zorder": 5}),
    _Line("faithful gate", _always("faithful"), {"color": "#56B4E9", "marker": "s"}),
    _Line("DynaBERT", _always("dynabert"), {"color": "#009E73", "marker": "^"}),
    _Line("MatFormer", _always("matformer"), {"color": "#CC79A7", "marker": "D"}),
    _Line("best refit", _refit, {"color": "#E69F00", "marker": "v"}),
    _Line("strongest untrained", _zero_shot, {"color": "#D55E00", "marker": "X"}),
)
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
    return _panels(
        [(group.name, group, masks_of(group.modalities)) for group in groups],
        x_label="MACs of the whole network, mean over all masks",
        y_label="accuracy, mean over masks (%)",
    )


def mask_figure(group: Group) -> Figure:
    """The same for one group; a panel a mask."""
    return _panels(
        [(broken(mask), group, (mask,)) for mask in masks_of(group.modalities)],
        x_label="MACs of the whole network with these sensors",
        y_label="accuracy (%)",
    )


def broken(mask: Mask) -> str:
    """A mask's names, in lines of two."""
    lines = [" + ".join(mask[start : start + 2]) for start in range(0, len(mask), 2)]
    return " +\n".join(lines)


def _panels(panels: Sequence[tuple[str, Group, Sequence[Mask]]], *, x_label: str, y_label: str) -> Figure:
    with mpl.rc_context(STYLE):
        columns = min(_COLUMNS, max(1, len(panels)))
        rows = max(1, -(-len(panels) // columns))
        width = 11.0 if columns > 1 else 7.0
        figure = Figure(figsize=(width, 2.9 * rows + 0.9), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis, (title, group, masks) in zip(axes, panels, strict=False):
            _curves(axis, group, masks)
            axis.set_title(title)
        handles: dict[str, Any] = {}
        for axis in axes[: len(panels)]:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        if handles:
            figure.legend(
                list(handles.values()), list(handles), loc="outside upper center", ncols=4, frameon=False
            )
        figure.supxlabel(x_label, fontsize=9)
        figure.supylabel(y_label, fontsize=9)
        return figure


def _curves(axis: Axes, group: Group, masks: Sequence[Mask]) -> None:
    """Every line of one panel; a method that lacks a ratio there has no point at it."""
    for line in _LINES:
        points = []
        for ratio in _ratios(group, masks):
            method = line.choose(group, ratio, masks)
            if method is not None and (point := _point(group, method, ratio, masks)):
                points.append(point)
        _draw(axis, points, markersize=5, label=line.label, **line.style)
    small = [_point(group, method, 0.0, masks) for method in group.methods("small")]
    _draw(axis, [point for point in small if point], **_SMALL)
    dense = _point(group, DENSE, 0.0, masks)
    if dense:
        axis.axhline(dense[1], color="#000000", linewidth=0.8, linestyle=(0, (1, 3)))
        _draw(axis, [dense], **_DENSE)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(_Ticks(nbins=5))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: _macs(value)))
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6))


class _Ticks(MaxNLocator):
    """Ticks at 1, 2 and 5 of every decade in view, and more where fewer than two of them are in view."""

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Ticks from vmin to vmax."""
        low, high = max(vmin, 1.0), max(vmax, 1.0)
        decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        for steps in ((1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)):
            ticks = [step * 10.0**decade for decade in decades for step in steps]
            if sum(low <= tick <= high for tick in ticks) > 1:
                return ticks
        return [float(tick) for tick in super().tick_values(low, high)]


def _draw(axis: Axes, points: Sequence[tuple[float, float]], **style: Any) -> None:
    if points:
        macs, accuracies = zip(*sorted(points), strict=True)
        axis.plot(macs, accuracies, **{"linewidth": 1.5, **style})


def _ratios(group: Group, masks: Sequence[Mask]) -> list[float]:
    """The benchmark's ratios, and others at which ours was run with these masks."""
    return [
        ratio
        for ratio in sorted({0.0, *RATIOS, *group.ratios(OURS)})
        if ratio in RATIOS or group.scores(OURS, ratio, masks, "test")
    ]


def _point(group: Group, method: str, ratio: float, masks: Sequence[Mask]) -> tuple[float, float] | None:
    """Mean MACs and accuracy over runs."""
    scores, macs = group.scores(method, ratio, masks, "test"), group.macs(method, ratio, masks)
    if not scores:
        return None
    return float(np.mean(list(macs.values()))), float(np.mean(list(scores.values())))


def _macs(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"
