"""Tracks through scripted blackouts of held-out drives: identities, speeds, headings and phantoms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats, FrameBoxes
from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.evaluation.matching import match_frames
from sentryfuse_core.evaluation.motion import (
    Crowd,
    Moment,
    MotionScores,
    kept_identities,
    phantoms,
    score_motion,
    track_frames,
)
from sentryfuse_core.evaluation.tracks import TrackScores, score_tracks
from sentryfuse_core.lab.scoring.track_drives import RATE_HZ, TrackDrive
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.tracking.findable import Recall, findable
from sentryfuse_core.tracking.follow import headings
from sentryfuse_core.tracking.noise import place_noise
from sentryfuse_core.tracking.objects import Objects
from sentryfuse_core.tracking.profiles import profiles
from sentryfuse_core.tracking.tracker import Tracker
from sentryfuse_core.types import Modality, ModalitySet

__all__ = [
    "ALL",
    "BLACKOUT",
    "BLIND",
    "LIDAR_GONE",
    "NO_LIDAR",
    "SETS",
    "RunScores",
    "follow",
    "judge_runs",
    "masks_of",
    "move_on",
    "scripts",
]

ALL = ModalitySet.all()
BLIND = ModalitySet.of(Modality.IMU)  # all that perceive are gone
NO_LIDAR = ALL - ModalitySet.of(Modality.LIDAR)
_LIDAR, _CAMERA = ModalitySet.of(Modality.LIDAR), ModalitySet.of(Modality.CAMERA)
_AUDIO = ModalitySet.of(Modality.AUDIO)
SETS = (ALL, ALL - _AUDIO, _LIDAR | BLIND, NO_LIDAR, _CAMERA | BLIND, _AUDIO | BLIND)
BLACKOUT, LIDAR_GONE = "all gone for 1 s", "lidar gone for 10 s"  # names of runs
_BLACKOUT_EVERY_S, _BLACKOUT_S = 5.0, 1.0
_LIDAR_GONE_S = (10.0, 20.0)
_FOUND_AGAIN_S = 1.0  # that an object may take to be followed again
_FAR = 10**7  # identities of one drive are below


@dataclass(frozen=True)
class RunScores:
    """One script over all drives."""

    name: str
    tracks: TrackScores
    motion: MotionScores
    phantoms: int  # confirmed tracks that never were a true object
    every: int  # confirmed tracks
    false_boxes: int | None  # of the detections alone at the same recall; None where sets change
    kept: int = 0  # identities that lived through the blackouts,
    followed: int = 0  # of those that the undisturbed run follows before and after
    there: int = 0  # and of all that are there before and after, hidden or not

    @property
    def recall(self) -> float:
        """Share of the true boxes that a track is on, within 2 m."""
        return self.tracks.hits / max(1, self.tracks.hits + self.tracks.missed)

    @property
    def kept_share(self) -> float:
        """Share of the identities that lived through the blackouts; NaN without any."""
        return self.kept / self.followed if self.followed else math.nan

    @property
    def phantoms_fewer(self) -> float:
        """How many false boxes there are for a phantom track; NaN where sets change."""
        return math.nan if self.false_boxes is None else self.false_boxes / max(1, self.phantoms)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        shares = {name: getattr(self, name) for name in ("recall", "kept_share", "phantoms_fewer")}
        return {**asdict(self), **shares, "mave_m_s": self.motion.mave_m_s}


def scripts(seconds: float) -> dict[str, list[ModalitySet]]:
    """Sensors in use at every moment of a drive, by name of the run."""
    count = math.ceil(seconds * RATE_HZ - 1e-9)
    times = np.arange(count) / RATE_HZ
    blind = (times >= _BLACKOUT_EVERY_S) & (times % _BLACKOUT_EVERY_S < _BLACKOUT_S - 1e-9)
    deaf = (times >= _LIDAR_GONE_S[0]) & (times < _LIDAR_GONE_S[1])
    return {
        **{str(mask): [mask] * count for mask in SETS},
        BLACKOUT: [BLIND if gone else ALL for gone in blind],
        LIDAR_GONE: [NO_LIDAR if gone else ALL for gone in deaf],
    }


def masks_of(runs: Mapping[str, Sequence[ModalitySet]]) -> list[ModalitySet]:
    """The sets that detect in any of the runs."""
    used = {mask for script in runs.values() for mask in script} - {BLIND}
    return sorted(used)


def judge_runs(
    drives: Sequence[TrackDrive],
    runs: Mapping[str, Sequence[ModalitySet]],
    *,
    labels: Sequence[str],
    recall: Recall,
) -> list[RunScores]:
    """Follow the objects of all drives in every run; `recall` is what sets of sensors find."""
    config = TrackingConfig()
    moments = {
        name: [follow(drive, script, labels=labels, recall=recall, config=config) for drive in drives]
        for name, script in runs.items()
    }
    return [_scores(name, drives, runs[name], moments, len(labels)) for name in runs]


def move_on(
    tracker: Tracker, found: FrameBoxes, mask: ModalitySet, step: EgoStep, *, known: Floats, recall: Recall
) -> Objects:
    """The objects of a tracker after one more moment of a drive; `known` are the profiles of its classes."""
    return tracker.step(
        found,
        1.0 / RATE_HZ,
        findable=findable(mask, recall),
        noise=place_noise(found.boxes[:, :2], known[found.classes, 3], mask),
        seen_by=mask.bits,
        ego=step,
        over_ground=True,
    )


def follow(
    drive: TrackDrive,
    script: Sequence[ModalitySet],
    *,
    labels: Sequence[str],
    recall: Recall,
    config: TrackingConfig,
) -> list[Moment]:
    """The tracks held to be there at every moment of a drive, as far as they are in the region."""
    tracker, known = Tracker(config, labels), profiles(labels)
    moments = []
    for index, mask in enumerate(script):
        found = FrameBoxes.none() if mask == BLIND else drive.found[mask][index]
        objects = move_on(tracker, found, mask, drive.steps[index], known=known, recall=recall)
        shown = objects.take((objects.exists >= config.confirm_probability) & _inside(objects.states))
        crowd = Crowd(
            identities=shown.identities,
            classes=shown.classes,
            places=shown.states[:, :2],
            velocities=shown.states[:, 2:4],
            headings=headings(shown, known),
        )
        moments.append(Moment(drive.truth[index], crowd))
    return moments


def _inside(states: Floats) -> NDArray[np.bool_]:
    """[N] what is in the region that the network sees."""
    x, y = states[:, 0], states[:, 1]
    across = (y >= GEOMETRY.y_min_m) & (y < GEOMETRY.y_max_m)
    return np.asarray(across & (x >= GEOMETRY.x_min_m) & (x < GEOMETRY.x_max_m))


def _scores(
    name: str,
    drives: Sequence[TrackDrive],
    script: Sequence[ModalitySet],
    moments: Mapping[str, Sequence[Sequence[Moment]]],
    class_count: int,
) -> RunScores:
    every = [_renamed(one, number) for number, own in enumerate(moments[name]) for one in own]
    tracks = score_tracks(track_frames(every))
    ghosts, count = phantoms(every)
    false_boxes = None
    if len(set(script)) == 1:
        false_boxes = _false_boxes(drives, script[0], tracks.hits, class_count)
    kept = np.zeros(3, int)
    within = round(_FOUND_AGAIN_S * RATE_HZ)
    for first, last in _blackouts(script):
        for own, whole in zip(moments[name], moments[str(ALL)], strict=True):
            kept += kept_identities(own, whole, before=first - 1, after=last, within=within)
    return RunScores(
        name=name,
        tracks=tracks,
        motion=score_motion(every),
        phantoms=ghosts,
        every=count,
        false_boxes=false_boxes,
        **dict(zip(("kept", "followed", "there"), kept.tolist(), strict=True)),
    )


def _blackouts(script: Sequence[ModalitySet]) -> list[tuple[int, int]]:
    """First moment of every gap without a sensor that perceives, and first after it, where it ends."""
    gone = np.array([mask == BLIND for mask in script])
    first = np.flatnonzero(~gone[:-1] & gone[1:]) + 1
    last = np.flatnonzero(gone[:-1] & ~gone[1:]) + 1
    return list(zip(first.tolist(), last.tolist(), strict=False))


def _renamed(moment: Moment, number: int) -> Moment:
    """With identities that no other drive has."""
    return Moment(
        *(
            replace(crowd, identities=crowd.identities + number * _FAR)
            for crowd in (moment.truth, moment.found)
        )
    )


def _false_boxes(drives: Sequence[TrackDrive], mask: ModalitySet, hits: int, class_count: int) -> int:
    """Wrong boxes among the best detections that together find `hits` true ones, or among all."""
    truth = [frame for drive in drives for frame in drive.boxes]
    found = [frame for drive in drives for frame in drive.found[mask]]
    right = np.cumsum(match_frames(truth, found, class_count=class_count).right)
    last = min(int(np.searchsorted(right, hits)), len(right) - 1)
    return last + 1 - int(right[last]) if len(right) else 0
