"""SentryAttend: grouped-query attention over sparse keys, whose key/value groups can be left out.

Keys and values are pooled within each sensor's tokens unless another strategy is chosen (sparsity.py).
Query heads of one key/value group are folded into the sequence, so that nothing is repeated and no mask is
needed. All weights are stored group after group: the sub-network of the first groups is a prefix view of
the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.sparsity import (
    Segment,
    Sparsity,
    folded_attention,
    make_sparsity,
    pool_segments,
)
from sentryfuse_core.model.units import Prunable

__all__ = ["Segment", "SentryAttend", "folded_attention", "pool_segments"]


class SentryAttend(Prunable):
    """Attention of all tokens to sparse keys; its units are key/value groups with their query heads."""

    def __init__(
        self,
        dim: int,
        *,
        heads: int,
        kv_heads: int,
        head_dim: int | None = None,
        sparsity: str | Sparsity = "pooled",
        bias: bool = False,
    ) -> None:
        """`head_dim` is dim / heads unless given; `sparsity` is a strategy or the name of one.

        Raises:
            ValueError: `heads` is no multiple of `kv_heads`, `dim` none of `heads`, or no such sparsity.
        """
        if heads % kv_heads:
            raise ValueError(f"heads {heads} must be a multiple of kv_heads {kv_heads}")
        if head_dim is None and dim % heads:
            raise ValueError(f"dim {dim} must be a multiple of heads {heads}; or give head_dim")
        size = dim // heads if head_dim is None else head_dim
        super().__init__(kv_heads, heads // kv_heads * size)
        self.group = heads // kv_heads
        self.head_dim = size
        self.sparsity = make_sparsity(sparsity) if isinstance(sparsity, str) else sparsity
        # Rows: group, head, channel of the query; group, key or value, channel of the others.
        self.query = nn.Parameter(torch.empty(heads * self.head_dim, dim))
        self.key_value = nn.Parameter(torch.empty(kv_heads * 2 * self.head_dim, dim))
        self.output = nn.Parameter(torch.empty(heads * self.head_dim, dim))  # transposed: rows are inputs
        self.output_bias = nn.Parameter(torch.zeros(dim))
        for weight in (self.query, self.key_value, self.output):
            nn.init.normal_(weight, std=dim**-0.5)
        self.query_bias = nn.Parameter(torch.zeros(len(self.query))) if bias else None
        self.key_value_bias = nn.Parameter(torch.zeros(len(self.key_value))) if bias else None

    @classmethod
    def from_multihead(
        cls,
        module: nn.MultiheadAttention,
        *,
        kv_heads: int | None = None,
        sparsity: str | Sparsity = "pooled",
    ) -> SentryAttend:
        """The same self-attention with weights copied from torch's layer, of its type and on its device.

        With sparsity "dense", or segments of stride 1, and as many `kv_heads` as heads (the default) the
        outputs are the same. Fewer key/value heads are means of theirs (Ainslie et al., arXiv 2305.13245),
        which needs some training to recover. Dropout of attention weights is not carried over.

        Raises:
            ValueError: keys or values have a width of their own, or something is added to them.
        """
        if module.in_proj_weight is None:
            raise ValueError(
                f"kdim {module.kdim} and vdim {module.vdim} must be embed_dim {module.embed_dim}: "
                "SentryAttend is self-attention"
            )
        if module.bias_k is not None or module.add_zero_attn:
            raise ValueError(
                "add_bias_kv and add_zero_attn have no counterpart; convert a layer without them"
            )
        heads = module.num_heads
        made = cls(
            module.embed_dim,
            heads=heads,
            kv_heads=heads if kv_heads is None else kv_heads,
            sparsity=sparsity,
            bias=module.in_proj_bias is not None,
        )
        made.to(module.in_proj_weight)
        with torch.no_grad():
            query, *key_value = module.in_proj_weight.chunk(3)
            made.query.copy_(query)
            made.key_value.copy_(made._grouped(*key_value))
            made.output.copy_(module.out_proj.weight.t())
            if module.in_proj_bias is not None and made.query_bias is not None:
                query, *key_value = module.in_proj_bias.chunk(3)
                made.query_bias.copy_(query)
                made.get_parameter("key_value_bias").copy_(made._grouped(*key_value))
                made.output_bias.copy_(module.out_proj.bias)
        return made

    def _grouped(self, key: Tensor, value: Tensor) -> Tensor:
        """Rows by head [heads * C, ...] as rows by group, key or value, channel; means within groups."""
        parts = [torch.unflatten(rows, 0, (self.units, self.group, self.head_dim)) for rows in (key, value)]
        return torch.stack([part.mean(dim=1) for part in parts], dim=1).flatten(0, 2)

    @property
    def unit_rows(self) -> Mapping[str, int]:
        """Rows of one group in each tensor."""
        rows = {"query": self.unit_size, "key_value": 2 * self.head_dim, "output": self.unit_size}
        if self.query_bias is not None:
            rows |= {"query_bias": self.unit_size, "key_value_bias": 2 * self.head_dim}
        return rows

    @property
    def outgoing(self) -> tuple[Tensor, Tensor]:
        """Weight [units * unit_size, D] and bias [D]."""
        return self.output, self.output_bias

    def unit_macs(self, tokens: int, segments: Sequence[Segment]) -> int:
        """One group: query and output of its heads, its key and value, and both products of attention."""
        dim = self.query.shape[1]
        projections = 2 * tokens * dim * self.unit_size
        projections += self.sparsity.source_count(segments) * dim * 2 * self.head_dim
        return projections + self.sparsity.attend_macs(segments, self.group, self.head_dim)

    def forward(self, tokens: Tensor, segments: Sequence[Segment], *, width: int | None = None) -> Tensor:
        """Attend with the first `width` groups.

        Args:
            tokens: [B, N, D], normalised.
            segments: the runs that `tokens` is made of, lengths adding up to N.
            width: groups that run, 0 to all; None for `self.width`.

        Returns:
            [B, N, D]
        """
        groups = self.running(width)
        if groups == 0:
            return self.output_bias.expand_as(tokens)
        query = _linear(tokens, self.query, self.query_bias, groups * self.unit_size)
        query = torch.unflatten(query, 2, (groups, self.group, self.head_dim)).permute(0, 2, 3, 1, 4)
        sources = self.sparsity.sources(tokens, segments)
        key_value = _linear(sources, self.key_value, self.key_value_bias, groups * 2 * self.head_dim)
        key_value = torch.unflatten(key_value, 2, (groups, 2, self.head_dim))
        key, value = key_value.permute(3, 0, 2, 1, 4).unbind(0)
        mixed = self.sparsity.attend(query, key, value, segments).permute(0, 3, 1, 2, 4).flatten(2)
        return self.combine(mixed)


def _linear(tokens: Tensor, weight: Tensor, bias: Tensor | None, rows: int) -> Tensor:
    """The leading `rows` of a linear map: [B, N, D] -> [B, N, rows]."""
    return functional.linear(tokens, weight[:rows], None if bias is None else bias[:rows])
