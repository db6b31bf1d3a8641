"""Prunable layers: layers whose output is a sum over units, any of which can be left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from sentryfuse_core.model.sparsity import Segment

__all__ = ["Prunable"]


class Prunable(nn.Module):
    """A layer made of `units` equal units: its output is the sum of what they give, plus a bias.

    Every tensor that belongs to the units is stored unit after unit along its first axis, so that the first
    k units are a contiguous prefix of it, and moving units around is a permutation of rows. A subclass
    computes `hidden` [B, N, units * unit_size] and hands it to `combine`.

    Attributes:
        units: how many units there are.
        unit_size: rows of `outgoing` that one unit owns.
        width: how many leading units run; None for all of them.
        gates: factors on the units' contributions, [units] or one row a sample [B, units]; None for ones.
        watch: called with `hidden` of every forward pass; None for nobody.
    """

    def __init__(self, units: int, unit_size: int) -> None:
        super().__init__()
        self.units = units
        self.unit_size = unit_size
        self.width: int | None = None
        self.gates: Tensor | None = None
        self.watch: Callable[[Tensor], None] | None = None

    @property
    def unit_rows(self) -> Mapping[str, int]:
        """Names of the tensors that belong to the units, and how many rows of each one unit owns."""
        raise NotImplementedError

    @property
    def outgoing(self) -> tuple[Tensor, Tensor]:
        """The map from `hidden` to the output: weight [units * unit_size, D] and bias [D]."""
        raise NotImplementedError

    def unit_macs(self, tokens: int, segments: Sequence[Segment]) -> int:
        """Multiply-accumulates of one unit for one sample of `tokens` tokens.

        `segments` are the runs that the layer was told of, none if it takes only tokens.
        """
        raise NotImplementedError

    def running(self, width: int | None) -> int:
        """Units that run when the caller asks for `width`: the caller, else the layer, else all."""
        chosen = self.width if width is None else width
        return self.units if chosen is None else chosen

    def combine(self, hidden: Tensor) -> Tensor:
        """The output [B, N, D] of the leading units, whose hidden values are [B, N, width * unit_size]."""
        weight, bias = self.outgoing
        if self.gates is not None:
            count = hidden.shape[-1] // self.unit_size
            factors = self.gates[..., :count].repeat_interleave(self.unit_size, dim=-1)
            hidden = hidden * (factors if factors.ndim == 1 else factors[:, None])
        if self.watch is not None:
            self.watch(hidden)
        output: Tensor = hidden @ weight[: hidden.shape[-1]] + bias
        return output
