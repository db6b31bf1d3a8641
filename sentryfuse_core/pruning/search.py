"""What units are worth when they go one after the other: greedy elimination by measured loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from sentryfuse_core.pruning.costs import UnitCosts

__all__ = ["eliminate"]


def eliminate(
    loss: Callable[[Mapping[str, int]], float], costs: UnitCosts, *, step: float = 0.04, last: float = 0.96
) -> dict[str, list[float]]:
    """Narrow the network step by step, always where the loss rises least per MAC saved.

    First-order saliency asks what one unit is worth while all others run; at high ratios most of them are
    gone. Here a unit's worth is measured in the network that is left when its turn comes.

    Args:
        loss: of the network at the given widths.
        costs: what units cost for the modalities that `loss` uses.
        step: share of the units' MACs that a step removes, at most; at least one unit goes.
        last: share of the MACs after whose removal the rest is ranked as it stands.

    Returns:
        {layer: [worth per MAC of each unit]}: the share of MACs that was gone when its turn came, so that
        plans for any ratio retrace the elimination. Layers that do not run are worth nothing.
    """
    widths = {name: costs.units[name] if cost else 0 for name, cost in costs.macs.items()}
    density = {name: [0.0] * costs.units[name] for name in costs.macs}
    total = costs.prunable
    left = total
    now = loss(widths)
    while left > (1.0 - last) * total:
        best: tuple[float, str, int, float] | None = None
        for name, width in widths.items():
            if width == 0:
                continue
            gone = min(width, max(1, math.floor(step * total / costs.macs[name])))
            found = loss({**widths, name: width - gone})
            rise = (found - now) / (gone * costs.macs[name])
            if best is None or rise < best[0]:
                best = (rise, name, gone, found)
        if best is None:
            break
        _, name, gone, now = best
        for unit in range(widths[name] - gone, widths[name]):
            density[name][unit] = 1.0 - left / total
        widths[name] -= gone
        left -= gone * costs.macs[name]
    for name, width in widths.items():
        for unit in range(width):
            density[name][unit] = 1.0
    return density
