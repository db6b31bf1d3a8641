"""SentryFuseNet: any subset of sensors in, a centre heat map and boxes out.

The main path: each present sensor is encoded on its own; its features are added to the canvas cells
they belong to and its tokens are joined to the canvas tokens; the trunk mixes them; the head reads the
canvas. A sensor that is absent contributes nothing at all: no token, no addition, no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from sentryfuse_core.model.attention import Segment
from sentryfuse_core.model.canvas import Canvas
from sentryfuse_core.model.encoders import (
    AudioEncoder,
    CameraEncoder,
    ImuEncoder,
    LidarEncoder,
    SensorFeatures,
)
from sentryfuse_core.model.fusion import Trunk, TrunkLayer
from sentryfuse_core.model.heads import DetectionHead, HeadOutput
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality

__all__ = ["SentryFuseNet"]


class SentryFuseNet(nn.Module):
    """The whole network; `level` of every call is an index into `shape.widths`."""

    def __init__(self, shape: ModelShape, geometry: Geometry = GEOMETRY) -> None:
        super().__init__()
        self.shape = shape
        self.geometry = geometry
        self.canvas = Canvas(shape, geometry)
        self.camera = CameraEncoder(shape, geometry)
        self.lidar = LidarEncoder(shape, geometry)
        self.imu = ImuEncoder(shape, geometry)
        self.audio = AudioEncoder(shape, geometry, self.canvas)
        self.trunk = Trunk([_layer(shape) for _ in range(shape.layers)])
        self.head = DetectionHead(shape, geometry)

    def encode(self, inputs: ModelInput, *, level: int = 0) -> dict[Modality, SensorFeatures]:
        """The contribution of every sensor that is present, by encoders cut to `level`."""
        tilt = inputs.tilt
        if tilt is None and inputs.imu is not None:  # as sub-networks of fixed inputs have to take it
            tilt = inputs.imu.new_zeros(len(inputs.imu), 2)
        features: dict[Modality, SensorFeatures] = {}
        if inputs.camera is not None and inputs.camera_position is not None:
            features[Modality.CAMERA] = self.camera(
                inputs.camera, inputs.camera_position, self.canvas, tilt=tilt, level=level
            )
        if inputs.lidar is not None:
            features[Modality.LIDAR] = self.lidar(inputs.lidar, self.canvas, tilt=tilt, level=level)
        if inputs.imu is not None:
            features[Modality.IMU] = self.imu(inputs.imu)
        if inputs.audio is not None:
            features[Modality.AUDIO] = self.audio(inputs.audio, self.canvas)
        return features

    def fuse(self, features: Mapping[Modality, SensorFeatures], *, level: int, batch: int) -> HeadOutput:
        """Trunk and head over the canvas and the given sensors; none at all gives the canvas's own answer."""
        queries = self.canvas().expand(batch, -1, -1)
        for sensor in features.values():
            if sensor.canvas is not None:
                queries = queries + sensor.canvas
        cells = queries.shape[1]
        tokens: Tensor = torch.cat((queries, *(sensor.tokens for sensor in features.values())), dim=1)
        segments = [
            Segment(cells, 1),
            *(Segment(item.tokens.shape[1], item.stride) for item in features.values()),
        ]
        mixed = self.trunk(tokens, segments, [self.shape.width(level)] * self.shape.layers)
        fine = [item.fine for item in features.values() if item.fine is not None]
        channels = self.shape.channels(self.shape.fine_channels, level)
        output: HeadOutput = self.head(mixed[:, :cells], fine, self.canvas, channels=channels)
        evidence = {name: item.evidence for name, item in features.items() if item.evidence is not None}
        view = next((item.view for item in features.values() if item.view is not None), None)
        return replace(output, evidence=evidence, view=view)

    def forward(self, inputs: ModelInput, *, level: int = 0, batch: int | None = None) -> HeadOutput:
        """Maps for `inputs` at pruning `level`; `batch` is only needed when no sensor is present.

        Shapes: see ModelInput and HeadOutput.
        """
        features = self.encode(inputs, level=level)
        size = next((item.tokens.shape[0] for item in features.values()), 1 if batch is None else batch)
        return self.fuse(features, level=level, batch=size)


def _layer(shape: ModelShape) -> TrunkLayer:
    return TrunkLayer(
        shape.dim, heads=shape.heads, kv_heads=shape.kv_heads, ffn=shape.ffn, ffn_block=shape.ffn_block
    )
