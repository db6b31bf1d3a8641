"""Smoothing of a set's detections by the tracks that they belong to: scores and sizes, never places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sentryfuse_core.boxes import Floats
from sentryfuse_core.track import Track
from sentryfuse_core.tracking.existence import logit
from sentryfuse_core.types import Detection

__all__ = ["blended", "smoothed"]

_SHARE = 0.5  # of the track's mean score; chosen on drives of the synthetic world that nothing is judged on


def blended(scores: Floats, means: Floats) -> Floats:
    """Half way from scores `[K]` of detections to means `[K]` of their tracks, in logarithms of odds."""
    odds = (1.0 - _SHARE) * logit(scores) + _SHARE * logit(means)
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def smoothed(
    found: Sequence[Detection], tracks: Sequence[Track], *, least: Sequence[float]
) -> tuple[tuple[Detection, ...], tuple[Track, ...]]:
    """What is found with the scores and sizes that tracks give it, the best first, and those tracks.

    Args:
        found: detections, also those that score less than their `least`.
        tracks: of the same set, their `detection` counted in `found`; afterwards in what is handed back.
        least: of each detection, the score below which it is not told once it is smoothed.
    """
    own = {track.detection: track for track in tracks if track.detection is not None}
    followed = list(own)
    scores = blended(
        np.array([found[index].score for index in followed]),
        np.array([own[index].score for index in followed]),
    )
    made = list(found)
    for index, score in zip(followed, scores.tolist(), strict=True):
        track = own[index]
        made[index] = replace(
            found[index], score=score, length=track.length, width=track.width, height=track.height
        )
    order = [index for index in range(len(made)) if made[index].score >= least[index]]
    order.sort(key=lambda index: -made[index].score)
    place = {index: number for number, index in enumerate(order)}
    renumbered = (
        replace(track, detection=None if track.detection is None else place.get(track.detection))
        for track in tracks
    )
    return tuple(made[index] for index in order), tuple(renumbered)
