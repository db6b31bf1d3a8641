"""Plans: which sub-network runs for a choice of the gate, and what it costs."""

from __future__ import annotations

from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.pruning.part_gate import Choice, Gate, PartGate, widths_text
from sentryfuse_core.types import ModalitySet, PartLevels, Plan

__all__ = ["GATED", "UNIFORM", "kind_of", "make_plan"]

UNIFORM = "uniform"  # every part keeps the same share, whatever sensors are there
GATED = "gate"  # parts and sensors by what they are worth


def kind_of(gate: Gate) -> str:
    """How a gate chooses widths, as the status has it."""
    return GATED if isinstance(gate, PartGate) else UNIFORM


def make_plan(
    shape: ModelShape,
    choice: Choice,
    *,
    present: ModalitySet,
    level: int,
    kind: str,
) -> Plan:
    """The plan of `choice` for the sensors in `present`, its reason empty."""
    width = shape.width(choice.parts.trunk)
    macs = count_macs(shape, GEOMETRY, choice.used, choice.parts)
    full = count_macs(shape, GEOMETRY, present, PartLevels())
    return Plan(
        mask=choice.used,
        level=level,
        kind=kind,
        ratio=1.0 - macs.prunable / full.prunable,
        heads_kept=shape.layers * width.groups * shape.group,
        heads_total=shape.layers * shape.heads,
        channels_kept=shape.layers * width.blocks * shape.ffn_block,
        channels_total=shape.layers * shape.ffn,
        gmacs=macs.total / 1e9,
        reason="",
        parts=choice.parts,
        words=choice.words,
        widths=widths_text(shape, choice.used, choice.parts),
    )
