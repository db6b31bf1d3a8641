"""What a sensor usually gives, learned while nothing is wrong with it: what it never had is not missed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sentryfuse_core.config import HealthConfig
from sentryfuse_core.health.stats import SECTORS, AudioStats, CloudStats, ImageStats

__all__ = ["Coverage", "Heard", "View"]


class View:
    """Which cells of a camera's image usually have structure.

    A cell that is empty as a rule, as sky or a dark road, is never missed. Change is followed: within
    seconds while the image is fine, within half a minute while it is not.
    """

    IMAGES = 20  # images to learn from before judging, and that memory of a fine image spans
    SLOWLY = 1200  # images that memory spans while the image is bad
    STRONG = 3.0  # a cell counts as structured at this many times the deviation of a flat one
    SHARE = 0.8  # of the images a cell has to be structured in

    def __init__(self) -> None:
        self._seen = 0
        self._usual = np.zeros(0)  # by cell the share of images in which it had structure

    def learn(self, stats: ImageStats, config: HealthConfig, *, fine: bool) -> None:
        """Take in which cells of one image have structure."""
        cells = np.asarray(stats.cells)
        if cells.size != self._usual.size:
            self._seen, self._usual = 0, np.zeros(cells.size)
        self._seen += 1
        part = 1.0 / (min(self._seen, self.IMAGES) if fine else self.SLOWLY)
        self._usual += part * ((cells >= self.STRONG * config.flat_std) - self._usual)

    def gone_share(self, cells: ArrayLike, flat_std: float) -> float:
        """Share of the image, 0..1, that usually has structure and now has none."""
        now = np.asarray(cells)
        if not now.size or self._seen < self.IMAGES or now.size != self._usual.size:
            return 0.0
        return float(np.count_nonzero((self._usual >= self.SHARE) & (now < flat_std)) / now.size)


class Coverage:
    """Which sectors a lidar fills when nothing blocks it, learned from its first clouds.

    A sector that is empty from the start, as behind a lidar that looks forward, is not blocked. Change, as of
    a lidar that is set to another field of view, is followed within minutes.
    """

    CLOUDS = 10  # clouds to learn from before judging
    SLOWLY = 12_000  # clouds that memory spans from then on: a sector is given up after a fifth of them
    SHARE = 0.8  # of the clouds a sector has to be filled in

    def __init__(self) -> None:
        self._seen = 0
        self._filled = np.zeros(SECTORS)  # by sector the share of clouds in which it was
        self._usual = 0  # empty until enough were seen

    def learn(self, stats: CloudStats, config: HealthConfig, *, fine: bool) -> None:
        """Take one cloud's occupied sectors in; the first ones, and those without points, only if fine."""
        learning = self._seen < self.CLOUDS
        if not fine and (learning or stats.finite_points < config.min_points):
            return
        self._seen += learning
        now = np.array([stats.occupancy >> sector & 1 for sector in range(SECTORS)])
        self._filled += (now - self._filled) / (self._seen if learning else self.SLOWLY)
        if self._seen == self.CLOUDS:
            usual = np.flatnonzero(self._filled.round(6) >= self.SHARE)
            self._usual = sum(1 << sector for sector in usual.tolist())

    def blocked_deg(self, occupancy: int) -> float:
        """Width in degrees of the widest run of sectors that are usually filled and now are empty."""
        missing = f"{self._usual & ~occupancy:0{SECTORS}b}"
        widest = max(map(len, (2 * missing).split("0")))  # twice round: a run may cross the seam
        return min(widest, SECTORS) * 360.0 / SECTORS


class Heard:
    """Whether a microphone ever sounded, and on which of the channels that it has."""

    def __init__(self) -> None:
        self.sounded = False
        self.channels = 0  # bit i: channel i
        self._count = 0

    def learn(self, stats: AudioStats, _: HealthConfig, *, fine: bool) -> None:  # noqa: ARG002 - as the others
        """Take in which channels of a set lived; with another number of them it is another microphone."""
        if stats.channel_count != self._count:
            self._count, self.channels = stats.channel_count, 0
        self.sounded = self.sounded or not stats.silent
        self.channels |= stats.live_channels
