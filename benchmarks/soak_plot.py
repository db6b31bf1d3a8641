"""A soak as a picture: memory, threads and files of the node, the sensors in use and the level, over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.soak_judge import Sample, Seen
from sentryfuse_core.replay.scenario import Scenario
from sentryfuse_core.types import Modality

__all__ = ["draw"]


def draw(path: Path, scenario: Scenario, samples: Sequence[Sample], seen: Sequence[Seen]) -> None:
    """Write a PNG."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (memory, counts, sensors, level) = plt.subplots(
        4, 1, figsize=(11, 8), sharex=True, height_ratios=(2, 1, 2, 1), layout="constrained"
    )
    minutes = np.array([item.at_s for item in samples]) / 60.0
    memory.plot(minutes, [item.rss_mb for item in samples], color="tab:blue")
    memory.set(ylabel="resident memory, MB", title="The fusion node under random faults and budgets")
    counts.plot(minutes, [item.threads for item in samples], label="threads")
    counts.plot(minutes, [item.files for item in samples], label="open files")
    counts.legend(loc="center right")
    at = np.array([item.at_s for item in seen]) / 60.0
    for row, modality in enumerate(Modality):
        used = np.array([modality.value in item.used for item in seen])
        sensors.scatter(at[used], np.full(used.sum(), row), s=2, color="tab:green")
        sensors.scatter(at[~used], np.full((~used).sum(), row), s=2, color="tab:red")
        for event in scenario.events:
            if event.stream == modality.value:
                sensors.plot([event.at_s / 60.0, event.until_s / 60.0], [row + 0.3] * 2, "k-", lw=2)
    sensors.set_yticks(range(len(Modality)), [modality.value for modality in Modality])
    sensors.set(ylabel="in use (green)\nfaults (black)")
    level.step(at, [item.level for item in seen], where="post")
    level.set(ylabel="level", xlabel="minutes", yticks=sorted({item.level for item in seen}))
    figure.savefig(path, dpi=110)
    plt.close(figure)
