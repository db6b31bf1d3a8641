"""The benchmark of adapting: its aims are twice the camera of before, and a lidar that loses no point."""

from __future__ import annotations

import pytest

from benchmarks.adapt import aim_of, figures
from sentryfuse_core.errors import EvaluationError


def row(sensors: str, before: float, after: float) -> dict[str, object]:
    precision = {"car": {"2": before / 2, "4": before}}, {"car": {"2": after / 2, "4": after}}
    return {
        "sensors": sensors,
        "before": before,
        "after": after,
        "ap_before": precision[0],
        "ap_after": precision[1],
    }


def test_adapting_meets_its_aims_when_the_camera_doubles_and_the_lidar_stays() -> None:
    rows = figures({"labels": [row("camera", 0.1, 0.2), row("lidar", 0.5, 0.495)]})
    assert [figure.met for figure in rows] == [None, True, None, True, None, None, None, True]
    assert rows[3].what == "camera alone, cars at 4 m, adapted without labels"
    assert rows[3].measured == 20.0


def test_adapting_misses_its_aims_when_the_camera_gains_less_and_the_lidar_loses() -> None:
    rows = figures({"labels": [row("camera", 0.1, 0.19), row("lidar", 0.5, 0.48)]})
    assert [figure.met for figure in rows if figure.target is not None] == [False, False, False]


@pytest.mark.parametrize(("before", "aim"), [(0.0, 1.0), (18.0, 36.0), (40.0, 70.0), (75.4, 87.7)])
def test_aim_is_twice_as_much_and_never_more_than_there_is(before: float, aim: float) -> None:
    assert aim_of(before) == pytest.approx(aim)


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"labels": [row("lidar", 0.5, 0.5)]},
        {"labels": [{**row("camera", 0.5, 0.5), "ap_before": {"cyclist": {}}, "ap_after": {"cyclist": {}}}]},
    ],
)
def test_adapting_asks_for_labels_when_no_camera_was_judged_by_cars(report: dict[str, object]) -> None:
    with pytest.raises(EvaluationError, match="no labelled cars to judge a camera by; give a KITTI"):
        figures(report)
