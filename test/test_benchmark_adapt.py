"""The benchmark of adapting: its aims are twice the camera of before, and a lidar that loses no point."""

from __future__ import annotations

from benchmarks.adapt import figures


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
