"""Three classifiers of token sequences from any subset of modalities: trunk, branches and bottleneck.

All take a mapping of the modalities that are present; those that are absent have no key and no tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.model.attention import Segment
from sentryfuse_core.model.fusion import Trunk, TrunkLayer
from sentryfuse_core.model.units import Shrinkable

__all__ = ["BACKBONES", "Bottleneck", "Branches", "ClassifierShape", "SharedTrunk", "Stream", "make_backbone"]


@dataclass(frozen=True)
class Stream:
    """One modality's tokens: how many there are and how many features each has."""

    tokens: int
    features: int


@dataclass(frozen=True, kw_only=True)
class ClassifierShape:
    """Sizes of one classifier.

    Attributes:
        backbone: trunk, branches or bottleneck.
        dim: width D of every token.
        layers: layers of the shared trunk, or after fusion.
        own_layers: layers of each modality before fusion (branches and bottleneck).
        heads, kv_heads: query heads and key/value groups of a layer.
        ffn, ffn_block: hidden channels of a layer, and how many make a unit.
        pool: neighbouring tokens of a modality that share a key and a value.
        bottlenecks: tokens through which modalities exchange (bottleneck).
        sparsity: which keys a token sees: pooled, dense, window or block_topk (sparsity.py).
    """

    backbone: str = "trunk"
    dim: int = 64
    layers: int = 4
    own_layers: int = 2
    heads: int = 8
    kv_heads: int = 4
    ffn: int = 256
    ffn_block: int = 16
    pool: int = 2
    bottlenecks: int = 4
    sparsity: str = "pooled"

    def layer(self) -> TrunkLayer:
        """A new layer of these sizes."""
        return TrunkLayer(
            self.dim,
            heads=self.heads,
            kv_heads=self.kv_heads,
            ffn=self.ffn,
            ffn_block=self.ffn_block,
            sparsity=self.sparsity,
        )

    def to_mapping(self) -> dict[str, str | int]:
        """Plain values for a manifest."""
        return asdict(self)


class _Embedding(nn.Module):
    """Features of one modality as tokens: a linear map and a learned place."""

    def __init__(self, stream: Stream, dim: int) -> None:
        super().__init__()
        self.map = nn.Linear(stream.features, dim)
        self.place = nn.Parameter(torch.randn(stream.tokens, dim) * 0.02)

    def forward(self, features: Tensor) -> Tensor:
        """[B, T, F] -> [B, T, D]."""
        tokens: Tensor = self.map(features) + self.place
        return tokens


class _Classifier(Shrinkable):
    """What the three share: embeddings, segments and the head."""

    def __init__(self, shape: ClassifierShape, streams: Mapping[str, Stream], classes: int) -> None:
        super().__init__()
        self.shape = shape
        self.streams = dict(streams)
        try:
            self.embed = nn.ModuleDict(
                {name: _Embedding(stream, shape.dim) for name, stream in streams.items()}
            )
        except KeyError as error:  # torch refuses dots and the names of its own methods
            raise DatasetError(
                f"a modality cannot have this name: {error.args[0]}; rename its array"
            ) from error
        self.head_norm = nn.LayerNorm(shape.dim)
        self.head = nn.Linear(shape.dim, classes)

    def _segment(self, name: str) -> Segment:
        return Segment(self.streams[name].tokens, self.shape.pool)

    def _order(self, inputs: Mapping[str, Tensor]) -> list[str]:
        """The present modalities in the network's order; raises ValueError for none or an unknown one."""
        unknown = sorted(set(inputs) - set(self.streams))
        if unknown or not inputs:
            raise ValueError(
                f"unknown modalities {unknown}; there are {', '.join(self.streams)}"
                if unknown
                else "no modality present; give at least one"
            )
        return [name for name in self.streams if name in inputs]

    def _classify(self, token: Tensor) -> Tensor:
        logits: Tensor = self.head(self.head_norm(token))
        return logits


class SharedTrunk(_Classifier):
    """All tokens and a summary token in one trunk; the summary token is classified."""

    def __init__(self, shape: ClassifierShape, streams: Mapping[str, Stream], classes: int) -> None:
        super().__init__(shape, streams, classes)
        self.summary = nn.Parameter(torch.randn(1, 1, shape.dim) * 0.02)
        self.trunk = Trunk([shape.layer() for _ in range(shape.layers)])

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """{modality: [B, T, F]} -> logits [B, K]."""
        names = self._order(inputs)
        parts = [self.embed[name](inputs[name]) for name in names]
        tokens = torch.cat((self.summary.expand(len(parts[0]), -1, -1), *parts), dim=1)
        mixed = self.trunk(tokens, [Segment(1, 1), *(self._segment(name) for name in names)])
        return self._classify(mixed[:, 0])


class Branches(_Classifier):
    """Layers of its own for each modality, then a trunk over the tokens of all."""

    def __init__(self, shape: ClassifierShape, streams: Mapping[str, Stream], classes: int) -> None:
        super().__init__(shape, streams, classes)
        self.branch = nn.ModuleDict(
            {name: Trunk([shape.layer() for _ in range(shape.own_layers)]) for name in streams}
        )
        self.summary = nn.Parameter(torch.randn(1, 1, shape.dim) * 0.02)
        self.trunk = Trunk([shape.layer() for _ in range(shape.layers)])

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """{modality: [B, T, F]} -> logits [B, K]."""
        names = self._order(inputs)
        parts = [self.branch[name](self.embed[name](inputs[name]), [self._segment(name)]) for name in names]
        tokens = torch.cat((self.summary.expand(len(parts[0]), -1, -1), *parts), dim=1)
        mixed = self.trunk(tokens, [Segment(1, 1), *(self._segment(name) for name in names)])
        return self._classify(mixed[:, 0])


class Bottleneck(_Classifier):
    """Modalities that meet only in a few shared tokens (Nagrani et al., arXiv 2107.00135).

    Each modality has layers of its own throughout. In the last `layers` of them it also sees the bottleneck
    tokens; what the present modalities made of those is averaged after every layer, and their mean at the end
    is classified. With `layers` = 1 nothing of one modality reaches another before that mean: late fusion.
    """

    def __init__(self, shape: ClassifierShape, streams: Mapping[str, Stream], classes: int) -> None:
        super().__init__(shape, streams, classes)
        self.branch = nn.ModuleDict(
            {name: Trunk([shape.layer() for _ in range(shape.own_layers)]) for name in streams}
        )
        self.meet = nn.ModuleDict(
            {name: nn.ModuleList(shape.layer() for _ in range(shape.layers)) for name in streams}
        )
        self.bottleneck = nn.Parameter(torch.randn(1, shape.bottlenecks, shape.dim) * 0.02)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """{modality: [B, T, F]} -> logits [B, K]."""
        names = self._order(inputs)
        tokens = {
            name: self.branch[name](self.embed[name](inputs[name]), [self._segment(name)]) for name in names
        }
        count = self.shape.bottlenecks
        shared = self.bottleneck.expand(len(tokens[names[0]]), -1, -1)
        meet = {name: list(self.meet[name].children()) for name in names}
        for index in range(self.shape.layers):
            seen = []
            for name in names:
                segments = [Segment(count, 1), self._segment(name)]
                mixed = meet[name][index](torch.cat((shared, tokens[name]), dim=1), segments)
                seen.append(mixed[:, :count])
                tokens[name] = mixed[:, count:]
            shared = torch.stack(seen).mean(dim=0)
        return self._classify(shared.mean(dim=1))


BACKBONES: Mapping[str, Callable[[ClassifierShape, Mapping[str, Stream], int], Shrinkable]] = {
    "trunk": SharedTrunk,
    "branches": Branches,
    "bottleneck": Bottleneck,
}


def make_backbone(shape: ClassifierShape, streams: Mapping[str, Stream], classes: int) -> Shrinkable:
    """The network `shape.backbone` names; raises ValueError for an unknown name."""
    if shape.backbone not in BACKBONES:
        raise ValueError(f"unknown backbone {shape.backbone!r}; there are {', '.join(BACKBONES)}")
    return BACKBONES[shape.backbone](shape, streams, classes)
