"""Scenario files: what they say is what is played, and what is wrong in them is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentryfuse_core.config import load_yaml
from sentryfuse_core.errors import ScenarioError
from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.faults.scenario import Action, Event, load_scenario
from sentryfuse_core.types import Modality, ModalitySet

GOOD = """
name: short
seed: 3
seconds: 10
events:
  - {at_s: 2, until_s: 4, stream: camera, fault: drop}
  - {at_s: 5, stream: /imu/data, fault: delay, delay_s: 0.2}
actions:
  - {at_s: 8, power_w: 6}
stretches:
  - {name: blind, at_s: 2, until_s: 4, expect: [lidar, imu, audio], settle_s: 0.5, level: 1}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "story.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_scenario_holds_what_the_file_says_when_good(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, GOOD))
    assert (scenario.name, scenario.seed, scenario.seconds) == ("short", 3, 10.0)
    assert scenario.events[0] == Event(2.0, 4.0, "camera", "drop", {"share": 1.0})
    assert scenario.events[1] == Event(5.0, 10.0, "/imu/data", "delay", {"delay_s": 0.2})
    assert scenario.actions == (Action(8.0, power_w=6.0),)
    stretch = scenario.stretches[0]
    assert stretch.expect == ("lidar", "imu", "audio")
    assert (stretch.settle_s, stretch.level) == (0.5, 1)


def test_scenario_has_no_end_when_it_says_so(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, GOOD.replace("seconds: 10", "seconds: .inf")))
    assert scenario.running(1e12) == (scenario.events[1],)


def test_scenario_hits_only_its_stream_when_in_its_time(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, GOOD))
    hits = [bool(scenario.active("/cam", Modality.CAMERA, at_s)) for at_s in (1.99, 2.0, 3.99, 4.0)]
    assert hits == [False, True, True, False]
    assert not scenario.active("/lidar", Modality.LIDAR, 3.0)
    assert scenario.active("/imu/data", Modality.IMU, 6.0)
    assert not scenario.active("/imu/other", Modality.IMU, 6.0)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("stream: camera", "stream: radar", ("radar", "camera", "audio", "/topic")),
        ("fault: drop", "fault: explode", ("explode", *FAULTS)),
        ("fault: drop", "fault: drop, strength: 2", ("strength", "share")),
        ("fault: drop", "fault: drop, share: 1.5", ("share", "1.5", "1.0")),
        ("fault: drop", "fault: blocked, from_deg: 0, to_deg: 9", ("blocked", "camera", "lidar")),
        ("fault: delay, delay_s: 0.2", "fault: delay", ("events[1]", "delay_s")),
        ("seconds: 10", "seconds: soon", ("seconds", "soon")),
        ("seed: 3", "sead: 3", ("sead", "seed")),
        ("seed: 3", "seed: -1", ("seed", "-1", "0.0")),
        ("seed: 3", "seed: .inf", ("seed", "inf")),
        ("seed: 3", "seed: 1.5", ("seed", "1.5", "an integer")),
        ("at_s: 8", "at_s: .inf", ("actions[0]", "at_s", "inf")),
        ("power_w: 6", "level: .inf", ("actions[0]", "level", "inf")),
        ("power_w: 6", "level: 3000000000", ("level", "3000000000")),
        ("settle_s: 0.5", "settle_s: .nan", ("stretches[0]", "settle_s", "nan")),
        ("until_s: 4, stream", "until_s: 1, stream", ("until_s", "1.0", "2.0")),
        ("[lidar, imu, audio]", "[lidar, sonar]", ("sonar", "imu")),
        ("power_w: 6", "watts: 6", ("power_w", "latency_ms")),
        ("{at_s: 8, power_w: 6}", "later", ("actions[0]", "later")),
        ("fault: drop", "fault: dim, severity: awful", ("'awful'", "slight, clear, severe")),
        ("fault: drop", "fault: dim, severity: clear, gain: 0.5", ("'dim'", "in place of gain")),
        ("fault: drop", "fault: black, severity: severe", ("'black'", "knows no degrees")),
        ("fault: drop", "fault: freeze, severity: severe", ("'freeze'", "knows no degrees")),
        (
            "camera, fault: drop",
            "all, fault: noise, severity: clear",
            ("'noise'", "camera, lidar, imu, audio"),
        ),
    ],
)
def test_scenario_names_the_fault_and_the_remedy_when_wrong(
    tmp_path: Path, old: str, new: str, names: tuple[str, ...]
) -> None:
    assert old in GOOD
    with pytest.raises(ScenarioError) as caught:
        load_scenario(write(tmp_path, GOOD.replace(old, new)))
    message = str(caught.value)
    assert "\n" not in message
    for name in names:
        assert name in message


def test_scenario_is_an_error_when_missing_or_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.yaml"):
        load_scenario(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match="cannot read"):
        load_scenario(write(tmp_path, "a: [1"))


def test_scenario_of_a_rig_is_told_by_its_names_when_shipped() -> None:
    rigs = Path(__file__).parents[3] / "config" / "rigs"
    kinds = load_yaml(rigs / "four_cameras.yaml").kinds
    scenario = load_scenario(rigs / "four_cameras_story.yaml", kinds=kinds)
    left = {name for name, _ in kinds} - {event.stream for event in scenario.events}
    assert set(scenario.stretches[-1].expect) == left
    with pytest.raises(ScenarioError, match="left_camera"):  # the usual sensors have no such name
        load_scenario(rigs / "four_cameras_story.yaml")


def test_scenario_demo_tells_the_whole_story_when_shipped() -> None:
    scenario = load_scenario(Path(__file__).parents[3] / "config" / "scenarios" / "demo.yaml")
    seen = [ModalitySet.of(*map(Modality, stretch.expect)) for stretch in scenario.stretches]
    assert ModalitySet.all() in seen
    assert ModalitySet.of(Modality.AUDIO) in seen
    for modality in (Modality.CAMERA, Modality.LIDAR, Modality.IMU):
        assert ModalitySet.all() - ModalitySet.of(modality) in seen
    assert any(action.power_w < 15 for action in scenario.actions)
    ends = [stretch.until_s for stretch in scenario.stretches]
    assert [stretch.at_s for stretch in scenario.stretches] == [0.0, *ends[:-1]]
    assert ends[-1] == scenario.seconds


@pytest.mark.parametrize(
    ("stream", "fault", "severity", "options"),
    [
        ("camera", "noise", "slight", {"sigma": 0.05}),
        ("lidar", "noise", "slight", {"sigma": 0.1}),
        ("lidar", "turned", "severe", {"yaw_deg": 10.0, "fov_deg": 90.0}),
        ("/any/topic", "dirty", "clear", {"share": 0.35}),
    ],
)
def test_scenario_takes_options_from_the_severity_when_it_is_given(
    tmp_path: Path, stream: str, fault: str, severity: str, options: dict[str, float]
) -> None:
    text = f"seconds: 9\nevents: [{{at_s: 1, stream: {stream}, fault: {fault}, severity: {severity}}}]"
    assert load_scenario(write(tmp_path, text)).events == (Event(1.0, 9.0, stream, fault, options),)
