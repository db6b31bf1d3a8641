"""The plain rival: boxes joined by overlap, places smoothed by a Kalman filter of constant velocity.

The baseline of Weng et al., 'AB3DMOT' (IROS 2020), with its counts: a track is told from its third detection
on and forgotten after two sets without one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sentryfuse_core.boxes import Floats, FrameBoxes, Ints
from sentryfuse_core.lab.scoring.overlap import overlaps, paired

__all__ = ["PlainTracker"]

_HITS, _MISSES = 3, 2
_LEAST_IOU = 0.01
_STEP = np.eye(6) + np.eye(6, k=3)  # one set
_NOISE = np.diag([0.0, 0.0, 0.0, 0.01, 0.01, 0.01])
_FIRST = np.diag([10.0, 10.0, 10.0, 1e4, 1e4, 1e4])


@dataclass(eq=False)
class _Track:
    identity: int
    state: Floats  # [6] place and velocity
    covariance: Floats  # [6, 6]
    box: Floats  # [7] the last detection
    score: float
    tag: int  # of that detection
    hits: int = 1
    unseen: int = 0

    @property
    def placed(self) -> Floats:
        """The last box where the filter has it."""
        return np.concatenate((self.state[:3], self.box[3:]))


class PlainTracker:
    """Follows boxes of one class."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next = 1
        self._sets = 0

    def step(self, found: FrameBoxes, tags: Ints) -> tuple[Ints, Floats, Floats, Ints]:
        """Identities, scores, boxes [T, 7] and the last detections' tags of the tracks that are told.

        `tags` [K] are what the caller calls the detections.
        """
        for track in self._tracks:
            track.state = _STEP @ track.state
            track.covariance = _STEP @ track.covariance @ _STEP.T + _NOISE
            track.unseen += 1
        placed = np.array([track.placed for track in self._tracks]).reshape(-1, 7)
        overlap = overlaps(placed, found.boxes)
        rows, columns = paired(overlap, overlap >= _LEAST_IOU)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            self._see(self._tracks[row], found, column, int(tags[column]))
        for column in np.setdiff1d(np.arange(len(found)), columns).tolist():
            self._tracks.append(self._born(found, column, int(tags[column])))
        told = [track for track in self._tracks if self._told(track)]
        self._tracks = [track for track in self._tracks if track.unseen < _MISSES]
        self._sets += 1
        return (
            np.array([track.identity for track in told], np.int64),
            np.array([track.score for track in told]),
            np.array([track.placed for track in told]).reshape(-1, 7),
            np.array([track.tag for track in told], np.int64),
        )

    def _told(self, track: _Track) -> bool:
        return track.unseen < _MISSES and (track.hits >= _HITS or self._sets < _HITS)

    def _see(self, track: _Track, found: FrameBoxes, row: int, tag: int) -> None:
        seen = track.covariance[:, :3]
        gain = seen @ np.linalg.inv(seen[:3] + np.eye(3))
        track.state = track.state + gain @ (found.boxes[row, :3] - track.state[:3])
        track.covariance = track.covariance - gain @ track.covariance[:3]
        track.box, track.score, track.tag = found.boxes[row], float(found.scores[row]), tag
        track.hits, track.unseen = track.hits + 1, 0

    def _born(self, found: FrameBoxes, row: int, tag: int) -> _Track:
        state = np.concatenate((found.boxes[row, :3], np.zeros(3)))
        self._next += 1
        return _Track(self._next - 1, state, _FIRST.copy(), found.boxes[row], float(found.scores[row]), tag)
