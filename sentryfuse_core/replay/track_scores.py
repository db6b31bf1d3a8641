"""Tracks of a run: how many, how long unseen, and how well they keep to the objects that labels name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.evaluation.motion import Crowd, Moment, score_motion, track_frames
from sentryfuse_core.evaluation.tracks import score_tracks, switches_by_frame
from sentryfuse_core.json_values import json_value
from sentryfuse_core.replay.labels import TrueBox
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.truth import Truth, in_region
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.types import Detection

__all__ = ["track_metrics"]

_DIGITS = 4
_EPOCH = 2**32  # ids of a message are below; none comes again within an epoch alone


@dataclass(frozen=True, eq=False)
class _Scored:
    """A set beside its label."""

    record: SetRecord
    moment: Moment
    speeds: bool  # whether both say how fast over ground


def track_metrics(
    records: Sequence[SetRecord],
    *,
    start_ns: int,
    truth: Truth | None = None,
    clean: Sequence[SetRecord] | None = None,
) -> dict[str, Any] | None:
    """Plain values for metrics.json; None where tracking was off.

    The longest coast is one within the network's region: beyond, nothing is found. `scores` are of confirmed
    and coasting tracks in the region, where the labels have identities: `overall`, for each set of sensors
    (`masks`), and in a `clean` run without faults; `switches` tells when, in s from `start_ns`.
    """
    followed = [record for record in records if record.tracks is not None]
    if not followed:
        return None
    confirmed: set[tuple[int, int]] = set()
    longest_s = 0.0
    for record in followed:  # one by one: an hour of tracks at once takes more than all that is kept
        for track in _believed(record):
            confirmed.add((record.epoch, track.identity))
            longest_s = max(longest_s, track.unseen_s if in_region(track.x, track.y) else 0.0)
    return {
        "confirmed": len(confirmed),
        "longest_coast_s": round(longest_s, 3),
        "over_ground_share": round(sum(record.over_ground for record in followed) / len(followed), _DIGITS),
        "scores": None if truth is None else _scores(followed, truth, clean, start_ns),
    }


def _scores(
    records: Sequence[SetRecord], truth: Truth, clean: Sequence[SetRecord] | None, start_ns: int
) -> dict[str, Any] | None:
    """None where the labels have no identities, or one twice in a moment."""
    if not truth.followed:
        return None
    scored = _beside(records, truth)
    if not any(len(one.moment.truth) for one in scored):
        return None
    per_set = switches_by_frame(track_frames([one.moment for one in scored]))
    masks = sorted({one.record.used for one in scored})
    without = _beside([record for record in clean or () if record.tracks is not None], truth)
    return {
        "overall": _part(scored),
        "masks": {str(used): _part([one for one in scored if one.record.used == used]) for used in masks},
        "clean": _part(without) if without else None,
        "switches": [
            {"t": round((one.record.released_ns - start_ns) / NS_PER_S, 6), "count": count}
            for one, count in zip(scored, per_set, strict=True)
            if count
        ],
    }


def _part(scored: Sequence[_Scored]) -> dict[str, Any]:
    found = score_tracks(track_frames([one.moment for one in scored]))
    motion = score_motion([one.moment for one in scored if one.speeds])
    plain = {
        "hota": found.hota,
        "mota": found.mota,
        "idf1": found.idf1,
        "switches": found.switches,
        "mave_m_s": motion.mave_m_s,
        "sets": len(scored),
    }
    short: dict[str, Any] = json_value(plain, _DIGITS)
    return short


def _beside(records: Sequence[SetRecord], truth: Truth) -> list[_Scored]:
    """The sets that have a label near, with it; what is of a class that no label names is left out."""
    number = _Numbers()
    scored = []
    for record in records:
        real = truth.near(record.stamp_ns)
        if real is None:
            continue
        named = [box for box in real if isinstance(box, TrueBox)]
        tracks = [
            track
            for track in _believed(record)
            if track.label in truth.labels and in_region(track.x, track.y)
        ]
        who = [record.epoch * _EPOCH + track.identity for track in tracks]
        true_speeds = [box.velocity for box in named if box.velocity is not None]
        speeds = record.over_ground and len(true_speeds) == len(named)
        still = [(0.0, 0.0)] * len(named)
        moment = Moment(
            _crowd(named, [number[box.identity] for box in named], true_speeds if speeds else still, truth),
            _crowd(tracks, who, [(track.vx, track.vy) for track in tracks], truth),
        )
        scored.append(_Scored(record, moment, speeds))
    return scored


class _Numbers(dict[Any, int]):
    """Numbers of identities, in the order in which they are asked for."""

    def __missing__(self, identity: Any) -> int:
        return self.setdefault(identity, len(self))


def _believed(record: SetRecord) -> list[Track]:
    return [track for track in record.tracks or () if track.state is not TrackState.TENTATIVE]


def _crowd(
    boxes: Sequence[Detection | Track],
    who: Sequence[int],
    speeds: Sequence[tuple[float, float]],
    truth: Truth,
) -> Crowd:
    return Crowd(
        identities=np.array(who, np.int64),
        classes=np.array([truth.labels.index(box.label) for box in boxes], np.int64),
        places=np.array([(box.x, box.y) for box in boxes]).reshape(-1, 2),
        velocities=np.array(speeds, float).reshape(-1, 2),
        headings=np.array([box.yaw for box in boxes], float),
    )
