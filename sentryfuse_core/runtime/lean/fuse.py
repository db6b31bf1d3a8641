"""Trunk and head of the deploy form, for any number of tokens beside the canvas."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.fusion import TrunkLayer
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.runtime.lean.layers import Constants, LeanConv

__all__ = ["LeanFuse"]


class LeanFuse(nn.Module):
    """`SentryFuseNet.fuse` at one level of trunk and head each, after trust has been reckoned in."""

    def __init__(
        self, net: SentryFuseNet, trunk: int, head: int, constants: Constants, *, engine: bool
    ) -> None:
        super().__init__()
        shape, geometry = net.shape, net.geometry
        self._canvas = constants.canvas
        width = shape.width(trunk)
        self.layers = nn.ModuleList(
            LeanLayer(
                layer,
                width.groups,
                width.blocks,
                cells=len(net.canvas.inverse),
                means=constants.blocks,
            )
            for layer in net.trunk.layers
            if isinstance(layer, TrunkLayer)
        )
        own, fine = net.head, shape.fine_channels
        self._classes, self._split = shape.classes, geometry.heatmap_cells // geometry.canvas_cells
        self._norm = own.norm
        self._spread, self._spread_bias = constants.spread
        channels = shape.channels(fine, shape.widths[head])
        self.first = LeanConv(own.first, channels, fine, engine=engine)
        self.second = LeanConv(own.second, channels, channels, engine=engine)
        bias = own.maps.bias
        self._of_grid = (own.maps.weight.detach()[:, :fine], None if bias is None else bias.detach())
        self._of_mixed = own.maps.weight.detach()[:, fine : fine + channels]

    def forward(
        self, placed: Tensor, tokens: Tensor, counts: Tensor, pool: Tensor, fine: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The heat map [B, classes, 32, 32] and boxes [B, 10, 32, 32].

        Args:
            placed: [B, D, 256] sum of what the sensors put on the canvas, row by row.
            tokens: [B, T, D] of all sensors.
            counts: [B, T] how much each of them counts, by trust and by what was seen of it.
            pool: [1, K, T] what each key beside the canvas's is the mean of.
            fine: [B, F, 32, 32] sum of the sensors' fine grids.
        """
        queries = (self._canvas + placed).transpose(1, 2)
        cells, mixed = queries.shape[1], torch.cat((queries, tokens), dim=1)
        factors = torch.cat((counts.new_ones(len(counts), cells), counts), dim=1)[..., None]
        for layer in self.layers:
            mixed = layer(mixed, factors, pool)
        spread = self._spread @ self._norm(mixed[:, :cells]).transpose(1, 2) + self._spread_bias
        side = math.isqrt(cells)
        grid = functional.pixel_shuffle(torch.unflatten(spread, 2, (side, side)), self._split) + fine
        hidden = self.second(self.first(grid.relu()))
        maps = functional.conv2d(grid, *self._of_grid) + functional.conv2d(hidden, self._of_mixed)
        return maps[:, : self._classes], maps[:, self._classes :]


class LeanLayer(nn.Module):
    """One `TrunkLayer` at one width, whose canvas lies row by row and comes first."""

    def __init__(
        self, layer: TrunkLayer, groups: int, blocks: int, *, cells: int, means: Tensor | None
    ) -> None:
        super().__init__()
        attend, feed = layer.attend, layer.feed
        self.attend_norm, self.feed_norm = layer.attend_norm, layer.feed_norm
        self._groups, self._heads, self._size = groups, attend.group, attend.head_dim
        self._cells, self._means = cells, means
        rows = groups * attend.unit_size
        self._query = attend.query.detach()[:rows]
        self._key_value = attend.key_value.detach()[: groups * 2 * attend.head_dim]
        self._output, self._output_bias = attend.output.detach()[:rows], attend.output_bias.detach()
        channels = blocks * feed.unit_size
        self._rise, self._rise_bias = feed.rise.detach()[:channels], feed.rise_bias.detach()[:channels]
        self._fall, self._fall_bias = feed.fall.detach()[:channels], feed.fall_bias.detach()

    def forward(self, tokens: Tensor, factors: Tensor, pool: Tensor) -> Tensor:
        """[B, 256 + T, D] -> the same, with `factors` [B, 256 + T, 1] and `pool` of `LeanFuse.forward`."""
        normal = self.attend_norm(tokens) * factors
        query = torch.unflatten(functional.linear(normal, self._query), 2, (-1, self._heads, self._size))
        key_value = functional.linear(self._sources(normal, pool), self._key_value)
        key, value = torch.unflatten(key_value, 2, (-1, 2, self._size)).permute(3, 0, 2, 1, 4).unbind(0)
        folded = query.permute(0, 2, 3, 1, 4).flatten(2, 3)  # [B, G, Q * N, C]
        mixed = functional.scaled_dot_product_attention(folded, key, value)
        mixed = torch.unflatten(mixed, 2, (self._heads, -1)).permute(0, 3, 1, 2, 4).flatten(2)
        tokens = tokens + (mixed @ self._output + self._output_bias)
        hidden = functional.gelu(functional.linear(self.feed_norm(tokens), self._rise, self._rise_bias))
        return tokens + (hidden @ self._fall + self._fall_bias)

    def _sources(self, normal: Tensor, pool: Tensor) -> Tensor:
        """What keys and values are made of: [B, K, D]."""
        cells, rest = normal[:, : self._cells], normal[:, self._cells :]
        if self._means is not None:
            cells = self._means @ cells
        return torch.cat((cells, pool @ rest), dim=1)
