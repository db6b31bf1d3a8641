"""Sectors: their axes, and whose each place is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sentryfuse_core.config import Config, override
from sentryfuse_core.config.sectors import sector_name, sector_yaws_deg
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.preprocess.sectors import beyond_m, inside, owners, sector_axes, seen_from

QUARTERS = tuple(np.radians((0.0, 90.0, 180.0, -90.0)))


@pytest.mark.parametrize(
    ("text", "yaws"),
    [
        ("front", (0.0,)),
        ("all_around", (0.0, 90.0, 180.0, -90.0)),
        ("front, back", (0.0, 180.0)),
        ("0, 120, -120", (0.0, 120.0, -120.0)),
        ("-180, 270", (180.0, -90.0)),
    ],
)
def test_sectors_are_read_when_they_are_sides_or_yaws(text: str, yaws: tuple[float, ...]) -> None:
    assert sector_yaws_deg(text) == yaws


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "sides and yaws"),
        ("forward", "sides and yaws"),
        ("nan", "finite"),
        ("0, 5", "0 and 5 are less than 10 degrees apart"),
        ("front, 360", "give each side once"),
        (",".join(str(yaw) for yaw in range(0, 360, 40)), "at most 8"),
    ],
)
def test_sectors_are_refused_when_they_cannot_be_meant(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        override(Config(), {"output.sectors": text})


def test_sector_is_called_by_its_side_when_it_has_one() -> None:
    assert [sector_name(yaw) for yaw in (0.0, 90.0, 180.0, -90.0, 30.0)] == [
        "front",
        "left",
        "back",
        "right",
        "30 degrees",
    ]


def test_quarter_turns_are_exact() -> None:
    assert sector_axes(0.0).tolist() == np.eye(3).tolist()
    assert set(np.abs(sector_axes(math.pi / 2)).ravel().tolist()) == {0.0, 1.0}
    assert (sector_axes(math.pi / 2) @ (0.0, 5.0, 1.0)).tolist() == [5.0, 0.0, 1.0]  # to the left is ahead


def test_place_is_the_nearest_sectors_when_regions_overlap() -> None:
    places = np.array([[20.0, 1.0], [1.0, 20.0], [-20.0, 1.0], [1.0, -20.0], [9.0, 8.0], [8.0, 9.0]])
    assert owners(places, QUARTERS).tolist() == [0, 1, 2, 3, 0, 1]
    assert owners(np.array([[20.0, 20.0]]), QUARTERS).tolist() == [-1]  # a corner that no region has
    assert owners(np.array([[3.0, 9.0]]), QUARTERS[::2]).tolist() == [0]  # nobody looks left
    assert owners(np.zeros((0, 2)), QUARTERS).tolist() == []


def test_region_is_turned_with_its_sector() -> None:
    places = np.array([[-30.0, 10.0], [30.0, 10.0]])
    assert inside(places, math.pi).tolist() == [True, False]
    np.testing.assert_allclose(seen_from(places, math.pi), -places)


def test_distance_beyond_a_border_is_measured_from_the_line_half_way() -> None:
    places = np.array([[0.0, 6.0], [6.0, 6.0], [6.0, 0.0]])
    front, left = np.zeros(3), np.full(3, math.pi / 2)
    assert beyond_m(places, front, left) == pytest.approx([6.0 / math.sqrt(2.0), 0.0, 0.0], abs=1e-9)
