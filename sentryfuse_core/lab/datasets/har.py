"""Reads the phone and watch inertial recordings of the SP-SW-HAR data set from its zip file.

M. Matey-Sanz et al., Data in Brief 2023, 109809. Each file DATA/sXX/sXX_YY_{sp|sw}.csv is one person's run
with a phone (sp) or a watch (sw). Accelerometer and gyroscope are joined there already: each row has both.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import BagError
from sentryfuse_core.safe_files import check_regular

__all__ = ["HarRun", "runs"]

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, eq=False)
class HarRun:
    """One run: `accel` [N, 3] in m/s^2, `gyro` [N, 3] in rad/s, `stamp_ns` [N], strictly rising.

    Rows are stamped in whole milliseconds and several may share one; those are spread evenly over it.
    """

    name: str
    device: str  # sp: phone, sw: watch
    stamp_ns: NDArray[np.int64]
    accel: NDArray[np.float64]
    gyro: NDArray[np.float64]
    activity: tuple[str, ...]


def runs(path: Path) -> Iterator[HarRun]:
    """Every run, by name; BagError when it is no such zip."""
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(("_sp.csv", "_sw.csv")))
            for name in names:
                yield _run(name, archive.read(name).decode("utf-8"))
    except OSError as error:
        raise BagError(f"cannot read {path}: {error.strerror}; give the path of sp-sw-har.zip") from error
    except (zipfile.BadZipFile, UnicodeDecodeError, ValueError) as error:
        raise BagError(
            f"cannot read the HAR recordings in {path}: {error}; give the path of sp-sw-har.zip"
        ) from error


def _run(name: str, text: str) -> HarRun:
    lines = text.splitlines()
    values = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=1, usecols=range(6), ndmin=2)
    fields = [line.rsplit(",", 2) for line in lines[1:] if line]
    stamp_ms = np.array([int(field[1]) for field in fields], np.int64)
    return HarRun(
        name=Path(name).stem,
        device=Path(name).stem.rsplit("_", 1)[1],
        stamp_ns=_spread(stamp_ms),
        accel=values[:, :3],
        gyro=values[:, 3:6],
        activity=tuple(field[2] for field in fields),
    )


def _spread(stamp_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Milliseconds [N] as ns, rows of one millisecond evenly inside it."""
    _, first, inverse, count = np.unique(stamp_ms, return_index=True, return_inverse=True, return_counts=True)
    place = np.arange(len(stamp_ms)) - first[inverse]
    spread: NDArray[np.int64] = stamp_ms * _NS_PER_MS + place * _NS_PER_MS // count[inverse]
    return spread
