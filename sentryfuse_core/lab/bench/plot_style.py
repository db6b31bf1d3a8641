"""The look of the benchmark's pictures, the same as that of a run's report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from sentryfuse_core.whole_files import written_whole

__all__ = ["INK", "STYLE", "svg", "write_png"]

INK, _FAINT = "#2b3440", "#e6e9ee"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sentryfuse",  # element ids must not differ from run to run
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b5bcc6",
    "axes.titlesize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _FAINT,
    "axes.axisbelow": True,
}


def write_png(figure: Figure, path: Path, *, dpi: int = 160) -> None:
    """Raises OutputError where it cannot be written."""
    with written_whole(path, remedy="choose another place") as partial:
        figure.savefig(partial, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})


def svg(figure: Figure) -> str:
    """The figure as an SVG element to put into HTML."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
