"""The look of the workshop's pictures, that of a run's report, and how they are written."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from sentryfuse_core.replay.plots import STYLE as RUN_STYLE
from sentryfuse_core.whole_files import written_whole

__all__ = ["INK", "STYLE", "svg", "write_png"]

INK = RUN_STYLE["text.color"]
STYLE = {**RUN_STYLE, "axes.titlesize": 10}


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
