"""A course: the teacher that is trusted, and the recordings with its lessons as labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sentryfuse_core.lab.adapting.lessons import (
    Lesson,
    Second,
    healthy_sensors,
    lessons_of,
    sighted,
    taught,
)
from sentryfuse_core.lab.adapting.teachers import Teacher
from sentryfuse_core.lab.datasets.driving import CUT, Drive, DrivingSet
from sentryfuse_core.lab.training.driving_source import kept_from
from sentryfuse_core.types import ModalitySet

__all__ = ["Course", "confirmed_share", "kept_of", "make_course"]


@dataclass(frozen=True, eq=False)
class Course:
    """Recordings that teach; of each the end is kept back."""

    lessons: DrivingSet
    teacher: str
    sensors: ModalitySet  # that every frame has
    stamps_ns: tuple[tuple[int, ...], ...]  # of the frames of each drive
    confirmed: Mapping[str, float]  # by teacher: share 0..1 of what it claims, see `confirmed_share`


def make_course(
    found: DrivingSet,
    teachers: Mapping[str, Teacher],
    *,
    also: Second = lambda _, lesson: lesson,
    on_frame: Callable[[], None] = lambda: None,
) -> Course:
    """Let all teachers see the recordings and choose the one whose boxes their own tracks confirm best.

    `also` is a second teacher, see `taught`. Raises DatasetError where nothing can be taught.
    """
    seen = [sighted(drive, teachers, on_frame=on_frame) for drive in found.drives]
    sensors = healthy_sensors(seen)
    lessons = {name: [lessons_of(drive, name, sensors) for drive in seen] for name in teachers}
    confirmed = {name: confirmed_share(lessons[name]) for name in teachers}
    best = max(confirmed, key=lambda name: confirmed[name])
    drives = tuple(
        replace(taught(drive, own, lesson, sensors, also=also), split=CUT)
        for drive, own, lesson in zip(found.drives, seen, lessons[best], strict=True)
        if own.sensors.count(sensors)
    )
    stamps_ns = tuple(own.stamps_of(sensors) for own in seen if own.sensors.count(sensors))
    return Course(replace(found, drives=drives), best, sensors, stamps_ns, confirmed)


def kept_of(drive: Drive, course: Course, share: float) -> frozenset[int]:
    """The stamps of a drive's frames that are kept back; drives may share stamps, but no files.

    The same drive has more files where it is opened with its labels.
    """
    for taken, stamps_ns in zip(course.lessons.drives, course.stamps_ns, strict=True):
        if set(taken.files) <= set(drive.files):
            return frozenset(stamps_ns[kept_from(len(stamps_ns), share) :])
    return frozenset()


def confirmed_share(lessons: Sequence[Sequence[Lesson]]) -> float:
    """How much of all that is claimed in any frame of the drives is sure, by score: 0..1.

    A teacher that is lost in these surroundings claims much that is gone in the next frame, or hardly
    believes it itself; one at home has its claims confirmed.
    """
    frames = [lesson for drive in lessons for lesson in drive]
    claimed = sum(float(lesson.boxes.scores.sum()) for lesson in frames)
    sure = sum(float(lesson.boxes.scores[lesson.sure].sum()) for lesson in frames)
    return sure / claimed if claimed else 0.0
