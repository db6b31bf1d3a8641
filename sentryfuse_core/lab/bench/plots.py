"""Pictures of the benchmark for documents, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sentryfuse_core.errors import OutputError
from sentryfuse_core.lab.bench.accuracy_plot import accuracy_figure
from sentryfuse_core.lab.bench.mask_plots import heat_figure
from sentryfuse_core.lab.bench.study import Group

__all__ = ["write_png"]


def write_png(folder: Path, groups: Sequence[Group]) -> tuple[Path, Path]:
    """accuracy_macs.png and heat_map.png; raises OutputError where they cannot be written."""
    paths = folder / "accuracy_macs.png", folder / "heat_map.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, figure in zip(paths, (accuracy_figure(groups), heat_figure(groups)), strict=True):
            figure.savefig(path, dpi=160, facecolor="white", metadata={"Software": None})
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error
    return paths
