"""Tracker: follows the objects of the sets so far: which are there, where, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats, FrameBoxes, Ints
from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.tracking import existence, motion
from sentryfuse_core.tracking.objects import TRAIL, Objects
from sentryfuse_core.tracking.pairs import likeliest_pairs, offsets
from sentryfuse_core.tracking.profiles import profiles

__all__ = ["STANDING", "EgoStep", "Findable", "Tracker"]

_FIRST_TURN_RATE = 0.3  # rad/s, standard deviation for what turns
_DRIFT_RAD_S = 0.5  # of the heading of what goes straight on
_SLIP_M_S = 0.5  # sideways speed of a vehicle, standard deviation
_NEW = 0.5  # share of a box's variance that is new in each set; the rest stays, so it tells no speed
_AGAIN = 0.4  # of the usual chance to find what the set before missed: what hides it lasts
_MEMORY = 30  # detections that the mean of an object's scores looks back on
_SIZE_GAIN = 0.15  # of a new box's size once an object is known
_ONE_PLACE = 4.0  # squared distance, in standard deviations, of what cannot be two objects
_HEIGHT_GAIN = 0.4  # of its height above the ground, which slopes change


STANDING = EgoStep()


class Findable(Protocol):
    """Chance that the sensors in use find objects at places `[N, 2]` (m) of classes `[N]`."""

    def __call__(self, places: Floats, classes: Ints) -> Floats:
        """`[N]` 0 where nothing looks."""


class Tracker:
    """Follows objects from set to set; identities count up from 1 and none comes again before `reset`."""

    def __init__(self, config: TrackingConfig, labels: Sequence[str]) -> None:
        self.config = config
        self.objects = Objects.none()
        self.found_as: Ints = np.zeros(0, np.int64)  # [K] identity that each last detection is of; 0: none
        self._profiles = profiles(labels)
        self._next = 1

    def reset(self) -> None:
        """Begin anew, identities included: time jumped."""
        self.forget()
        self._next = 1

    def forget(self) -> None:
        """Follow nothing any more; identities go on."""
        self.objects = Objects.none()
        self.found_as = np.zeros(0, np.int64)

    def step(
        self,
        found: FrameBoxes,
        dt_s: float,
        *,
        findable: Findable,
        noise: Floats | None = None,
        seen_by: Ints | int = 0,
        ego: EgoStep = STANDING,
        over_ground: bool = False,
    ) -> Objects:
        """Objects after one more set.

        Args:
            found: its detections, with calibrated scores.
            dt_s: time since the last set.
            findable: what the sensors of the set find.
            noise: `[K, 2, 2]` variances of the detections' places in m^2; None: those of their classes.
            seen_by: bits of the sensors of the set, or `[K]` of those that found each detection.
            ego: motion of the base frame since the last set; without it speeds are relative to the robot.
            over_ground: whether speeds are; vehicles then go where they head.
        """
        if noise is None:
            noise = self._profiles[found.classes, 3][:, None, None] ** 2 * np.eye(2)
        by = np.broadcast_to(seen_by, len(found))
        self._move(dt_s, ego)
        sure = self._sure()
        if not sure.all():  # after a long gap an object may be anywhere
            self.objects = self.objects.take(sure)
        known, rows = self._pair(found, noise)
        self.found_as = np.zeros(len(found), np.int64)
        self.found_as[rows] = self.objects.identities[known]
        self._see(known, found.take(rows), noise[rows], by[rows])
        if over_ground:
            self._straighten(known)
        missed = np.ones(len(self.objects), bool)
        missed[known] = False
        self._miss(missed, dt_s, findable)
        fresh = found.scores >= self.config.birth_score
        fresh[rows] = False
        born = self._born(found.take(fresh), noise[fresh], by[fresh])
        self.found_as[fresh] = born.identities
        kept = self.objects.exists >= self.config.drop_probability
        if len(born) or not kept.all():
            self.objects = self.objects.take(kept).plus(born)
        doubles = self._doubles()
        if doubles.any():
            self.objects = self.objects.take(~doubles)
        # A new array: the tracks of earlier sets keep the old one.
        here = self.objects.states[:, None, :2]
        self.objects.trails = np.concatenate((self.objects.trails[:, 1:], here), axis=1)
        return self.objects

    def _move(self, dt_s: float, ego: EgoStep) -> None:
        objects = self.objects
        own = self._profiles[objects.classes]
        states, covariances = motion.predicted(
            objects.states, objects.covariances, dt_s, acceleration=own[:, 1], turn_acceleration=own[:, 2]
        )
        covariances[:, 4, 4] += np.where(own[:, 2] > 0.0, 0.0, (_DRIFT_RAD_S * dt_s) ** 2)
        if any(ego):
            states, covariances = motion.moved(states, covariances, ego)
            objects.trails = motion.seen_from(objects.trails, ego)
        objects.states, objects.covariances = states, covariances
        objects.exists = existence.aged(objects.exists, dt_s, lifetime_s=self.config.lifetime_s)
        objects.age_s = objects.age_s + dt_s
        objects.unseen_s = objects.unseen_s + dt_s

    def _pair(self, found: FrameBoxes, noise: Floats) -> tuple[Ints, Ints]:
        objects = self.objects
        same = objects.classes[:, None] == found.classes[None]
        return likeliest_pairs(
            objects.states[:, :2],
            objects.covariances[:, :2, :2],
            objects.sizes,
            found.boxes[:, :2],
            noise,
            found.boxes[:, 3:6],
            alike=np.where(same, 0.0, np.inf),
            gate=self.config.gate,
        )

    def _see(self, rows: Ints, found: FrameBoxes, noise: Floats, seen_by: Ints) -> None:
        if not len(rows):
            return
        objects = self.objects
        whole = np.zeros((len(rows), 3, 3))
        whole[:, :2, :2] = _NEW * noise
        whole[:, 2, 2] = self._profiles[found.classes, 4] ** 2
        objects.states[rows], objects.covariances[rows] = motion.updated(
            objects.states[rows], objects.covariances[rows], found.boxes[:, (0, 1, 6)], whole
        )
        objects.hits[rows] += 1
        share = 1.0 / objects.hits[rows]
        size_gain = np.maximum(share, _SIZE_GAIN)[:, None]
        objects.sizes[rows] += size_gain * (found.boxes[:, 3:6] - objects.sizes[rows])
        objects.heights[rows] += np.maximum(share, _HEIGHT_GAIN) * (found.boxes[:, 2] - objects.heights[rows])
        score_gain = np.maximum(share, 1.0 / _MEMORY)
        objects.scores[rows] += score_gain * (existence.logit(found.scores) - objects.scores[rows])
        # A place that is known less exactly is likelier to have a false detection in it by chance.
        area = np.sqrt(noise[:, 0, 0] * noise[:, 1, 1] - noise[:, 0, 1] ** 2)
        exact = self._profiles[found.classes, 3] ** 2 / area
        objects.exists[rows] = existence.seen(
            objects.exists[rows], found.scores, evidence=self.config.evidence * exact
        )
        objects.unseen_s[rows] = 0.0
        objects.seen_by[rows] = seen_by

    def _straighten(self, rows: Ints) -> None:
        objects = self.objects
        rows = rows[self._profiles[objects.classes[rows], 2] > 0.0]
        objects.states[rows], objects.covariances[rows] = motion.straightened(
            objects.states[rows], objects.covariances[rows], _SLIP_M_S
        )

    def _miss(self, rows: NDArray[np.bool_], dt_s: float, findable: Findable) -> None:
        objects = self.objects
        if rows.any():
            chance = findable(objects.states[rows, :2], objects.classes[rows])
            chance = np.where(objects.unseen_s[rows] > dt_s, _AGAIN * chance, chance)
            objects.exists[rows] = existence.unseen(objects.exists[rows], chance)

    def _doubles(self) -> NDArray[np.bool_]:
        """Which objects were found, or begin, where a surer one was: it again, or as another class."""
        objects = self.objects
        places, spreads = objects.states[:, :2], objects.covariances[:, :2, :2]
        distance, _ = offsets(places, spreads, places, spreads)
        found = objects.unseen_s == 0.0
        surer = objects.exists[:, None] > objects.exists
        # A vehicle that begins may be one more box of a known one; people go side by side.
        begins = (objects.hits == 1) & (self._profiles[objects.classes, 2] > 0.0)
        nearest = np.where(begins, self.config.gate, _ONE_PLACE)
        close = (distance < nearest) & surer & found[:, None] & found
        return np.asarray(close.any(axis=0))

    def _sure(self) -> NDArray[np.bool_]:
        """Of which objects it is still known where they are."""
        xx, yy, xy = (self.objects.covariances[:, row, column] for row, column in ((0, 0), (1, 1), (0, 1)))
        largest = (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)  # eigenvalue
        sure: NDArray[np.bool_] = largest <= self.config.most_unsure_m**2
        return sure

    def _born(self, found: FrameBoxes, noise: Floats, seen_by: Ints) -> Objects:
        count = len(found)
        own = self._profiles[found.classes]
        states = np.zeros((count, motion.SIZE))
        states[:, :2], states[:, 4] = found.boxes[:, :2], found.boxes[:, 6]
        covariances = np.zeros((count, motion.SIZE, motion.SIZE))
        covariances[:, :2, :2] = _NEW * noise
        covariances[:, 2, 2] = covariances[:, 3, 3] = own[:, 0] ** 2
        covariances[:, 4, 4] = own[:, 4] ** 2
        covariances[:, 5, 5] = np.where(own[:, 2] > 0.0, _FIRST_TURN_RATE**2, 0.0)
        first = np.arange(self._next, self._next + count)
        self._next += count
        exists = existence.seen(np.full(count, 0.5), found.scores, evidence=self.config.birth_odds)
        return Objects(
            identities=first,
            classes=found.classes.astype(np.int64),
            states=states,
            covariances=covariances,
            heights=found.boxes[:, 2].copy(),
            sizes=found.boxes[:, 3:6].copy(),
            exists=exists,
            scores=existence.logit(found.scores),
            hits=np.ones(count, np.int64),
            age_s=np.zeros(count),
            unseen_s=np.zeros(count),
            seen_by=seen_by.astype(np.int64),
            trails=np.full((count, TRAIL, 2), np.nan),
        )
