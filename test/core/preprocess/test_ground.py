"""Where the ground lies by what a lidar sees, told only where it is plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import S, cloud_message, sample

from sentryfuse_core.config import Config
from sentryfuse_core.convert.cloud import point_cloud
from sentryfuse_core.preprocess.fit import FitCheck
from sentryfuse_core.types import Modality, Pose, SyncedSet

LIDAR = Modality.LIDAR
LIDAR_M = 1.8
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
RNG = np.random.default_rng(3)


def spread(count: int = 4000) -> tuple[Any, Any]:
    """Places 1 to 20 m around."""
    reach_m, turn = RNG.uniform(1.0, 20.0, count), RNG.uniform(-np.pi, np.pi, count)
    return reach_m * np.cos(turn), reach_m * np.sin(turn)


def plane(height_m: float, *, uneven_m: float = 0.05) -> Any:
    """The ground at this height over the origin, things that stand on it, in the lidar's frame."""
    x, y = spread()
    z = height_m + RNG.normal(0.0, uneven_m, x.shape)
    z[::5] += RNG.uniform(0.0, 2.0, z[::5].shape)
    return np.column_stack([x, y, z - LIDAR_M])


def beam(down_deg: float) -> Any:
    """What one beam at a fixed angle shows of walls on every side."""
    x, y = spread()
    return np.column_stack([x, y, -np.hypot(x, y) * np.tan(np.radians(down_deg))])


def told(points: Any, *, looks: int = 40, check: FitCheck | None = None, lidar_m: float = LIDAR_M) -> str:
    """What is said once so many clouds came in as many quarters of a second."""
    check = check or FitCheck(Config(), {})
    pose = Pose((0.5, 0.0, lidar_m), UPRIGHT)
    payload = point_cloud(cloud_message(dict(zip("xyz", points.astype(np.float32).T, strict=True))))
    for index in range(looks):
        stamp_ns = S + index * S // 4
        samples = {LIDAR: (sample(LIDAR, stamp_ns, payload=payload),)}
        found = SyncedSet(0, 0, stamp_ns, None, samples, {}, stamp_ns, stamp_ns, stamp_ns)
        check.look(found, felt_m_s2={}, poses={LIDAR: pose})
    return "; ".join(note for note in check.misfits if "ground" in note)


@pytest.mark.parametrize(
    ("height_m", "said"), [(-0.36, "0.4 m below"), (-0.6, "0.6 m below"), (0.5, "0.5 m above")]
)
def test_base_frame_is_named_when_its_origin_is_off_the_ground(height_m: float, said: str) -> None:
    note = told(plane(height_m, uneven_m=0.01))
    assert note.startswith(f"lidar: the ground lies {said} the origin of 'base_link'")
    assert "output.base_frame" in note


@pytest.mark.parametrize(
    "points",
    [
        plane(0.0),
        plane(-0.1, uneven_m=0.1),
        plane(-0.5, uneven_m=0.8),
        plane(LIDAR_M),
        beam(5.0),
        beam(15.0),
        beam(-5.0),
        plane(-0.5)[:40],
        plane(-0.5)[:1].repeat(4000, axis=0),
    ],
    ids=[
        "on the ground",
        "a street",
        "rough",
        "a flat scan",
        "a beam",
        "a steep one",
        "up",
        "few",
        "one place",
    ],
)
def test_nothing_is_said_when_the_ground_is_in_its_place_or_not_plain(points: Any) -> None:
    assert told(points) == ""


def test_base_frame_is_named_only_once_the_ground_was_seen_for_seconds() -> None:
    assert told(plane(-0.5), looks=28) == ""
    assert told(plane(-0.5), looks=34)


def test_note_is_taken_back_when_the_pose_is_corrected() -> None:
    check = FitCheck(Config(), {})
    points = plane(-0.5)
    assert told(points, check=check)
    assert told(points, check=check, lidar_m=LIDAR_M + 0.5) == ""
    assert check.told == ()
