"""Frames as pictures: the camera's view and the lidar from above, with the boxes of several sensor sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sentryfuse_core.boxes import Floats, FrameBoxes
from sentryfuse_core.lab.bench.plot_style import STYLE, write_png
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import Key, truth_of
from sentryfuse_core.lab.training.told import TOLD
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.replay.report_data import BOX_EDGES, box_corners
from sentryfuse_core.types import Detection, ModalitySet

__all__ = ["Drawings"]

_COLOURS = ("#ff5964", "#3bceac", "#b388eb", "#ffb400")  # by class; of more classes they come again
_TRUE = "#f5f749"
_NEAREST_M = 0.5  # ahead of the camera; what is nearer has no place in the image
_MOST_POINTS = 20_000


class Drawings:
    """Draws every `every`-th batch of one frame into `folder`, a column for each set of sensors."""

    def __init__(
        self, folder: Path, *, every: int, masks: Sequence[ModalitySet], labels: Sequence[str], level: int
    ) -> None:
        self._folder, self._every, self._level = folder, every, level
        self._masks, self._labels = list(masks), tuple(labels)
        self._seen = 0

    def __call__(self, batch: LabelledBatch, found: Mapping[Key, list[FrameBoxes]]) -> None:
        """Draw the frame if it is its turn; raises OutputError where that cannot be written."""
        number, self._seen = self._seen, self._seen + 1
        if number % self._every:
            return
        truth = truth_of(batch.boxes, batch.classes)[0]
        columns = {str(mask): found[f"{TOLD}{mask}", self._level][0] for mask in self._masks}
        path = self._folder / f"frame_{number:06d}.png"
        with mpl.rc_context({**STYLE, "axes.grid": False}):
            figure = Figure(figsize=(4.2 * len(columns), 6.2), layout="constrained")
            grid = figure.subplots(2, len(columns), squeeze=False, height_ratios=(1, 2.6))
            for (name, boxes), (view, above) in zip(columns.items(), grid.T, strict=True):
                self._camera(view, batch, boxes, truth)
                self._above(above, batch, boxes, truth)
                view.set_title(f"{name}: {len(boxes)} told, {len(truth)} labelled")
            write_png(figure, path, dpi=80)

    def _camera(self, axis: Axes, batch: LabelledBatch, boxes: FrameBoxes, truth: FrameBoxes) -> None:
        axis.set_axis_off()
        image, position = batch.inputs.camera, batch.inputs.camera_position
        if image is None or position is None:
            axis.text(0.5, 0.5, "no camera", ha="center", transform=axis.transAxes)
            return
        axis.imshow(image[0].permute(1, 2, 0).clamp(0, 1).numpy())
        for colour, box in self._coloured(boxes, truth):
            pixels = _pixels(_corners(box), position[0].numpy())
            if pixels is not None:
                for edge in BOX_EDGES:
                    axis.plot(*pixels[list(edge)].T, color=colour, linewidth=0.8)
        axis.set_xlim(0, GEOMETRY.image_width)
        axis.set_ylim(GEOMETRY.image_height, 0)

    def _above(self, axis: Axes, batch: LabelledBatch, boxes: FrameBoxes, truth: FrameBoxes) -> None:
        if batch.points is not None:
            points = batch.points[0].numpy()
            points = points[:: max(1, len(points) // _MOST_POINTS)]
            axis.scatter(points[:, 1], points[:, 0], s=0.2, c=points[:, 2], cmap="Greys_r", vmin=-0.5, vmax=3)
        for colour, box in self._coloured(boxes, truth):
            corners = _corners(box)[[0, 1, 2, 3, 0]]
            axis.plot(corners[:, 1], corners[:, 0], color=colour, linewidth=1.2)
        for label, colour in zip(self._labels, self._palette(), strict=False):
            axis.plot([], [], color=colour, label=label)
        axis.plot([], [], color=_TRUE, label="labelled")
        axis.legend(loc="lower left", fontsize=6)
        axis.set_facecolor("#1b1f27")
        axis.set(xlim=(GEOMETRY.y_max_m, GEOMETRY.y_min_m), ylim=(GEOMETRY.x_min_m, GEOMETRY.x_max_m))
        axis.set(xlabel="left (m)", ylabel="ahead (m)", aspect="equal")

    def _coloured(self, boxes: FrameBoxes, truth: FrameBoxes) -> Iterator[tuple[str, Floats]]:
        palette = self._palette()
        yield from ((_TRUE, box) for box in truth.boxes)
        yield from ((palette[kind], box) for box, kind in zip(boxes.boxes, boxes.classes, strict=True))

    def _palette(self) -> list[str]:
        return [_COLOURS[number % len(_COLOURS)] for number in range(len(self._labels))]


def _corners(box: Floats) -> Floats:
    """Of a box [7], see `box_corners`."""
    return box_corners(Detection("", 0, 1.0, *box.tolist()))


def _pixels(corners: Floats, position: Floats) -> Floats | None:
    """Where corners [8, 3] lie in the virtual camera's image, [8, 2]; None where one is not before it."""
    ahead, left, up = (corners - position).T
    if ahead.min() < _NEAREST_M:
        return None
    along = np.stack((left, up), axis=1) / ahead[:, None]
    found: Floats = (GEOMETRY.image_cx, GEOMETRY.image_cy) - along * (GEOMETRY.image_fx, GEOMETRY.image_fy)
    return found
