"""The soak's verdict: what grows and what was missed is found, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from benchmarks.soak import plain
from benchmarks.soak_judge import LEAVE_WITHIN_S, Sample, Seen, judge
from benchmarks.soak_scenario import make_scenario
from sentryfuse_core.replay.scenario import Action, Event, Scenario, load_scenario

SENSORS = frozenset(("camera", "lidar", "imu", "audio"))
STORY = Scenario("soak", 0, 60.0, (Event(10.0, 14.0, "lidar", "drop"),), (Action(20.0, level=2),))


def statuses(*, out: tuple[float, float] = (10.5, 15.5), levelled_at_s: float = 20.2) -> list[Seen]:
    """Ten a second; the lidar is out of use between two times, level 2 runs from a time on."""
    return [
        Seen(
            index / 10,
            SENSORS - {"lidar"} if out[0] <= index / 10 < out[1] else SENSORS,
            2 if index / 10 >= levelled_at_s else 0,
            0,
        )
        for index in range(600)
    ]


def samples(*, leak_mb_a_minute: float = 0.0, threads: int = 0) -> list[Sample]:
    return [
        Sample(at_s, 400.0 + leak_mb_a_minute * at_s / 60.0, 9 + threads * (at_s > 30), 40)
        for at_s in range(0, 60, 2)
    ]


def verdicts(
    found: list[Seen], kept: list[Sample], *, status: int = 0, exit_s: float = 1.0
) -> dict[str, bool | None]:
    rows, _ = judge(STORY, kept, found, exit_status=status, exit_s=exit_s)
    return {row.what.removeprefix("soak: "): row.met for row in rows}


def test_soak_passes_when_nothing_grows_and_every_fault_is_seen() -> None:
    assert set(verdicts(statuses(), samples()).values()) == {True, None}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (statuses(out=(0.0, 0.0)), "still in use"),
        (statuses(out=(10.0 + LEAVE_WITHIN_S + 0.2, 15.0)), "still in use"),
        (statuses(out=(10.5, 30.0)), "not back"),
        (statuses(levelled_at_s=22.0), "level 2"),
    ],
)
def test_soak_names_what_was_missed_when_a_transition_fails(found: list[Seen], text: str) -> None:
    rows, raw = judge(STORY, samples(), found, exit_status=0, exit_s=1.0)
    assert [text in line for line in raw["missed"]] == [True]
    assert next(row.met for row in rows if row.what.endswith("missed")) is False


@pytest.mark.parametrize(
    ("kept", "failed"),
    [
        (samples(leak_mb_a_minute=20.0), "memory grows"),
        (samples(threads=1), "threads grow"),
    ],
)
def test_soak_fails_when_the_process_grows(kept: list[Sample], failed: str) -> None:
    assert [what for what, met in verdicts(statuses(), kept).items() if met is False] == [failed]


def test_soak_fails_when_the_node_does_not_end_well() -> None:
    found = verdicts(statuses(), samples(), status=-9, exit_s=30.0)
    assert [what for what, met in found.items() if met is False] == ["exit status", "shutdown"]


def test_soak_scenario_is_one_the_injector_reads_and_gives_sensors_time_when_made(tmp_path: Path) -> None:
    made = make_scenario(minutes=5.0, seed=3)
    path = tmp_path / "soak.yaml"
    path.write_text(yaml.safe_dump(plain(made)), encoding="utf-8")
    assert load_scenario(path).events == made.events
    for modality in SENSORS:
        turns = [event for event in made.events if event.stream == modality]
        assert len(turns) >= 4
        for before, after in zip(turns, turns[1:], strict=False):
            assert after.at_s - before.until_s > 30.0
    json.dumps(plain(made))
