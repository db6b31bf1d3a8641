"""The policies as a picture: mAP over MACs, with all sensors and over all sets that see."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sentryfuse_core.lab.bench.plot_style import STYLE
from sentryfuse_core.lab.commands.eval_policy_figures import PolicyStudy
from sentryfuse_core.lab.training.policies import ORACLE, PRESENCE, QUALITY, UNIFORM
from sentryfuse_core.types import ModalitySet

__all__ = ["policies_figure"]

_LOOKS = {
    UNIFORM: ("#8b95a3", "o"),
    PRESENCE: ("#2f7ed8", "s"),
    QUALITY: ("#d1495b", "D"),
    ORACLE: ("#2b3440", "*"),
}
_SIZES = {PRESENCE: 9, ORACLE: 9}  # presence is seen around what lies on it


def policies_figure(studies: Sequence[PolicyStudy]) -> Figure:
    """A row for each kind of frames; bars are 95 per cent intervals over frames."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 1.0 + 2.9 * len(studies)), layout="constrained")
        grid = figure.subplots(len(studies), 2, squeeze=False)
        for row, study in zip(grid, studies, strict=True):
            sets = len(study.rows(study.keys[0]))
            titles = {study.sensors: "all sensors", None: f"mean of {sets} sets"}
            for axis, (present, title) in zip(row, titles.items(), strict=True):
                _draw(axis, study, present)
                axis.set_title(f"{title}, frames {study.kind}")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
        return figure


def _draw(axis: Axes, study: PolicyStudy, present: ModalitySet | None) -> None:
    for policy, (colour, marker) in _LOOKS.items():
        keys = sorted((key for key in study.keys if key[0] == policy), key=lambda k: study.gmacs(k, present))
        gmacs = [study.gmacs(key, present) for key in keys]
        found = [study.map(key, present) for key in keys]
        ends = [[one.value - one.low for one in found], [one.high - one.value for one in found]]
        axis.errorbar(
            gmacs,
            [one.value for one in found],
            yerr=[[max(0.0, end) for end in side] for side in ends],
            color=colour,
            marker=marker,
            markersize=_SIZES.get(policy, 5),
            markerfacecolor="white" if policy == PRESENCE else colour,
            linewidth=1.2,
            elinewidth=0.6,
            label=policy,
        )
    axis.set_xlabel("GMACs, mean over frames")
    axis.set_ylabel("mAP, %")
