"""Whole steps all around against the front alone, one camera and lidar: python -m benchmarks.around_step."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks._ends import above_zero, ended
from sentryfuse_core.config import Config, override
from sentryfuse_core.lab.bench.results import Figure, at_most, text_table, write
from sentryfuse_core.lab.bench.runtime.recording import Heard, hear, record
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.types import SyncedSet

SECTORS = ("front", "all_around")
FIRST = 2  # of the sets that are not timed


def main() -> int:
    """Measure, print, write benchmarks/results/around_step.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=above_zero, default=6.0, help="of a recorded drive (default %(default)s)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        heard = hear(record(Path(folder), seconds=args.seconds))
    took = {name: np.array(times) for name, times in timed(heard).items()}
    front, around = (took[name] for name in SECTORS)
    rows = [
        _noted(at_most("all around: whole step, p95", float(np.quantile(around, 0.95)), "ms", 60.0)),
        _noted(at_most("the front alone: whole step, p95", float(np.quantile(front, 0.95)), "ms")),
        at_most("whole step, median, against the front alone", float(np.median(around / front)), "x"),
    ]
    path = write("around_step", rows, raw={name: times.tolist() for name, times in took.items()})
    print(f"{text_table(rows)}\n{path}")
    return 0


def timed(heard: Heard) -> dict[str, list[float]]:
    """Processor milliseconds of each step by the sectors asked for, over the same sets in turn."""
    steps: dict[str, Callable[[SyncedSet], object]] = {}
    for sectors in SECTORS:
        pipeline = Pipeline.build(override(Config(), {"output.sectors": sectors}), clock=heard.clock)
        pipeline.ingest = heard.ingest
        steps[sectors] = pipeline.step
    took: dict[str, list[float]] = {name: [] for name in steps}
    for index, synced in enumerate(heard.sets):
        for name, step in steps.items():
            began_s = time.process_time()
            step(synced)
            if index >= FIRST:
                took[name].append(1e3 * (time.process_time() - began_s))
    return took


def _noted(figure: Figure) -> Figure:
    return replace(figure, notes=("processor time of one thread, without DDS",))


if __name__ == "__main__":
    raise SystemExit(ended(main))
