"""What is kept back of the recordings that teach."""

from __future__ import annotations

from pathlib import Path

from sentryfuse_core.lab.adapting.course import Course, kept_of
from sentryfuse_core.lab.datasets.driving import Drive, DrivingSet
from sentryfuse_core.types import ModalitySet


def drive(*files: str) -> Drive:
    return Drive("drive", "", [Path(name) for name in files], 10, lambda: iter(()))


def test_frames_are_kept_back_by_recording_when_two_have_the_same_stamps() -> None:
    taken = DrivingSet("bag", Path("nowhere"), (drive("a/world.mcap"), drive("b/world.mcap")))
    stamps_ns = (tuple(range(100, 110)), tuple(range(105, 125)))
    course = Course(taken, "lidar", ModalitySet.all(), stamps_ns, {})
    found = (drive("a/world.mcap", "a/labels.jsonl"), drive("b/world.mcap"), drive("c/world.mcap"))
    kept = [kept_of(one, course, 0.2) for one in found]
    # 108 and 109 are kept back of the first; the second learns from its own.
    assert kept == [{108, 109}, {121, 122, 123, 124}, set()]
