"""Multiply-accumulates and wall-clock of one whole network under each kind of attention."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.bench.runtime.dense import TorchAttention
from sentryfuse_core.lab.bench.runtime.latency import stopwatch
from sentryfuse_core.model.backbones import ClassifierShape, Stream, make_backbone
from sentryfuse_core.model.fusion import TrunkLayer
from sentryfuse_core.pruning.costs import measure_macs

__all__ = ["DENSE", "KINDS", "SHAPE", "Kind", "Measured", "make", "measure"]

SHAPE: Mapping[str, Any] = {"dim": 256, "layers": 4, "heads": 8, "ffn": 1024, "ffn_block": 32}
_STREAMS, _FEATURES, _CLASSES = 4, 12, 5
_WARM_UP = 2  # rounds


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of attention."""

    kv_heads: int = 8
    pool: int = 4
    sparsity: str = "pooled"
    torchs_own: bool = False  # nn.MultiheadAttention, which takes its fast path here


KINDS: Mapping[str, Kind] = {
    "dense, nn.MultiheadAttention": Kind(torchs_own=True),
    "dense, ours": Kind(sparsity="dense"),
    "dense, 2 KV groups": Kind(sparsity="dense", kv_heads=2),
    "pooled 4, 8 KV heads": Kind(),
    "pooled 4, 4 KV groups": Kind(kv_heads=4),
    "pooled 4, 2 KV groups": Kind(kv_heads=2),
    "window 64 + pooled 16, 2 KV groups": Kind(sparsity="window", kv_heads=2),
    "block top-k 3 x 64, 2 KV groups": Kind(sparsity="block_topk", kv_heads=2),
}
DENSE = ("dense, nn.MultiheadAttention", "dense, ours")


@dataclass(frozen=True)
class Measured:
    """At one number of tokens, by kind: MACs of the whole network, and milliseconds of every round."""

    macs: Mapping[str, int]
    took_ms: Mapping[str, Sequence[float]]

    def saved(self, kind: str) -> float:
        """Change of MACs against dense attention in %; below 0 is less."""
        return 100 * (self.macs[kind] / self.macs[DENSE[0]] - 1)  # all dense ones have the same

    def median_ms(self, kind: str) -> float:
        """Median time of one forward pass."""
        return statistics.median(self.took_ms[kind])

    def speed(self, kind: str) -> float:
        """How many times as fast as the faster of the two dense ones, by medians."""
        return min(map(self.median_ms, DENSE)) / self.median_ms(kind)


def make(kind: Kind, tokens: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """Embeddings, trunk and head for `tokens` tokens of four streams, and one sample."""
    shape = ClassifierShape(**SHAPE, kv_heads=kind.kv_heads, pool=kind.pool, sparsity=kind.sparsity)
    streams = {f"stream_{index}": Stream(tokens // _STREAMS, _FEATURES) for index in range(_STREAMS)}
    network = make_backbone(shape, streams, _CLASSES)
    if kind.torchs_own:
        for layer in network.modules():
            if isinstance(layer, TrunkLayer):
                layer.attend = TorchAttention(shape.dim, shape.heads)  # type: ignore[assignment]
    inputs = {name: torch.randn(1, stream.tokens, stream.features) for name, stream in streams.items()}
    return network.eval(), inputs


def measure(tokens: int, *, rounds: int) -> Measured:
    """Count each kind once; time them in turn, one pass of each a round, so that all see the same load.

    Counting runs on shapes alone.
    """
    with torch.device("meta"):
        macs = {name: measure_macs(*make(kind, tokens)) for name, kind in KINDS.items()}
    took_ms: dict[str, list[float]] = {name: [] for name in KINDS}
    made = {name: make(kind, tokens) for name, kind in KINDS.items()}
    clock = stopwatch("cpu")
    with torch.inference_mode():
        for _ in range(_WARM_UP + rounds):
            for name, (network, inputs) in made.items():
                took_ms[name].append(clock(partial(network, inputs)))
    return Measured(macs, {name: times[_WARM_UP:] for name, times in took_ms.items()})
