"""View: the wedge ahead in which a set labels everything; what lies beyond may be there without a label."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.model.canvas import cell_centres
from sentryfuse_core.preprocess.geometry import GEOMETRY

__all__ = ["EVERYWHERE", "KITTI_VIEW", "View"]


@dataclass(frozen=True, kw_only=True)
class View:
    """Points more than `nearest_m` ahead and at most `half_angle_deg` from ahead as seen from `apex_m`."""

    half_angle_deg: float = 180.0
    apex_m: float = 0.0  # x of the wedge's tip, base frame
    nearest_m: float = -math.inf  # x

    def only(self, frame: FrameBoxes) -> FrameBoxes:
        """The boxes whose centres lie in the view."""
        x, y = (torch.from_numpy(np.asarray(frame.boxes[:, column], np.float64)) for column in (0, 1))
        return frame.take(self.holds(x, y).numpy())

    def holds(self, x: Tensor, y: Tensor) -> Tensor:
        """Which points, in m of the base frame, lie in the view: bool of their shape."""
        bearing = torch.atan2(y, x - self.apex_m).abs()
        return (x > self.nearest_m) & (bearing <= math.radians(self.half_angle_deg))

    def cells(self) -> Tensor:
        """Which cells of the head's maps have their centre in the view: [32, 32] bool, rows along x."""
        side = GEOMETRY.heatmap_cells
        x, y = cell_centres(GEOMETRY, side).view(side, side, 2).unbind(-1)
        return self.holds(x, y)


EVERYWHERE = View()
# KITTI labels what camera 2 sees: 81 degrees across, from .27 m ahead of the Velodyne. Nearer than 2 m the
# image's lower edge cuts off what stands on the ground.
KITTI_VIEW = View(half_angle_deg=40.0, apex_m=0.3, nearest_m=2.0)
