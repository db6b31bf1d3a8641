"""Energy of one inference, by the processor's own counter, where the system lets it be read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sentryfuse_core.bench.runtime.arms import Arm
from sentryfuse_core.preprocess.tensors import ModelInput

__all__ = ["counters", "energy_mj"]

_POWERCAP = Path("/sys/class/powercap")
_BLOCK_S = 1.0  # the counter moves every millisecond or so
_BLOCKS = 5


def counters(folder: Path = _POWERCAP) -> list[Path]:
    """The energy counters of whole packages that can be read; usually only root may."""
    return [path for path in sorted(folder.glob("intel-rapl:?/energy_uj")) if _read_uj(path) is not None]


def energy_mj(
    arms: Sequence[Arm], inputs: Sequence[ModelInput], found: Sequence[Path]
) -> Mapping[str, float]:
    """Millijoules of one inference by arm, "NAME LEVEL": medians of blocks of a second, arms in turn.

    It is the whole package's: what the machine draws when idle is in it.
    """
    blocks: dict[str, list[float]] = {}
    for _ in range(_BLOCKS):
        for arm in arms:
            fed = [arm.feed(item) for item in inputs]
            before, runs, ends_s = [_read_uj(path) for path in found], 0, time.monotonic() + _BLOCK_S
            while time.monotonic() < ends_s:
                arm.run(fed[runs % len(fed)])
                runs += 1
            after = [_read_uj(path) for path in found]
            pairs = zip(before, after, strict=True)
            used = [now - then for then, now in pairs if then and now and now > then]
            if len(used) == len(found):  # none has wrapped around
                blocks.setdefault(f"{arm.name} {arm.level}", []).append(sum(used) / 1e3 / runs)
    return {name: round(float(np.median(values)), 3) for name, values in blocks.items()}


def _read_uj(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
