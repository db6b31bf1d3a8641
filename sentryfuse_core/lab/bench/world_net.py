"""TrunkAndHead: the detector behind its encoders, as a network of units that the pruning library knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.bench.world_frames import unpack
from sentryfuse_core.model.attention import Segment
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.types import Modality

__all__ = ["TrunkAndHead", "maps_of"]


class TrunkAndHead(nn.Module):
    """Canvas, trunk and head of a detector; takes packed features of the sensors that are present.

    The canvas's encodings are what the encoders were trained with, so that only trunk and head are trained.
    """

    def __init__(self, net: SentryFuseNet, *, ffn_block: int) -> None:
        """The weights are copied; `ffn_block` channels are a unit, whatever they were in `net`."""
        super().__init__()
        own = SentryFuseNet(replace(net.shape, ffn_block=ffn_block), net.geometry)
        own.load_state_dict(net.state_dict())
        self.classes = net.shape.classes
        self._channels = net.shape.fine_channels
        self.canvas = own.canvas.requires_grad_(requires_grad=False)
        self.trunk = own.trunk
        self.head = own.head
        pool = net.shape.pool
        self._canvas_pool = net.shape.canvas_pool
        self._strides = {item.value: 1 if item is Modality.IMU else pool for item in Modality}
        side = net.geometry.heatmap_cells
        shape = (net.shape.fine_channels, side, side)
        self._fine = {item.value: shape for item in (Modality.CAMERA, Modality.LIDAR, Modality.AUDIO)}

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """{sensor: [B, rows, D]} of at least one sensor -> maps [B, classes + 10, 32, 32], see `maps_of`."""
        queries = self.canvas().expand(len(next(iter(inputs.values()))), -1, -1)
        cells = queries.shape[1]
        sensors = [
            unpack(inputs[name], cells=cells, stride=stride, fine=self._fine.get(name))
            for name, stride in self._strides.items()
            if name in inputs
        ]
        for sensor in sensors:
            if sensor.canvas is not None:
                queries = queries + sensor.canvas
        tokens = torch.cat((queries, *(sensor.tokens for sensor in sensors)), dim=1)
        segments = [
            Segment(cells, self._canvas_pool),
            *(Segment(item.tokens.shape[1], item.stride) for item in sensors),
        ]
        fine = [sensor.fine for sensor in sensors if sensor.fine is not None]
        mixed = self.trunk(tokens, segments)[:, :cells]
        output = self.head(mixed, fine, self.canvas, channels=self._channels)
        return torch.cat((output.heatmap, output.boxes), dim=1)


def maps_of(output: Tensor, classes: int) -> HeadOutput:
    """The heat map and the boxes of what `TrunkAndHead` gives."""
    return HeadOutput(output[:, :classes], output[:, classes:])
