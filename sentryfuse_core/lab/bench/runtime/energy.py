"""Energy of one inference, by the processor's own counter, where the system lets it be read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from sentryfuse_core.lab.bench.runtime.arms import Arm
from sentryfuse_core.machine.rapl import RaplPower
from sentryfuse_core.preprocess.tensors import ModelInput

__all__ = ["energy_mj"]

_BLOCK_S = 1.0  # the counter moves every millisecond or so
_BLOCKS = 5


def energy_mj(arms: Sequence[Arm], inputs: Sequence[ModelInput], counter: RaplPower) -> Mapping[str, float]:
    """Millijoules of one inference by arm, "NAME LEVEL": medians of blocks of a second, arms in turn.

    They are those of whole processor packages: what the machine draws when idle is in them.
    Raises ReadingError.
    """
    blocks: dict[str, list[float]] = {}
    for _ in range(_BLOCKS):
        for arm in arms:
            fed = [arm.feed(item) for item in inputs]
            began_ns, runs = time.monotonic_ns(), 0
            counter.power_w(began_ns)
            while time.monotonic_ns() - began_ns < _BLOCK_S * 1e9:
                arm.run(fed[runs % len(fed)])
                runs += 1
            ended_ns = time.monotonic_ns()
            spent_mj = counter.power_w(ended_ns) * (ended_ns - began_ns) / 1e6
            blocks.setdefault(f"{arm.name} {arm.level}", []).append(spent_mj / runs)
    return {name: round(float(np.median(values)), 3) for name, values in blocks.items()}
