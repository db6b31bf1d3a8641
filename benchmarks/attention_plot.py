"""Draws docs/images/attention.png from the measured results: python -m benchmarks.attention_plot."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from sentryfuse_core.lab.bench.plot_style import write_png
from sentryfuse_core.lab.bench.results import FOLDER, ROOT

__all__ = ["draw"]

_DRAWN = {
    "dense, nn.MultiheadAttention": ("0.55", ":"),
    "dense, ours": ("0.15", "--"),
    "pooled 4, 4 KV groups": ("C0", "-"),
    "window 64 + pooled 16, 2 KV groups": ("C1", "-"),
    "block top-k 3 x 64, 2 KV groups": ("C2", "-"),
}


def draw(source: Path, target: Path) -> None:
    """Multiply-accumulates and median time of the whole network by tokens."""
    cost = json.loads(source.read_text(encoding="utf-8"))["raw"]["cost"]
    tokens = [int(key) for key in cost]
    labels = {"gmacs": "GMACs a forward pass", "median_ms": "median time, ms"}
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, what in zip(axes, labels, strict=True):
        for kind, (colour, style) in _DRAWN.items():
            values = [cost[str(count)][kind][what] for count in tokens]
            axis.plot(tokens, values, style, color=colour, marker=".", label=kind)
        axis.set(xscale="log", yscale="log", xlabel="tokens N", ylabel=labels[what])
        axis.set_xticks(tokens, [str(count) for count in tokens])
        axis.minorticks_off()
        axis.grid(visible=True, alpha=0.3)
    axes[0].legend(fontsize=8, frameon=False)
    write_png(figure, target, dpi=110)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()  # or --help would draw
    draw(FOLDER / "attention.json", ROOT / "docs" / "images" / "attention.png")
