"""SentryFuseNet: any subset of sensors in, a centre heat map and boxes out.

The main path: each present sensor is encoded on its own; its features are added to the canvas cells
they belong to and its tokens are joined to the canvas tokens; the trunk mixes them; the head reads the
canvas. A sensor that is absent contributes nothing at all: no token, no addition, no cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from sentryfuse_core.model.attention import Segment
from sentryfuse_core.model.camera_encoder import CameraEncoder
from sentryfuse_core.model.canvas import Canvas
from sentryfuse_core.model.encoders import AudioEncoder, ImuEncoder, LidarEncoder
from sentryfuse_core.model.features import SensorFeatures
from sentryfuse_core.model.fusion import Trunk, TrunkLayer
from sentryfuse_core.model.heads import DetectionHead, HeadOutput
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.model.trust import TrustHead
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.preprocess.quality import measures_of
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, PartLevels

__all__ = ["FULL_WIDTH", "SentryFuseNet"]

FULL_WIDTH = PartLevels()


class SentryFuseNet(nn.Module):
    """The whole network; `parts` of every call says how narrow each part runs."""

    def __init__(
        self, shape: ModelShape, geometry: Geometry = GEOMETRY, *, labels: Sequence[str] = ()
    ) -> None:
        """`labels` are of the classes, where they mean anything: see `find_peaks`."""
        super().__init__()
        self.labels = tuple(labels)
        self.shape = shape
        self.geometry = geometry
        self.canvas = Canvas(shape, geometry)
        self.camera = CameraEncoder(shape, geometry)
        self.lidar = LidarEncoder(shape, geometry)
        self.imu = ImuEncoder(shape, geometry)
        self.audio = AudioEncoder(shape, geometry, self.canvas)
        self.trunk = Trunk([_layer(shape) for _ in range(shape.layers)])
        self.head = DetectionHead(shape, geometry)
        measures = measures_of(shape.qualities)
        self.trust = TrustHead(measures) if measures else None

    def encode(self, inputs: ModelInput, *, parts: PartLevels = FULL_WIDTH) -> dict[Modality, SensorFeatures]:
        """The contribution of every sensor that is present, by encoders cut to `parts`."""
        tilt = inputs.tilt
        if tilt is None and inputs.imu is not None:  # as sub-networks of fixed inputs have to take it
            tilt = inputs.imu.new_zeros(len(inputs.imu), 2)
        if tilt is not None and self.trust is not None and inputs.quality is not None:
            # The IMU's trust by itself: encoders do not know who else is there.
            tilt = tilt * self.trust(inputs.quality, (Modality.IMU,))[Modality.IMU][:, None]
        features: dict[Modality, SensorFeatures] = {}
        if inputs.camera is not None and inputs.camera_position is not None:
            features[Modality.CAMERA] = self.camera(
                inputs.camera,
                inputs.camera_position,
                self.canvas,
                tilt=tilt,
                level=parts.camera,
                seen=inputs.camera_seen,
            )
        if inputs.lidar is not None:
            features[Modality.LIDAR] = self.lidar(inputs.lidar, self.canvas, tilt=tilt, level=parts.lidar)
        if inputs.imu is not None:
            features[Modality.IMU] = self.imu(inputs.imu)
        if inputs.audio is not None:
            features[Modality.AUDIO] = self.audio(inputs.audio, self.canvas, level=parts.audio)
        return features

    def fuse(
        self,
        features: Mapping[Modality, SensorFeatures],
        *,
        parts: PartLevels,
        batch: int,
        quality: Tensor | None = None,
    ) -> HeadOutput:
        """Trunk and head over the canvas and the given sensors; none at all gives the canvas's own answer.

        With `quality` [B, measures], in a network that reads it, each sensor counts as it is trusted.
        """
        trust: dict[Modality, Tensor] = {}
        if quality is not None and self.trust is not None and features:
            trust = self.trust(quality, features)
            features = {name: item.trusted(trust[name]) for name, item in features.items()}
        queries = self.canvas().expand(batch, -1, -1)
        for sensor in features.values():
            if sensor.canvas is not None:
                queries = queries + sensor.canvas
        cells = queries.shape[1]
        tokens: Tensor = torch.cat((queries, *(sensor.tokens for sensor in features.values())), dim=1)
        segments = [
            Segment(cells, self.shape.canvas_pool),
            *(Segment(item.tokens.shape[1], item.stride) for item in features.values()),
        ]
        widths = [self.shape.width(parts.trunk)] * self.shape.layers
        mixed = self.trunk(tokens, segments, widths, _by_token(trust, features, queries))
        fine = [item.fine for item in features.values() if item.fine is not None]
        channels = self.shape.channels(self.shape.fine_channels, self.shape.widths[parts.head])
        output: HeadOutput = self.head(mixed[:, :cells], fine, self.canvas, channels=channels)
        evidence = {name: item.evidence for name, item in features.items() if item.evidence is not None}
        view = next((item.view for item in features.values() if item.view is not None), None)
        return replace(output, evidence=evidence, view=view, trust=trust)

    def forward(
        self, inputs: ModelInput, *, parts: PartLevels = FULL_WIDTH, batch: int | None = None
    ) -> HeadOutput:
        """Maps for `inputs` with `parts` as narrow as told; `batch` is only needed when no sensor is present.

        Shapes: see ModelInput and HeadOutput.
        """
        features = self.encode(inputs, parts=parts)
        size = next((item.tokens.shape[0] for item in features.values()), 1 if batch is None else batch)
        return self.fuse(features, parts=parts, batch=size, quality=inputs.quality)


def _by_token(
    trust: Mapping[Modality, Tensor], features: Mapping[Modality, SensorFeatures], queries: Tensor
) -> Tensor | None:
    """How much every token counts [B, N]: by trust in its sensor, and by how much of it was seen.

    The canvas counts in full; None: so does everything.
    """
    if not trust and all(item.shown is None for item in features.values()):
        return None
    own = []
    for name, item in features.items():
        counts = item.tokens.new_ones(item.tokens.shape[:2]) if item.shown is None else item.shown
        own.append(counts * trust[name][:, None] if name in trust else counts)
    return torch.cat((queries.new_ones(queries.shape[:2]), *own), dim=1)


def _layer(shape: ModelShape) -> TrunkLayer:
    return TrunkLayer(
        shape.dim, heads=shape.heads, kv_heads=shape.kv_heads, ffn=shape.ffn, ffn_block=shape.ffn_block
    )
