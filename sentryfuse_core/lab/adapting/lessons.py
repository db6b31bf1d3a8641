"""Drives whose labels are a teacher's own: what it finds is kept where the rest of the drive confirms it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.adapting.hindsight import Glimpse, Hindsight, in_hindsight
from sentryfuse_core.lab.adapting.teachers import Teacher
from sentryfuse_core.lab.datasets.driving import LABELS, Drive, LabelledFrame
from sentryfuse_core.lab.datasets.view import EVERYWHERE
from sentryfuse_core.lab.training.targets import UNSURE
from sentryfuse_core.planar import EgoStep, turned
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["Lesson", "Second", "Sightings", "healthy_sensors", "lessons_of", "sighted", "taught"]

_LEAST_HITS = 3  # frames that have to find an object
_LEAST_SHARE = 0.5  # of the frames that it is followed through
_SURE = {"clustering": 0.4}  # mean score of what is taught: how well sizes fit is no chance to be right
_SURE_OTHERWISE = 0.5
_LONG_HITS, _LONG_SHARE, _LONG_SCORE = 8, 0.8, 0.25  # of what hardly any frame misses: sure at a lower score
_DOUBTFUL = 0.15  # below, it is nothing
_LONGEST_S = 1.0  # between two frames that are followed; after a longer gap all begins anew


Second = Callable[[ModelInput, "Lesson"], "Lesson"]


@dataclass(frozen=True, eq=False)
class Sightings:
    """What every teacher found in those frames of one drive that have a lidar, F of them."""

    stamps_ns: tuple[int, ...]
    sensors: tuple[ModalitySet, ...]
    ways: tuple[EgoStep, ...]  # of the robot since the frame before
    over_ground: bool  # whether most ways tell more than turns
    found: Mapping[str, Sequence[FrameBoxes]]  # by teacher

    def stamps_of(self, sensors: ModalitySet) -> tuple[int, ...]:
        """The stamps of the frames that have just these sensors."""
        pairs = zip(self.stamps_ns, self.sensors, strict=True)
        return tuple(stamp_ns for stamp_ns, present in pairs if present == sensors)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one frame has to teach: boxes, and which of them the teacher is sure of."""

    boxes: FrameBoxes
    sure: NDArray[np.bool_]  # [N]

    def told(self) -> FrameBoxes:
        """The boxes, those in doubt being UNSURE."""
        boxes = self.boxes
        return FrameBoxes(boxes.boxes, np.where(self.sure, boxes.classes, UNSURE), boxes.scores)


def sighted(
    drive: Drive, teachers: Mapping[str, Teacher], *, on_frame: Callable[[], None] = lambda: None
) -> Sightings:
    """Show every frame of a drive that has a lidar to every teacher.

    Raises DatasetError at the first frame without a time of its own: others may be hours of work.
    """
    stamps_ns: list[int] = []
    taken: set[int] = set()
    sensors: list[ModalitySet] = []
    ways: list[EgoStep] = []
    found: dict[str, list[FrameBoxes]] = {name: [] for name in teachers}
    known, way = 0, EgoStep()
    for frame in drive.frames():
        on_frame()
        way, known = _onward(way, frame.way), known + frame.over_ground
        if Modality.LIDAR in frame.inputs.present:
            if frame.stamp_ns in taken:
                raise DatasetError(
                    f"frames of {drive.name} have no times of their own, and nothing can be followed; "
                    "give recordings alone"
                )
            taken.add(frame.stamp_ns)
            stamps_ns.append(frame.stamp_ns)
            sensors.append(frame.inputs.present)
            ways.append(way)
            way = EgoStep()
            for name, teacher in teachers.items():
                found[name].append(teacher(frame))
    return Sightings(tuple(stamps_ns), tuple(sensors), tuple(ways), 2 * known > len(ways), found)


def _onward(way: EgoStep, more: EgoStep) -> EgoStep:
    """One way after another."""
    x, y = turned(more.x, more.y, way.yaw)
    return EgoStep(way.x + x, way.y + y, way.yaw + more.yaw)


def healthy_sensors(drives: Sequence[Sightings]) -> ModalitySet:
    """The sensors that most frames with a lidar have: with these they are taken to be healthy.

    Raises DatasetError where no frame has a lidar.
    """
    counts = Counter(present.bits for drive in drives for present in drive.sensors)
    if not counts:
        raise DatasetError(
            "no frame of the recordings has a lidar that is trusted; only what has a lidar can teach: "
            "give others, or --topic lidar=TOPIC"
        )
    return ModalitySet(counts.most_common(1)[0][0])


def lessons_of(sightings: Sightings, teacher: str, sensors: ModalitySet) -> list[Lesson]:
    """What each of the F frames has to teach, by all of them."""
    found = sightings.found[teacher]
    stamps_s = np.array(sightings.stamps_ns, np.int64) / NS_PER_S
    gaps_s = np.diff(stamps_s, prepend=stamps_s[:1])
    starts = np.flatnonzero((gaps_s > _LONGEST_S) | (gaps_s < 0.0)).tolist()
    least_score = _SURE.get(teacher, _SURE_OTHERWISE)
    lessons: list[Lesson] = []
    for first, last in zip([0, *starts], [*starts, len(found)], strict=True):
        glimpses = [
            Glimpse(found[row], float(gaps_s[row]), sightings.ways[row]) for row in range(first, last)
        ]
        known = in_hindsight(glimpses, LABELS, used=sensors, over_ground=sightings.over_ground)
        lessons += [_lesson(frame, least_score) for frame in known]
    return lessons


def _lesson(frame: Hindsight, least_score: float) -> Lesson:
    boxes = frame.boxes
    sure = (frame.hits >= _LEAST_HITS) & (frame.share >= _LEAST_SHARE) & (boxes.scores >= least_score)
    sure |= (frame.hits >= _LONG_HITS) & (frame.share >= _LONG_SHARE) & (boxes.scores >= _LONG_SCORE)
    kept = sure | (boxes.scores >= _DOUBTFUL)
    return Lesson(boxes.take(kept), sure[kept])


def taught(
    drive: Drive,
    sightings: Sightings,
    lessons: Sequence[Lesson],
    sensors: ModalitySet,
    *,
    also: Second = lambda _, lesson: lesson,
) -> Drive:
    """The same drive, its frames labelled by `lessons`; those without just the `sensors` are left out.

    `also` is a second teacher, who is shown every frame with its lesson.
    """

    def frames() -> Iterator[LabelledFrame]:
        seen = (frame for frame in drive.frames() if Modality.LIDAR in frame.inputs.present)
        for frame, lesson in zip(seen, lessons, strict=True):
            if frame.inputs.present == sensors:
                told = also(frame.inputs, lesson).told()
                yield replace(
                    frame,
                    boxes=torch.from_numpy(told.boxes).float()[None],
                    classes=torch.from_numpy(told.classes)[None],
                )

    count = sightings.sensors.count(sensors)
    return replace(drive, length=count, frames=frames, view=EVERYWHERE)
