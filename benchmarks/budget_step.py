"""Draws docs/images/budget_step.png, a simulated step load (python -m benchmarks.budget_step)."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks._budget import PERIOD_NS, Simulation
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.lab.bench.plot_style import STYLE, write_png
from sentryfuse_core.lab.bench.results import ROOT

__all__ = ["draw", "story"]

TIMES_MS = (20.0, 12.0, 8.0)
LIMIT_MS = 25.0
SETS = 400
LOADED = range(150, 250)
ODD = 60  # one set that is held up


def story() -> Simulation:
    """Forty seconds at 10 Hz: one odd set, then a machine that is twice as slow for ten seconds."""
    noise = np.random.default_rng(1).normal(1.0, 0.02, SETS)

    def load(index: int) -> float:
        return noise[index] * (3.0 if index == ODD else 2.0 if index in LOADED else 1.0)

    return Simulation(TIMES_MS, LIMIT_MS).run(SETS, load)


def draw(simulation: Simulation, target: Path) -> None:
    """Time of every inference against the deadline, and the level below it."""
    at_s = np.arange(len(simulation.levels)) * PERIOD_NS / NS_PER_S
    times_ms = np.array(simulation.times_ms)
    missed = times_ms > simulation.limit_ms
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.axvspan(at_s[LOADED.start], at_s[LOADED.stop], color="0.85", label="machine twice as slow")
        upper.plot(at_s, times_ms, ".", color="C0", markersize=4, label="in time")
        upper.plot(at_s[missed], times_ms[missed], "x", color="C3", label=f"missed ({missed.sum()})")
        upper.axhline(
            simulation.limit_ms, color="0.3", linestyle="--", linewidth=1, label="budget.latency_ms"
        )
        upper.set(ylabel="inference, ms", ylim=(0, None))
        upper.legend(frameon=False, ncols=2)
        lower.step(at_s, simulation.levels, where="post", color="C0")
        lower.set(
            xlabel="time, s", ylabel="level", yticks=range(len(TIMES_MS)), ylim=(len(TIMES_MS) - 0.7, -0.3)
        )
        write_png(figure, target, dpi=110)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()  # or --help would draw
    draw(story(), ROOT / "docs" / "images" / "budget_step.png")
