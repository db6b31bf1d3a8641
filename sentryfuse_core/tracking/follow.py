"""Follower: sets with their detections in, tracks out; what the pipeline calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sentryfuse_core.boxes import Floats, FrameBoxes
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.ego import EgoMotion
from sentryfuse_core.planar import EgoStep, Velocity
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.tracking.objects import Objects
from sentryfuse_core.tracking.profiles import profiles
from sentryfuse_core.tracking.tracker import STANDING, Tracker
from sentryfuse_core.tracking.watch import Watch, found_by, noise_around, watched
from sentryfuse_core.types import Detection, ModalitySet, SyncedSet

__all__ = ["FAINT", "Follower", "headings"]

FAINT = 0.1  # detections that score less are no claims: a head fills its list with them
_UNSURE_M_S = 1.0  # of speeds that were relative to the robot, once they are over ground, or the other way
_MOVING_M_S = 1.0  # what is faster looks where it goes
_STATES = {  # by whether it is believed to be there, and whether it was found in this set
    (False, False): TrackState.TENTATIVE,
    (False, True): TrackState.TENTATIVE,
    (True, True): TrackState.CONFIRMED,
    (True, False): TrackState.COASTING,
}


class Follower:
    """Follows the objects of consecutive sets; one thread at a time.

    A new epoch begins anew, with identities from 1; within one, a stamp before the last one's does, but its
    identities go on.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._tracker = Tracker(TrackingConfig(), labels)
        self._labels = labels
        self._profiles = profiles(labels)
        self._last: tuple[int, int] | None = None  # epoch and stamp of the last set
        self.over_ground = False  # whether the speeds are; else relative to the robot
        self._velocity = Velocity()  # the robot's, while they are

    def forget(self) -> None:
        """Follow nothing any more; no identity of this epoch comes again."""
        self._tracker.forget()

    def step(
        self,
        synced: SyncedSet,
        detections: Sequence[Detection],
        config: TrackingConfig,
        *,
        faint: Sequence[Detection] = (),
        watches: Sequence[Watch],
        yaw_since: Callable[[int], float],
        ego: EgoMotion | None = None,
    ) -> tuple[Track, ...]:
        """Tracks as of the set's stamp, in the order of their identities.

        Args:
            synced: the set.
            detections: what is found in it.
            config: the options in force.
            faint: what else may be there; it is not told, but keeps tracks alive.
            watches: the sensors that the network used in each sector, and what they find.
            yaw_since: how far the robot has turned left since a stamp, in rad.
            ego: how the robot moves; speeds are over ground where it is known, else relative to the robot.
        """
        self._tracker.config = config
        last_ns = self._follows(synced)
        found = _boxes((*detections, *faint))
        way = self._way(ego, last_ns, synced.stamp_ns)
        if way is None:
            way = EgoStep(yaw=yaw_since(last_ns)) if len(self._tracker.objects) else STANDING
        places = found.boxes[:, :2]
        objects = self._tracker.step(
            found,
            (synced.stamp_ns - last_ns) / NS_PER_S,
            findable=watched(watches),
            noise=noise_around(places, self._profiles[found.classes, 3], watches),
            seen_by=found_by(places, watches),
            ego=way,
            over_ground=self.over_ground,
        )
        yaws = headings(objects, self._profiles) if self.over_ground else objects.states[:, 4]
        return self._tracks(objects, yaws, told=len(detections))

    def _follows(self, synced: SyncedSet) -> int:
        """Stamp of the set that this one follows; its own where it begins anew."""
        epoch, last_ns = self._last or (synced.epoch, synced.stamp_ns)
        self._last = (synced.epoch, synced.stamp_ns)
        if epoch != synced.epoch:
            self._tracker.reset()
            return synced.stamp_ns
        if synced.stamp_ns < last_ns:
            self._tracker.forget()
            return synced.stamp_ns
        return last_ns

    def _way(self, ego: EgoMotion | None, last_ns: int, stamp_ns: int) -> EgoStep | None:
        """The robot's way since the last set; where it begins or ceases to be known, speeds become others."""
        way = None if ego is None else ego.motion(last_ns, stamp_ns)
        velocity = None if ego is None or way is None else ego.velocity(stamp_ns)
        if self.over_ground != (velocity is not None):
            objects, (x, y, _) = self._tracker.objects, velocity or self._velocity
            objects.states[:, 2:4] += np.array((x, y)) * (1.0 if velocity else -1.0)
            # A new array: the tracks of earlier sets keep the old one.
            unsure = np.zeros(objects.covariances.shape[1:])
            unsure[(2, 3), (2, 3)] = _UNSURE_M_S**2
            objects.covariances = objects.covariances + unsure
        self.over_ground, self._velocity = velocity is not None, velocity or Velocity()
        return way if velocity else None

    def _tracks(self, objects: Objects, yaws: Floats, *, told: int) -> tuple[Track, ...]:
        found = {identity: row for row, identity in enumerate(self._tracker.found_as.tolist())}
        values = np.column_stack(
            (
                1.0 / (1.0 + np.exp(-objects.scores)),
                objects.exists,
                objects.states[:, (0, 1, 2, 3, 5)],
                np.remainder(yaws + np.pi, 2 * np.pi) - np.pi,
                objects.heights,
                objects.sizes,
                objects.age_s,
                objects.unseen_s,
            )
        )
        columns = zip(
            objects.identities.tolist(),
            objects.classes.tolist(),
            (objects.exists >= self._tracker.config.confirm_probability).tolist(),
            objects.seen_by.tolist(),
            values.tolist(),
            objects.covariances,
            objects.trails,
            (~np.isnan(objects.trails[:, :, 0])).sum(axis=1).tolist(),
            strict=True,
        )
        tracks = []
        for identity, class_id, believed, seen_by, numbers, covariance, trail, sets in columns:
            detection = found.get(identity)
            score, exists, x, y, vx, vy, turn_rate, yaw, z, length, width, height, age_s, unseen_s = numbers
            track = Track(
                identity=identity,
                label=self._labels[class_id],
                class_id=class_id,
                state=_STATES[believed, detection is not None],
                score=score,
                existence=exists,
                x=x,
                y=y,
                z=z,
                length=length,
                width=width,
                height=height,
                yaw=yaw,
                vx=vx,
                vy=vy,
                turn_rate=turn_rate,
                covariance=covariance,
                age_s=age_s,
                unseen_s=unseen_s,
                seen_by=ModalitySet(seen_by),
                detection=None if detection is None or detection >= told else detection,
                trail=trail[-sets:],
            )
            tracks.append(track)
        return tuple(tracks)


def headings(objects: Objects, known: Floats) -> Floats:
    """`[N]` yaw in rad; which end of its box's axis is the front tells the motion of what is fast enough.

    What is no vehicle looks where it goes, whatever the axis of its box. `known` are the classes' profiles.
    """
    vx, vy, yaws = objects.states[:, 2:5].T
    course = np.arctan2(vy, vx)
    backwards = np.cos(course - yaws) < 0.0
    axis = np.where(backwards, yaws + np.pi, yaws)
    vehicle = known[objects.classes, 2] > 0.0
    found: Floats = np.where(np.hypot(vx, vy) < _MOVING_M_S, yaws, np.where(vehicle, axis, course))
    return found


def _boxes(detections: Sequence[Detection]) -> FrameBoxes:
    if not detections:
        return FrameBoxes.none()
    boxes = [(d.x, d.y, d.z, d.length, d.width, d.height, d.yaw) for d in detections]
    classes, scores = [d.class_id for d in detections], [d.score for d in detections]
    return FrameBoxes(np.array(boxes), np.array(classes, np.int64), np.array(scores))
