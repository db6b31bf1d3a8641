"""The detection head: canvas tokens become a centre heat map and boxes, and those become detections."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.canvas import Canvas, cell_centres
from sentryfuse_core.model.features import CameraView
from sentryfuse_core.model.shape import BOX_CHANNELS, ModelShape
from sentryfuse_core.model.slim import SlimConv
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.types import Detection, Modality, ModalitySet

__all__ = ["DetectionHead", "HeadOutput", "Peaks", "decode", "find_peaks"]

_SEEN = 0.2  # a sensor's own heat map above this supports a box
_BESIDE_M = 2.0  # without a lidar, boxes of a class this close to a better one may be the same object
_BEHIND = 0.15  # and those this share of its range further off, or nearer, in the same direction
_CANDIDATES = 50  # boxes that this is asked of, where fewer are wanted
_DOUBT = 0.7  # what is left of such a box's score
_PERSON, _CYCLIST = "pedestrian", "cyclist"  # labels: every cyclist has a person in it
_PRIOR_LOGIT = -2.2  # a heat map starts at 0.1, so that the first steps are not spent on emptiness


@dataclass(frozen=True, eq=False)
class HeadOutput:
    """Raw maps over the region, rows along x, columns along y."""

    heatmap: Tensor  # [B, classes, 32, 32] logits of a box centre
    boxes: Tensor  # [B, 10, 32, 32] as BOX_CHANNELS; metres and logarithms of metres
    evidence: Mapping[Modality, Tensor] = field(default_factory=dict)  # [B, 1, 32, 32] own logits of each
    view: CameraView | None = None  # for training only
    trust: Mapping[Modality, Tensor] = field(default_factory=dict)  # [B] each; empty: not asked


@dataclass(frozen=True, eq=False)
class Peaks:
    """The best local maxima of each sample, best first."""

    scores: Tensor  # [B, K]
    classes: Tensor  # [B, K] int64
    boxes: Tensor  # [B, K, 7] x, y, z, length, width, height in m, yaw in rad
    support: Tensor  # [B, K] int64 bits of the sensors that see something there by themselves


class DetectionHead(nn.Module):
    """Canvas tokens spread over their 2x2 sub-cells, what sensors add to those, and two convolutions."""

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        self._classes = shape.classes
        self._split = geometry.heatmap_cells // geometry.canvas_cells
        fine = shape.fine_channels
        self.norm = nn.LayerNorm(shape.dim)
        self.spread = nn.Linear(shape.dim, self._split**2 * fine)
        self.first = SlimConv(fine, fine)
        self.second = SlimConv(fine, fine)
        self.maps = nn.Conv2d(2 * fine, shape.classes + BOX_CHANNELS, 1)
        self._fine = fine
        with torch.no_grad():
            self.maps.bias.zero_()  # type: ignore[union-attr]
            self.maps.bias[: shape.classes] = _PRIOR_LOGIT  # type: ignore[index]
            self.maps.weight.mul_(0.3)

    def forward(self, tokens: Tensor, fine: Sequence[Tensor], canvas: Canvas, *, channels: int) -> HeadOutput:
        """Maps of canvas `tokens` [B, cells, D], in its order, and of the sensors' `fine` maps.

        `fine` are [B, fine_channels, 32, 32] each; the convolutions run with `channels`.
        """
        grid = canvas.to_fine_grid(self.spread(self.norm(tokens)), self._split)
        for item in fine:
            grid = grid + item
        mixed = self.second(self.first(functional.relu(grid), channels), channels)
        maps = functional.conv2d(grid, self.maps.weight[:, : self._fine], self.maps.bias)
        maps = maps + functional.conv2d(mixed, self.maps.weight[:, self._fine : self._fine + channels])
        return HeadOutput(maps[:, : self._classes], maps[:, self._classes :])


def find_peaks(output: HeadOutput, *, count: int, labels: Sequence[str] = ()) -> Peaks:
    """The `count` best cells that are the largest of their 3x3 neighbourhood in their class.

    Camera and audio know directions better than distances, and offer one object several times along a ray:
    without a lidar each box loses score by every better one of its class in an ellipse about that, which is
    long along the ray from the base frame.

    A cyclist is a person, too, and what looks like one from behind: where `labels` name both classes, a
    pedestrian within a cyclist's box is one only as far as that is no cyclist.
    """
    peaks = _peaks(output, max(count, _CANDIDATES))
    scores = peaks.scores
    if output.evidence and Modality.LIDAR not in output.evidence:
        scores = scores * _DOUBT ** _rivals(peaks.boxes[..., :2], peaks.classes)
    if _PERSON in labels and _CYCLIST in labels:
        inside = _within(peaks.boxes) & (peaks.classes == labels.index(_PERSON))[:, :, None]
        inside &= (peaks.classes == labels.index(_CYCLIST))[:, None]
        scores = scores * torch.where(inside, 1.0 - scores[:, None], 1.0).prod(dim=2)
    scores, order = scores.topk(min(count, scores.shape[1]), dim=1)
    return Peaks(
        scores,
        peaks.classes.gather(1, order),
        peaks.boxes.gather(1, order[..., None].expand(-1, -1, peaks.boxes.shape[-1])),
        peaks.support.gather(1, order),
    )


def _peaks(output: HeadOutput, count: int) -> Peaks:
    scores = output.heatmap.sigmoid()
    largest = functional.max_pool2d(scores, 3, stride=1, padding=1)
    kept = torch.where(scores == largest, scores, torch.zeros_like(scores)).flatten(1)
    best, index = kept.topk(min(count, kept.shape[1]), dim=1)
    side = output.heatmap.shape[-1]
    cell = index % (side * side)
    raw = output.boxes.flatten(2).gather(2, cell[:, None].expand(-1, BOX_CHANNELS, -1)).transpose(1, 2)
    centre = _centres(side).to(raw)[cell] + raw[..., :2]
    size = raw[..., 3:6].clamp(-4.0, 4.0).exp()
    yaw = _heading(*raw[..., 6:].unbind(-1))
    boxes = torch.cat((centre, raw[..., 2:3], size, yaw[..., None]), dim=-1)
    support = torch.zeros_like(cell)
    for modality, logits in output.evidence.items():
        seen = logits.flatten(1).gather(1, cell).sigmoid() > _SEEN
        support |= seen.long() * modality.bit
    return Peaks(best, index // (side * side), boxes, support)


@lru_cache(maxsize=2)
def _centres(side: int) -> Tensor:
    """`cell_centres`, made once: each set's boxes are read off by them."""
    return cell_centres(GEOMETRY, side)


def _rivals(centres: Tensor, classes: Tensor) -> Tensor:
    """How many better boxes of its class each has about it, [B, K]; `centres` [B, K, 2] m, best first."""
    range_m = torch.linalg.vector_norm(centres, dim=-1).clamp_min(1e-3)
    x, y = (centres / range_m[..., None]).unbind(-1)
    apart = centres[:, :, None] - centres[:, None]  # [B, K, K, 2] from the better to the worse
    along = apart[..., 0] * x[:, None] + apart[..., 1] * y[:, None]
    across = apart[..., 1] * x[:, None] - apart[..., 0] * y[:, None]
    reach_m = _BESIDE_M + _BEHIND * range_m[:, None]
    close = (along / reach_m).square() + (across / _BESIDE_M).square() < 1.0
    same = classes[:, :, None] == classes[:, None]
    rivals: Tensor = (close & same).tril(diagonal=-1).sum(dim=-1)
    return rivals


def _within(boxes: Tensor) -> Tensor:
    """Whether the centre of each of the boxes [B, K, 7] lies in each other one's outline: [B, K, K]."""
    apart = boxes[:, :, None, :2] - boxes[:, None, :, :2]
    cos, sin = boxes[:, None, :, 6].cos(), boxes[:, None, :, 6].sin()
    along = apart[..., 0] * cos + apart[..., 1] * sin
    across = apart[..., 1] * cos - apart[..., 0] * sin
    length, width = boxes[:, None, :, 3], boxes[:, None, :, 4]
    inside: Tensor = (along.abs() < length / 2) & (across.abs() < width / 2)
    return inside


def _heading(sine: Tensor, cosine: Tensor, sine_twice: Tensor, cosine_twice: Tensor) -> Tensor:
    """Yaw in rad: the axis by twice the angle, which front and back agree on; which end is the front by yaw.

    Sine and cosine alone would average out for boxes whose ends look alike, and leave no axis either.
    """
    axis = 0.5 * torch.atan2(sine_twice, cosine_twice)
    ahead = axis.cos() * cosine + axis.sin() * sine >= 0.0
    return torch.where(ahead, axis, torch.where(axis > 0.0, axis - math.pi, axis + math.pi))


def decode(
    output: HeadOutput, *, score_threshold: float, max_detections: int, labels: Sequence[str]
) -> list[tuple[Detection, ...]]:
    """The detections of every sample of the batch, best first; boxes that are not finite are left out."""
    peaks = find_peaks(output, count=max_detections, labels=labels)
    good = (peaks.scores >= score_threshold) & peaks.boxes.isfinite().all(dim=-1)
    columns = (good, peaks.scores, peaks.classes, peaks.boxes, peaks.support)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        tuple(
            _detection(labels[class_id], class_id, score, box, support)
            for use, score, class_id, box, support in zip(*row, strict=True)
            if use
        )
        for row in rows
    ]


def _detection(label: str, class_id: int, score: float, box: Sequence[float], support: int) -> Detection:
    x, y, z, length, width, height, yaw = box
    return Detection(label, class_id, score, x, y, z, length, width, height, yaw, ModalitySet(support))
