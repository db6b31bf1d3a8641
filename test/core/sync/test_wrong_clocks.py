"""What a stream whose clock is wrong does to the others: nothing, and it is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from builders import MS, S

from sentryfuse_core.config import SyncConfig
from sentryfuse_core.sync import MatchedSet, StreamSpec, Synchronizer
from sentryfuse_core.types import Absence

T0 = 100 * S
PERIOD_NS = 100 * MS
LAG_NS = 5 * MS
SCANS = 100


@dataclass(frozen=True)
class Shot:
    """A sample that knows when it was really taken."""

    stamp_ns: int
    received_ns: int
    arrival_ns: int
    taken_ns: int


def _shot(taken_ns: int, *, stamp_off_ns: int = 0, late_ns: int = 0) -> Shot:
    arrival_ns = taken_ns + LAG_NS + late_ns
    return Shot(taken_ns + stamp_off_ns, arrival_ns, arrival_ns, taken_ns)


def _synchronizer(*, expected_lag_ns: int = 0, **options: Any) -> Synchronizer[str, Shot]:
    specs = {
        "lidar": StreamSpec(anchor_rank=0),
        "camera": StreamSpec(anchor_rank=1, expected_lag_ns=expected_lag_ns),
    }
    on_drop = options.pop("on_drop", None)
    return Synchronizer(SyncConfig(**options), specs, on_drop=on_drop)


def _run(
    synchronizer: Synchronizer[str, Shot], shots: Iterable[tuple[str, Shot]]
) -> list[MatchedSet[str, Shot]]:
    ordered = sorted(shots, key=lambda item: item[1].arrival_ns)
    return [found for key, shot in ordered for found in synchronizer.add(key, shot)]


def _scans(*, camera_off_ns: int = 0, camera_late_ns: int = 0) -> list[tuple[str, Shot]]:
    moments_ns = [T0 + index * PERIOD_NS for index in range(SCANS)]
    lidar = [("lidar", _shot(moment_ns)) for moment_ns in moments_ns]
    camera = [
        ("camera", _shot(moment_ns, stamp_off_ns=camera_off_ns, late_ns=camera_late_ns))
        for moment_ns in moments_ns
    ]
    return lidar + camera


def _later(shot: Shot, by_ns: int) -> Shot:
    return Shot(*(getattr(shot, field.name) + by_ns for field in dataclasses.fields(shot)))


def _pairs(sets: list[MatchedSet[str, Shot]]) -> list[int]:
    """How far apart the members of each pair were really taken, in ns."""
    return [
        abs(found.samples["camera"][0].taken_ns - found.samples["lidar"][0].taken_ns)
        for found in sets
        if len(found.samples) == 2
    ]


def test_synchronizer_is_sure_of_a_clock_that_is_off_only_when_load_cannot_explain_it() -> None:
    synchronizer = _synchronizer()
    shots = sorted(_scans(camera_off_ns=60 * MS), key=lambda item: item[1].arrival_ns)
    _run(synchronizer, shots[:14])  # seven of each
    assert synchronizer.clock_offset_ns("camera") is not None
    assert synchronizer.clock_offset_ns("camera", sure=True) is None
    _run(synchronizer, shots[14:16])
    assert synchronizer.clock_offset_ns("camera", sure=True) == pytest.approx(-60 * MS, abs=MS)


@pytest.mark.parametrize("off_ms", [-250, -95, -60, -51, 51, 60, 95, 105, 250])
def test_synchronizer_pairs_nothing_wrongly_when_a_clock_is_off_by_over_half_a_period(off_ms: int) -> None:
    synchronizer = _synchronizer()
    sets = _run(synchronizer, _scans(camera_off_ns=off_ms * MS))
    assert len(sets) >= SCANS - 2
    assert _pairs(sets) == []
    assert synchronizer.clock_offset_ns("camera") == pytest.approx(-off_ms * MS, abs=MS)
    assert {found.absent["camera"] for found in sets[5:] if "lidar" in found.samples} <= {
        Absence.OUT_OF_SLOP,
        Absence.LATE,
    }


SLOW = _scans(camera_late_ns=60 * MS)
RIGHT_BUT_FOR_THE_MACHINE = [
    (key, dataclasses.replace(shot, received_ns=shot.received_ns - 300 * MS)) for key, shot in _scans()
]
SLOW_FROM_THEN_ON = [
    (key, _shot(shot.taken_ns, late_ns=70 * MS * (key == "camera" and shot.taken_ns > T0 + 3 * S)))
    for key, shot in _scans()
]


@pytest.mark.parametrize(
    ("shots", "options"),
    [
        (SLOW, {"expected_lag_ns": 60 * MS, "max_wait_s": 0.1}),
        (RIGHT_BUT_FOR_THE_MACHINE, {}),
        (SLOW_FROM_THEN_ON, {"max_wait_s": 0.1}),
        (_scans(camera_late_ns=75 * MS), {"max_wait_s": 0.2}),  # a result with the anchor's own stamp
    ],
    ids=["slow camera that was told", "machine's clock off", "machine slow for a while", "late result"],
)
def test_synchronizer_pairs_all_when_the_camera_is_only_late(
    shots: list[tuple[str, Shot]], options: dict[str, Any]
) -> None:
    pairs = _pairs(_run(_synchronizer(**options), shots))
    assert len(pairs) >= SCANS - 2
    assert set(pairs) == {0}


def test_synchronizer_pairs_nothing_when_a_slow_camera_is_not_expected_to_be_slow() -> None:
    assert _pairs(_run(_synchronizer(), SLOW)) == []


@pytest.mark.parametrize(("off_ms", "lag_ms"), [(55, 15), (60, 20), (75, 30)])
def test_synchronizer_pairs_nothing_when_stamps_lie_ahead_of_their_arrival(off_ms: int, lag_ms: int) -> None:
    """The camera's own lag hides part of its offset, so that the lags alone differ by less than T/2."""
    synchronizer = _synchronizer()
    shots = _scans(camera_off_ns=off_ms * MS, camera_late_ns=lag_ms * MS)
    assert _pairs(_run(synchronizer, shots)) == []
    assert synchronizer.clock_offset_ns("camera") is not None


@pytest.mark.parametrize("rate", [0.25, 3.0])
def test_synchronizer_pairs_all_when_a_recording_is_played_slower_or_faster(rate: float) -> None:
    """Stamps and simulated time keep their own pace; the steady clock does not keep it with them."""
    shots = []
    for key, shot in _scans() + [(key, _later(shot, SCANS * PERIOD_NS)) for key, shot in _scans()]:
        if key == "camera" and shot.taken_ns < T0 + S:
            continue  # the windows of the lags begin at different times
        arrival_ns = T0 + round((shot.arrival_ns - T0) / rate)
        shots.append((key, dataclasses.replace(shot, arrival_ns=arrival_ns)))
    sets = _run(_synchronizer(), shots)
    assert len(_pairs(sets)) >= 2 * SCANS - 13


@pytest.mark.parametrize("off_ms", [-60, -34, -19, 19, 34, 60])
def test_synchronizer_pairs_nothing_wrongly_when_the_lag_of_a_fast_camera_is_told(off_ms: int) -> None:
    lag_ns, period_ns = 20 * MS, S // 30
    synchronizer = _synchronizer(expected_lag_ns=lag_ns)
    images = [
        ("camera", _shot(T0 + index * period_ns, stamp_off_ns=off_ms * MS, late_ns=lag_ns))
        for index in range(3 * SCANS)
    ]
    clouds = [(key, shot) for key, shot in _scans() if key == "lidar"]
    assert max(_pairs(_run(synchronizer, images + clouds))[3:], default=0) <= period_ns // 2
    assert synchronizer.clock_offset_ns("camera") is not None


@pytest.mark.parametrize(
    "ahead_ns",
    [200 * MS, 300 * MS, 450 * MS, 5 * S, 10**9 * S, -3 * S, -(10**12) * S],
    ids=lambda ns: f"{ns / S:g}s",
)
@pytest.mark.parametrize("key", ["lidar", "camera"])
def test_synchronizer_gives_every_set_when_ten_stamps_are_poison(key: str, ahead_ns: int) -> None:
    poison = [(key, _shot(T0 + S + index * 800 * MS + 50 * MS, stamp_off_ns=ahead_ns)) for index in range(10)]
    sets = _run(_synchronizer(), _scans() + poison)
    assert len(_pairs(sets)) >= SCANS - 1
    assert all(shot not in found.samples.get(key, ()) for found in sets for _, shot in poison)


def test_synchronizer_follows_when_a_stream_stays_ahead() -> None:
    leap_ns = 350 * MS
    shots = [
        (key, _shot(shot.taken_ns, stamp_off_ns=leap_ns if shot.taken_ns > T0 + 3 * S else 0))
        for key, shot in _scans()
    ]
    sets = _run(_synchronizer(), shots)
    assert len(_pairs(sets)) >= SCANS - 6
    assert sum(found.stamp_ns > T0 + 3 * S + leap_ns for found in sets) >= SCANS - 35


def test_late_samples_are_forgotten_when_they_come_for_long() -> None:
    reasons: list[str] = []
    synchronizer = _synchronizer(on_drop=lambda _key, _shot, reason: reasons.append(reason))
    for _, shot in _scans()[:SCANS]:
        synchronizer.add("lidar", shot)
        synchronizer.add("camera", shot)
        old_ns = shot.stamp_ns - 500 * MS
        synchronizer.add("camera", Shot(old_ns - 1, shot.received_ns, shot.arrival_ns, old_ns))
    assert reasons.count("late") > SCANS // 2
    assert not synchronizer._streams["camera"]._missed
