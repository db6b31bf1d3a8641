"""The table of plans: for every set of sensors and pruning level, which sub-network runs and what it costs.

There are as many levels as the checkpoint's manifest has `widths`. They are uniform, as in the gate's design
of that name: every layer keeps the same share of its units, and every convolution the square root of it in
channels, whole units and at least one, whatever sensors are there. A level is a prefix of the same weights,
so choosing one is a dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Mapping

from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.types import ModalitySet, Plan

__all__ = ["KIND", "plan_table"]

KIND = "uniform"  # see `sentryfuse_core.pruning.gate.Design`


def plan_table(shape: ModelShape, geometry: Geometry = GEOMETRY) -> Mapping[tuple[int, int], Plan]:
    """Plans by (mask bits, level), reasons empty; mask 0 is the canvas alone."""
    masks = (ModalitySet(), *ModalitySet.subsets())
    return {
        (mask.bits, level): _plan(shape, geometry, mask, level)
        for mask in masks
        for level in range(shape.levels)
    }


def _plan(shape: ModelShape, geometry: Geometry, mask: ModalitySet, level: int) -> Plan:
    width = shape.width(level)
    macs = count_macs(shape, geometry, mask, shape.uniform(level))
    full = count_macs(shape, geometry, mask, shape.uniform(0))
    return Plan(
        mask=mask,
        level=level,
        kind=KIND,
        ratio=1.0 - macs.prunable / full.prunable,
        heads_kept=shape.layers * width.groups * shape.group,
        heads_total=shape.layers * shape.heads,
        channels_kept=shape.layers * width.blocks * shape.ffn_block,
        channels_total=shape.layers * shape.ffn,
        gmacs=macs.total / 1e9,
        reason="",
    )
