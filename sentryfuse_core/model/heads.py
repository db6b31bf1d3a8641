"""The detection head: canvas tokens become a centre heat map and boxes, and those become detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.canvas import Canvas, cell_centres
from sentryfuse_core.model.shape import BOX_CHANNELS, ModelShape
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.types import Detection

__all__ = ["DetectionHead", "HeadOutput", "Peaks", "decode", "find_peaks"]

_PRIOR_LOGIT = -2.2  # a heat map starts at 0.1, so that the first steps are not spent on emptiness


@dataclass(frozen=True, eq=False)
class HeadOutput:
    """Raw maps over the region, rows along x, columns along y."""

    heatmap: Tensor  # [B, classes, 32, 32] logits of a box centre
    boxes: Tensor  # [B, 8, 32, 32] dx, dy, z in m, log length, log width, log height, sin yaw, cos yaw


@dataclass(frozen=True, eq=False)
class Peaks:
    """The best local maxima of each sample, best first."""

    scores: Tensor  # [B, K]
    classes: Tensor  # [B, K] int64
    boxes: Tensor  # [B, K, 7] x, y, z, length, width, height in m, yaw in rad


class DetectionHead(nn.Module):
    """One linear map from each canvas token to its 2x2 sub-cells."""

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        self._classes = shape.classes
        self._split = geometry.heatmap_cells // geometry.canvas_cells
        self.norm = nn.LayerNorm(shape.dim)
        self.maps = nn.Linear(shape.dim, self._split**2 * (shape.classes + BOX_CHANNELS))
        with torch.no_grad():
            bias = self.maps.bias.view(self._split**2, -1)
            bias.zero_()
            bias[:, : shape.classes] = _PRIOR_LOGIT
            self.maps.weight.mul_(0.3)

    def forward(self, tokens: Tensor, canvas: Canvas) -> HeadOutput:
        """`tokens` [B, cells, D] of the canvas, in its order."""
        grid = canvas.to_grid(self.maps(self.norm(tokens)))
        split = torch.unflatten(grid, -1, (self._split, self._split, -1))  # [B, X, Y, sx, sy, C]
        maps = split.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return HeadOutput(maps[:, : self._classes], maps[:, self._classes :])


def find_peaks(output: HeadOutput, *, count: int, geometry: Geometry = GEOMETRY) -> Peaks:
    """The `count` best cells that are the largest of their 3x3 neighbourhood in their class."""
    scores = output.heatmap.sigmoid()
    largest = functional.max_pool2d(scores, 3, stride=1, padding=1)
    kept = torch.where(scores == largest, scores, torch.zeros_like(scores)).flatten(1)
    best, index = kept.topk(min(count, kept.shape[1]), dim=1)
    side = output.heatmap.shape[-1]
    cell = index % (side * side)
    raw = output.boxes.flatten(2).gather(2, cell[:, None].expand(-1, BOX_CHANNELS, -1)).transpose(1, 2)
    centre = cell_centres(geometry, side).to(raw)[cell] + raw[..., :2]
    size = raw[..., 3:6].clamp(-4.0, 4.0).exp()
    yaw = torch.atan2(raw[..., 6], raw[..., 7])
    boxes = torch.cat((centre, raw[..., 2:3], size, yaw[..., None]), dim=-1)
    return Peaks(best, index // (side * side), boxes)


def decode(
    output: HeadOutput, *, score_threshold: float, max_detections: int, labels: Sequence[str]
) -> list[tuple[Detection, ...]]:
    """The detections of every sample of the batch, best first; boxes that are not finite are left out."""
    peaks = find_peaks(output, count=max_detections)
    good = (peaks.scores >= score_threshold) & peaks.boxes.isfinite().all(dim=-1)
    rows = zip(
        good.tolist(), peaks.scores.tolist(), peaks.classes.tolist(), peaks.boxes.tolist(), strict=True
    )
    return [
        tuple(
            Detection(labels[class_id], class_id, score, *box)
            for use, score, class_id, box in zip(*row, strict=True)
            if use
        )
        for row in rows
    ]
