"""What a report is drawn from; no torch in here, so that anything that recorded results can make one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.config import KINDS
from sentryfuse_core.faults.scenario import Event, Stretch
from sentryfuse_core.replay.criteria import Verdict
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.track import Track
from sentryfuse_core.types import Detection, Modality

__all__ = ["BOX_EDGES", "CLASS_COLOURS", "ReportData", "ReportFrame", "box_corners"]

CLASS_COLOURS = ("#1a73d9", "#e65926", "#33a64d", "#994dbf")  # in pictures, plots and the viewer


@dataclass(frozen=True, eq=False)
class ReportFrame:
    """One set; pictures are RGB [H, W, 3] with the boxes drawn in, `points` [N, 3] in the base frame."""

    record: SetRecord
    truth: tuple[Detection, ...]  # empty: not known
    pictures: Mapping[str, NDArray[np.uint8] | None]  # of each camera by its name; None: there is none
    points: NDArray[np.float32] | None
    why: str = ""  # what the moment is shown for
    around: bool = False  # whether the network looks elsewhere than ahead


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything a report shows; `start_ns` is on the clock of the records' `released_ns`."""

    title: str
    records: tuple[SetRecord, ...]
    start_ns: int
    seconds: float
    kinds: Mapping[str, Modality] = field(default_factory=lambda: dict(KINDS))  # of the sensors, by name
    facts: Mapping[str, str]  # what was run, by what, on what: shown as a table
    metrics: Mapping[str, Any] = field(default_factory=dict)  # as in metrics.json
    frames: tuple[ReportFrame, ...] = ()
    stretches: tuple[Stretch, ...] = ()  # of the scenario
    faults: tuple[Event, ...] = ()  # what was injected
    verdicts: tuple[Verdict, ...] = ()  # on the pass criteria
    notes: tuple[str, ...] = ()


# Between the corners that `box_corners` gives.
BOX_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))


def box_corners(detection: Detection | Track) -> NDArray[np.float64]:
    """The eight corners [8, 3] in the base frame: the lower four counter-clockwise, then the upper four."""
    along, across, up = detection.length / 2, detection.width / 2, detection.height / 2
    ring = ((along, across), (-along, across), (-along, -across), (along, -across))
    local = np.array([(x, y, z) for z in (-up, up) for x, y in ring])
    cos, sin = np.cos(detection.yaw), np.sin(detection.yaw)
    turned = local @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(turned + np.array([detection.x, detection.y, detection.z]))
