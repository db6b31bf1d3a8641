"""Each criterion of content beside the healthy case that looks most like it, and their documentation."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core import health
from sentryfuse_core.config import HealthConfig
from sentryfuse_core.health.content import CONTENT
from sentryfuse_core.health.criteria import REMEDIES
from sentryfuse_core.health.stats import SECTORS, AudioStats, CloudStats, ImageStats
from sentryfuse_core.health.usual import Coverage, Heard, View
from sentryfuse_core.types import Modality

CAMERA, LIDAR, IMU, AUDIO = Modality
CONFIG = HealthConfig()
ALL = (1 << SECTORS) - 1
FORWARD = 0xFFFFFF << 24
ROAD = (20.0,) * 40 + (0.1,) * 24  # the sky never had any structure
SOUND = AudioStats(0.0, silent=False, live_channels=0b11)
STILL = [0.0, 0.0, 0.0]
DOCS = Path(__file__).parents[3] / "docs" / "health.md"


def usual(memory: Any, stats: Any) -> Any:
    """What was learned from enough of these."""
    for _ in range(View.IMAGES):
        memory.learn(stats, CONFIG, fine=True)
    return memory


def cloud(occupancy: int, points: int = 10_000) -> CloudStats:
    return CloudStats(points, occupancy)


VIEW = usual(View(), ImageStats(100.0, 20.0, ROAD))
ROUND, AHEAD = usual(Coverage(), cloud(ALL)), usual(Coverage(), cloud(FORWARD))
HEARD = usual(Heard(), SOUND)


@pytest.mark.parametrize(
    ("sensor", "memory", "content", "code"),
    [
        (CAMERA, View(), ImageStats(0.0, 0.0), "black"),
        (CAMERA, View(), ImageStats(1.5, 1.2), None),  # night: dark, but with some lights
        (CAMERA, View(), ImageStats(255.0, 0.0), "white"),
        (CAMERA, View(), ImageStats(250.0, 6.0), None),  # snow
        (CAMERA, View(), ImageStats(128.0, 0.1), "flat"),
        (CAMERA, View(), ImageStats(128.0, 2.0), None),  # fog
        (CAMERA, VIEW, ImageStats(100.0, 20.0, ROAD), None),
        (CAMERA, VIEW, ImageStats(100.0, 20.0, (0.2,) * 32 + ROAD[32:]), "blocked"),
        (CAMERA, VIEW, ImageStats(100.0, 20.0, (0.2,) * 15 + ROAD[15:]), None),
        (CAMERA, View(), ImageStats(100.0, 20.0, (0.2,) * 64), None),  # nothing learned yet
        (LIDAR, ROUND, cloud(ALL), None),
        (LIDAR, Coverage(), cloud(ALL, points=10), "few_points"),
        (LIDAR, ROUND, cloud(ALL & ~(0xFFF << 20)), "blocked_sector"),
        (LIDAR, ROUND, cloud(ALL & ~(0x7FF << 20)), None),
        (LIDAR, AHEAD, cloud(FORWARD), None),  # one that only ever looks forward
        (LIDAR, AHEAD, cloud(FORWARD & ~(0xFFF << 24)), "blocked_sector"),
        (LIDAR, Coverage(), cloud(0), None),  # nothing learned yet
        (AUDIO, HEARD, AudioStats(0.0, silent=True), "silent"),
        (AUDIO, Heard(), AudioStats(0.0, silent=True), None),  # an encoder begins with zeros
        (AUDIO, HEARD, SOUND, None),  # a quiet place
        (AUDIO, HEARD, AudioStats(0.0, silent=False, live_channels=0b01), "dead_channel"),
        (AUDIO, Heard(), AudioStats(0.0, silent=False, live_channels=0b01), None),  # never connected
        (AUDIO, HEARD, AudioStats(0.5, silent=False, live_channels=0b11), "clipped"),
        (AUDIO, HEARD, AudioStats(0.01, silent=False, live_channels=0b11), None),  # a bang
        (IMU, None, (STILL, [0.0, 0.0, 9.81]), None),
        (IMU, None, ([0.0, 0.0, 34.95], [0.0, 0.0, 9.81]), "saturated"),
        (IMU, None, (STILL, [-157.0, 0.0, 0.0]), "saturated"),
        (IMU, None, ([0.0, float("nan"), 0.0], [0.0, 0.0, 9.81]), "non_finite"),
        (IMU, None, (STILL, [float("-inf"), 0.0, 0.0]), "non_finite"),
        (IMU, None, ([], [0.0, 0.0, 9.81]), None),  # a field that is absent is no fault
        (IMU, None, (STILL, []), None),
    ],
)
def test_content_is_told_from_the_healthy_case_that_looks_most_like_it(
    sensor: Modality, memory: Any, content: Any, code: str | None
) -> None:
    reasons = {name: check(content, memory, CONFIG) for name, check in CONTENT[sensor].items()}
    assert next((name for name, reason in reasons.items() if reason), None) == code


def test_dead_channel_is_told_by_its_number() -> None:
    dead = AudioStats(0.0, silent=False, live_channels=0b01)
    assert CONTENT[AUDIO]["dead_channel"](dead, HEARD, CONFIG) == (
        "channel 1 is constant to the bit, others are not"
    )


@given(st.integers(0, SECTORS - 1), st.integers(0, SECTORS))
def test_coverage_measures_the_gap_when_it_lies_anywhere_on_the_circle(first: int, width: int) -> None:
    gap = sum(1 << ((first + step) % SECTORS) for step in range(width))
    assert ROUND.blocked_deg(ALL & ~gap) == width * 5.0


def test_every_criterion_has_its_row_in_the_documentation() -> None:
    table = DOCS.read_text(encoding="utf-8").partition("## Criteria")[2].partition("\n\nA simulator")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(REMEDIES)


def test_health_example_is_true_when_it_is_run() -> None:
    result = doctest.testmod(health)
    assert result.attempted >= 8
    assert result.failed == 0
