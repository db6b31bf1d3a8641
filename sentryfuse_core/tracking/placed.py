"""Tracks as another frame has them, in which the base stands: odometry's, seen from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sentryfuse_core.planar import EgoStep, step
from sentryfuse_core.track import Track
from sentryfuse_core.tracking.motion import moved, seen_from

__all__ = ["placed"]


def placed(tracks: Sequence[Track], base: EgoStep) -> tuple[Track, ...]:
    """The tracks in the frame in which the base is there; heights stay those over the base."""
    if not tracks:
        return ()
    way = step(base, EgoStep())  # of that frame, as the base has it
    states = np.array([(t.x, t.y, t.vx, t.vy, t.yaw, t.turn_rate) for t in tracks])
    after, covariances = moved(states, np.stack([track.covariance for track in tracks]), way)
    return tuple(
        replace(
            track,
            x=x,
            y=y,
            vx=vx,
            vy=vy,
            yaw=math.remainder(yaw, math.tau),
            covariance=covariance,
            trail=seen_from(track.trail, way),
        )
        for track, (x, y, vx, vy, yaw, _), covariance in zip(tracks, after.tolist(), covariances, strict=True)
    )
