"""Replay: the pipeline on bag time, the same on every machine, and everything written however it ends."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bags
import pytest
from bags import START_NS
from builders import MS, S
from replays import run

from sentryfuse_core.bags.readers import BagMessage, BagReader
from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import BagError, OutputError
from sentryfuse_core.faults.scenario import Action, Event, Scenario
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.replay.finish import summary_rows
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.records import json_line, read_results
from sentryfuse_core.replay.run import ReplayOptions, replay
from sentryfuse_core.types import Modality, ModalitySet, SensorState

CAMERA, LIDAR, IMU, AUDIO = Modality

pytestmark = pytest.mark.usefixtures("one_loaded_network")


def events(results: Path) -> list[str]:
    """The changes of state that the diagnostics of a run tell, in their order."""
    with BagReader(results) as reader:
        statuses = [
            status
            for item in reader.messages({"/diagnostics"})
            for status in item.message.status
            if status.name == "sentryfuse: events"
        ]
    return [value.key for status in statuses for value in status.values]


@pytest.mark.parametrize("sensors", ModalitySet.subsets(), ids=str)
def test_replay_makes_sets_when_any_sensors_are_recorded(sensors: ModalitySet, tmp_path: Path) -> None:
    result = run(tmp_path, bags.drive(sensors, seconds=0.7))
    assert (
        result.metrics["sensors"]["audio"]["invalid"] == 0
    )  # also where a block of audio begins with the set
    assert result.metrics["absences"].get("audio", {}).get("INVALID", 0) == 0
    rows = dict(summary_rows(tmp_path, result))
    assert {name for name, text in rows.items() if text == "not in the recording"} == {
        modality.value for modality in Modality if modality not in sensors
    }
    assert len(result.records) >= 6
    assert result.records[-1].used == sensors
    for modality in Modality:
        state = result.metrics["sensors"][modality.value]["state"]
        assert state == ("OK" if modality in sensors else "NEVER")
        absences = {record.absent.get(modality) for record in result.records}
        assert modality in sensors or absences == {"NEVER"}
    coverage = result.metrics["coverage"]
    if CAMERA in sensors or LIDAR in sensors:
        assert coverage["anchor"] == ("lidar" if LIDAR in sensors else "camera")
        assert coverage["share"] >= 0.99
    else:
        assert coverage is None


def test_replay_leaves_nothing_frozen_when_it_is_over(tmp_path: Path) -> None:
    run(tmp_path, bags.drive([Modality.IMU], seconds=0.2))
    assert gc.get_freeze_count() == 0


def test_replay_finds_the_same_when_the_format_differs(tmp_path: Path) -> None:
    messages = bags.drive([CAMERA, LIDAR, IMU], seconds=0.4)
    found = set()
    for form in bags.FORMATS:
        folder = tmp_path / form.replace(" ", "_")
        bag = bags.write_as(form, folder, messages)
        result = replay(ReplayOptions(bag=bag), RunOutputs(folder / "out", bag=bag))
        found.add("\n".join(json_line(record) for record in result.records))
    assert len(found) == 1
    assert '"used": ["camera", "lidar", "imu"]' in found.pop()


def test_replay_does_not_depend_on_speed_when_the_network_is_slow(tmp_path: Path) -> None:
    """Wall time passes in the pipeline, none on the recording's clock: no set is late or left out."""

    class Slow(Pipeline):
        def begin(self, synced: Any) -> Any:
            return replace(super().begin(synced), pre_ms=1e6)

        def infer(self, begun: Any) -> Any:
            return replace(super().infer(begun), infer_ms=1e6)

    messages = bags.drive(Modality, seconds=0.4)
    quick = run(tmp_path, messages, name="quick")
    slow = replay(
        ReplayOptions(bag=tmp_path / "bag.mcap"),
        RunOutputs(tmp_path / "slow", bag=tmp_path / "bag.mcap"),
        pipeline=Slow.build,
    )
    assert [json_line(record) for record in slow.records] == [json_line(record) for record in quick.records]


def test_replay_writes_the_same_when_the_network_runs_in_a_process_beside(
    tmp_path: Path, weights: Checkpoint
) -> None:
    """With odometry, tracks, a fault, and a level that changes on the way."""
    messages = [*bags.drive(Modality, seconds=2.0), *bags.odometry(seconds=2.0)]
    bag = bags.write(tmp_path / "bag.mcap", sorted(messages, key=lambda item: item.log_time_ns))
    cable = Event(0.6, 1.2, "lidar", "drop", {"share": 1.0})
    story = Scenario("loose", 0, 2.0, events=(cable,), actions=(Action(at_s=1.0, level=1),))
    config = override(Config(), {"model.score_threshold": 0.01, "model.checkpoint": str(weights.path)})
    found = []
    for beside in (False, True):
        out = tmp_path / f"out_{beside}"
        options = ReplayOptions(bag=bag, config=config, scenario=story, beside=beside)
        result = replay(options, RunOutputs(out, bag=bag))
        records = [replace(record, latency_ms={}) for record in read_results(out / "results.mcap")]
        timed = ("wall_s", "real_time_factor", "sets_per_wall_s", "latency_ms")
        metrics = {name: value for name, value in result.metrics.items() if name not in timed}
        found.append((str(records), (out / "sets.jsonl").read_bytes(), str(metrics), result.notes))
    assert found[0] == found[1]
    lines = [json.loads(line) for line in found[0][1].splitlines()]
    assert {line["level"] for line in lines} == {0, 1}
    assert any("lidar" not in line["used"] for line in lines)
    assert any(track["detection"] is not None for line in lines for track in line["tracks"])


def test_replay_measures_every_sub_network_first_when_a_deadline_is_to_come(tmp_path: Path) -> None:
    """So that the first set under the deadline meets it, as on the robot."""
    warmed = []

    class Measured(Pipeline):
        def warm_up(self) -> Any:
            warmed.append(True)
            table = {(bits, level): 40.0 / (level + 1) for bits in range(1, 16) for level in range(3)}
            self.budget.set_latency_table(table)
            return table

    bag = tmp_path / "bag.mcap"
    bags.write(bag, bags.drive([LIDAR], seconds=1.0))
    actions = (Action(0.5, latency_ms=0.01), Action(0.5, level=1), Action(0.5, power_w=1.0))
    for action, level in zip(actions, (2, 1, 2), strict=True):
        options = ReplayOptions(bag=bag, scenario=Scenario("tight", 1, 1.0, actions=(action,)))
        outputs = RunOutputs(tmp_path / str(action), bag=bag)
        result = replay(options, outputs, pipeline=Measured.build)
        early = [record for record in result.records if record.released_ns < START_NS + S // 2]
        late = [record for record in result.records if record.released_ns > START_NS + S // 2 + 2 * MS]
        assert {record.level for record in early} == {0}
        assert {record.level for record in late} == {level}
    assert warmed == [True]


def test_results_hold_every_set_when_read_back(tmp_path: Path) -> None:
    result = run(tmp_path, bags.drive([LIDAR, IMU], seconds=1.2))
    lines = (tmp_path / "out" / "sets.jsonl").read_text().splitlines()
    stamps = [record.stamp_ns for record in result.records]
    assert [json.loads(line)["stamp_ns"] for line in lines] == stamps
    assert [record.stamp_ns for record in read_results(tmp_path / "out" / "results.mcap")] == stamps
    with BagReader(tmp_path / "out" / "results.mcap") as reader:
        counts = {topic.name: topic.count for topic in reader.topics()}
    assert counts.pop("/diagnostics") >= 2
    names = ("detections", "tracks", "coverage", "markers", "status")
    assert counts == {f"/sentryfuse/{name}": len(stamps) for name in names}


def test_replay_goes_on_without_a_sensor_when_a_scenario_drops_it(tmp_path: Path) -> None:
    story = Scenario("dead lidar", 1, 1.5, events=(Event(0.5, 1.5, "lidar", "drop", {"share": 1.0}),))
    result = run(tmp_path, bags.drive([CAMERA, LIDAR, IMU], seconds=1.5), scenario=story)
    last = result.records[-1]
    assert last.states[LIDAR] is SensorState.LOST
    assert last.used == ModalitySet.of(CAMERA, IMU)
    assert last.anchor == "camera"
    lost = [item for item in result.metrics["events"] if item["sensor"] == "lidar"][-1]
    assert (lost["before"], lost["after"], lost["code"]) == ("OK", "LOST", "timeout")
    assert 0.5 < lost["t"] < 1.5
    assert "no new message" in lost["reason"]
    assert "/lidar" in lost["remedy"]
    found = [f"{x['sensor']} {x['before']} -> {x['after']}" for x in result.metrics["events"]]
    assert events(tmp_path / "out" / "results.mcap") == found
    assert any(LIDAR in record.used for record in result.records)


def test_replay_leaves_readable_results_when_interrupted_by_an_exception(tmp_path: Path) -> None:
    class Interrupted(Pipeline):
        def begin(self, synced: Any) -> Any:
            if synced.sequence == 4:
                raise KeyboardInterrupt
            return super().begin(synced)

    bag = bags.write(tmp_path / "bag.mcap", bags.drive(Modality, seconds=2.0))
    with pytest.raises(KeyboardInterrupt):
        replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag), pipeline=Interrupted.build)
    assert len(list(read_results(tmp_path / "out" / "results.mcap"))) == 4
    assert len((tmp_path / "out" / "sets.jsonl").read_text().splitlines()) == 4


def test_replay_keeps_what_it_found_and_lets_the_last_sets_go_when_the_recording_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stamps = BagReader.messages, list[Any]()

    def cut(reader: BagReader, *args: Any, **options: Any) -> Iterator[BagMessage]:
        for item in whole(reader, *args, **options):
            yield item
            if item.topic == "/lidar/points":
                stamps.append(item.message.header.stamp)
            if len(stamps) == 6:  # its picture does not come any more
                raise BagError("it ends in the middle of a record")

    bag = bags.write(tmp_path / "bag.mcap", bags.drive([LIDAR, CAMERA], seconds=1.0))
    with monkeypatch.context() as patch:
        patch.setattr(BagReader, "messages", cut)
        result = replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag))
    assert str(result.damage) == "it ends in the middle of a record"
    assert len(list(read_results(tmp_path / "out" / "results.mcap"))) == len(result.records)
    assert result.records[-1].stamp_ns == stamps[-1].sec * 1_000_000_000 + stamps[-1].nanosec


def test_replay_refuses_a_folder_when_it_holds_something(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        run(tmp_path, bags.drive([LIDAR], seconds=0.2))
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_latencies_are_measured_when_everything_else_is_on_bag_time(tmp_path: Path) -> None:
    result = run(tmp_path, bags.drive([LIDAR], seconds=0.5))
    latency = result.metrics["latency_ms"]
    assert 0.0 < latency["infer"]["p50"] < latency["step"]["max"]
    assert latency["age"]["max"] == 2.0  # what the builder put between stamp and arrival
    assert result.metrics["played_s"] == pytest.approx(0.4)


def test_transitions_are_told_within_moments_when_they_follow_diagnostics_closely(tmp_path: Path) -> None:
    told_ns: list[int] = []

    class Outputs(RunOutputs):
        def add_diagnostics(self, now_ns: int, message: Any) -> None:
            told_ns.append(now_ns)
            super().add_diagnostics(now_ns, message)

    bag = tmp_path / "bag.mcap"
    bags.write(bag, bags.drive([CAMERA, LIDAR], seconds=0.7))
    replay(ReplayOptions(bag=bag), Outputs(tmp_path / "out", bag=bag))
    assert 100 * MS <= told_ns[0] - START_NS <= 250 * MS
    assert len(told_ns) <= 7


def chatter(until_s: float) -> list[bags.Message]:
    """A topic of no sensor, ten times a second."""
    return [
        bags.Message("/chatter", "std_msgs/msg/String", START_NS + index * 100 * MS, {"data": "x"})
        for index in range(round(until_s * 10) + 1)
    ]


@pytest.mark.parametrize(("seconds", "end_s"), [(None, 3.0), (2.0, 2.0), (9.0, 3.0)])
def test_replay_goes_on_to_the_recordings_own_end_when_all_sensors_die(
    seconds: float | None, end_s: float, tmp_path: Path
) -> None:
    alive = bags.drive([CAMERA, LIDAR, IMU], seconds=1.0)
    messages = sorted([*alive, *chatter(3.0)], key=lambda item: item.log_time_ns)
    result = run(tmp_path, messages, seconds=seconds)
    lost = {event["sensor"]: event["t"] for event in result.metrics["events"] if event["after"] == "LOST"}
    assert set(lost) == {"camera", "lidar", "imu"}
    assert all(1.0 < at_s < 1.6 for at_s in lost.values())
    assert {result.metrics["sensors"][name]["state"] for name in lost} == {"LOST"}
    assert result.metrics["output"]["longest_silence_s"] == pytest.approx(end_s - 1.0, abs=0.3)
    assert result.metrics["output"]["share"] < 0.8
    assert result.metrics["played_s"] == pytest.approx(end_s)


def test_fault_is_noticed_when_the_sensor_is_degraded_already_and_finds_another_reason(
    tmp_path: Path,
) -> None:
    whole = dict.fromkeys(("left", "right", "top", "bottom"), 0.0) | {"sigma": 0.01}
    story = Scenario(
        "two",
        0,
        4.0,
        events=(
            Event(1.0, 4.0, "camera", "covered", options=whole | {"level": 0.5}),
            Event(2.0, 4.0, "camera", "covered", options=whole | {"level": 0.0}),
            Event(3.0, 3.1, "camera", "drop", options={"share": 1.0}),
        ),
    )
    result = run(tmp_path, bags.drive([CAMERA, LIDAR, IMU], seconds=4.0), scenario=story)
    gray, black, short = result.metrics["faults"]
    assert gray["code"] == "flat"
    assert (short["already_out"], short["noticed_after_s"]) == (True, None)
    assert (black["already_out"], black["code"]) == (True, "black")
    assert 0.0 < black["noticed_after_s"] < 0.5
    rows = dict(summary_rows(tmp_path, result))
    assert rows["drop camera at 3 s"] == "was DEGRADED already"


def test_replay_starts_at_the_recordings_own_start_when_the_sensors_come_late(tmp_path: Path) -> None:
    late = bags.drive([LIDAR], seconds=1.0, start_ns=START_NS + 2 * S)
    messages = sorted([*late, *chatter(3.0)], key=lambda item: item.log_time_ns)
    result = run(tmp_path, messages)
    assert result.start_ns == START_NS
    assert result.metrics["output"]["longest_silence_s"] > 1.9
