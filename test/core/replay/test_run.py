"""Replay: the pipeline on bag time, the same on every machine, and everything written however it ends."""

from __future__ import annotations

import gc
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bags
import mcaps
import numpy as np
import pytest
from bags import START_NS, TOPICS
from builders import MS, S
from networks import gated_checkpoint

from sentryfuse_core.bags.readers import BagMessage, BagReader
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import BagError, OutputError
from sentryfuse_core.faults.scenario import Action, Event, Scenario
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.replay.finish import summary_rows, write_all
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.records import json_line, read_results
from sentryfuse_core.replay.run import ReplayOptions, ReplayResult, replay
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import Modality, ModalitySet, SensorState

CAMERA, LIDAR, IMU, AUDIO = Modality


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Of a small network: how good recordings made by hand look is not what is judged here."""
    return gated_checkpoint(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module", autouse=True)
def _one_loaded_network(weights: Checkpoint) -> Any:
    """Load the weights once for all these tests; a bank holds nothing of a run."""
    bank = Bank(weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sentryfuse_core.pipeline.load_bank", lambda _config: bank)
        yield


def run(
    tmp_path: Path, messages: Sequence[bags.Message], *, name: str = "out", **options: Any
) -> ReplayResult:
    bag = tmp_path / "bag.mcap"
    if not bag.exists():
        bags.write(bag, messages)
    return replay(ReplayOptions(bag=bag, **options), RunOutputs(tmp_path / name, bag=bag))


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


def headerless(count: int, data: bytes, **info: Any) -> list[bags.Message]:
    """audio_common_msgs/AudioData every 20 ms, after an AudioInfo where one is given."""
    kind = "audio_common_msgs/msg/Audio"
    told = {
        "channels": 1,
        "sample_rate": 44_100,
        "sample_format": "S16LE",
        "bitrate": 0,
        "coding_format": "wave",
    }
    infos = [bags.Message("/mic_info", f"{kind}Info", START_NS, {**told, **info})] if info else []
    times = [START_NS + index * 20 * MS for index in range(count)]
    noise = itertools.cycle(data[k:] + data[:k] for k in range(0, 200, 2))  # no two of them the same
    return [*infos, *(bags.Message("/mic", f"{kind}Data", at, {"data": next(noise)}) for at in times)]


QUIET = np.random.default_rng(0).normal(0.0, 3000.0, 882).astype("<i2").tobytes()  # 20 ms of 44.1 kHz, mono


def camera_info(topic: str = "/camera/camera_info", **changes: Any) -> bags.Message:
    """The CameraInfo of the builder's pictures."""
    fields = {
        "header": bags.header(START_NS, "camera"),
        "width": 64,
        "height": 48,
        "distortion_model": "plumb_bob",
        "d": [0.0] * 5,
        "k": [32.0, 0.0, 32.0, 0.0, 32.0, 24.0, 0.0, 0.0, 1.0],
        **changes,
    }
    return bags.Message(topic, "sensor_msgs/msg/CameraInfo", START_NS, fields)


OTHER_PICTURE = camera_info(width=1280, height=720, k=[640.0, 0.0, 640.0, 0.0, 640.0, 360.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("messages", "values", "told"),
    [
        (
            bags.drive([CAMERA], seconds=0.3),
            {"camera.image_width": 1242, "camera.image_height": 375},
            ["64 x 48", "camera.image_width"],
        ),
        ([OTHER_PICTURE, *bags.drive([CAMERA], seconds=0.5)], {}, ["CameraInfo", "64 x 48", "1280 x 720"]),
        ([*bags.raw_audio(30), *bags.drive([CAMERA], seconds=0.6)], {}, ["16000 Hz", "audio.channels"]),
        (headerless(60, QUIET), {}, ["audio.sample_rate_hz", "44100 Hz"]),
    ],
    ids=["intrinsics", "another picture", "stamped audio", "headerless audio"],
)
def test_replay_says_what_to_set_when_data_does_not_fit_the_parameters(
    messages: Sequence[bags.Message], values: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    result = run(tmp_path, messages, config=override(Config(), values))
    assert len([note for note in result.notes if all(text in note for text in told)]) == 1


def test_replay_takes_the_camera_info_of_the_recording(tmp_path: Path) -> None:
    result = run(tmp_path, [camera_info(), *bags.drive([CAMERA], seconds=0.3)])
    assert result.selection.camera_infos == {CAMERA: "/camera/camera_info"}
    assert not any("CameraInfo" in note for note in result.notes)
    assert result.metrics["sensors"]["camera"]["topic"] == TOPICS[CAMERA]


def test_replay_takes_the_audio_info_of_the_recording(tmp_path: Path) -> None:
    result = run(tmp_path, headerless(60, QUIET, channels=1))
    assert result.selection.audio_infos == {AUDIO: "/mic_info"}
    assert not any("audio" in note for note in result.notes)
    assert result.metrics["sensors"]["audio"]["state"] == "OK"


@pytest.mark.parametrize("count", [3, 60])
def test_replay_says_why_audio_is_not_used_when_it_is_coded(tmp_path: Path, count: int) -> None:
    result = run(tmp_path, headerless(count, QUIET, coding_format="mp3"))
    (note,) = [note for note in result.notes if note.startswith("audio")]
    assert "'mp3'" in note
    assert not any(record.used for record in result.records)


def test_replay_takes_p_and_says_so_when_the_topic_is_rectified(tmp_path: Path) -> None:
    pictures = [
        item._replace(topic="/cam/image_rect_color/compressed") for item in bags.drive([CAMERA], seconds=0.5)
    ]
    info = camera_info(
        "/cam/camera_info",
        header=bags.header(START_NS, "another_camera"),
        distortion_model="omnidirectional",
        d=[0.3] * 4,
        p=[30.0, 0.0, 32.0, 0.0, 0.0, 30.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
    result = run(tmp_path, [info, *pictures])
    assert any("rectified" in note and "P of /cam/camera_info" in note for note in result.notes)
    assert any("'another_camera'" in note and "'camera'" in note for note in result.notes)
    assert result.metrics["sensors"]["camera"]["state"] == "OK"
    raw = run(tmp_path, [], name="raw", config=override(Config(), {"camera.rectified": "never"}))
    assert any("CameraInfo not used" in note and "omnidirectional" in note for note in raw.notes)


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
    assert math.isclose(result.metrics["played_s"], 0.45, abs_tol=0.02)


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
    assert result.metrics["played_s"] == pytest.approx(end_s, abs=0.2)


def test_replay_starts_at_the_recordings_own_start_when_the_sensors_come_late(tmp_path: Path) -> None:
    late = bags.drive([LIDAR], seconds=1.0, start_ns=START_NS + 2 * S)
    messages = sorted([*late, *chatter(3.0)], key=lambda item: item.log_time_ns)
    result = run(tmp_path, messages)
    assert result.start_ns == START_NS
    assert result.metrics["output"]["longest_silence_s"] > 1.9


def garbled(tmp_path: Path, *, every: int) -> Path:
    """A recording in which each `every`-th cloud does not match its type."""
    path, clouds = tmp_path / "bag.mcap", itertools.count()
    with BagWriter(path) as writer:
        for item in bags.drive([LIDAR, IMU], seconds=0.6):
            if item.topic == TOPICS[LIDAR] and next(clouds) % every == 0:
                writer.write_cdr(item.topic, item.type_name, item.log_time_ns, b"\x00\x01\x00\x00rubbish")
            else:
                writer.write(*item)
    return path


def test_replay_ends_with_the_reason_when_nothing_of_a_topic_can_be_decoded(tmp_path: Path) -> None:
    bag = garbled(tmp_path, every=1)
    result = replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag))
    assert isinstance(result.damage, BagError)
    assert "none of the 6 messages of /lidar/points (sensor_msgs/msg/PointCloud2)" in str(result.damage)
    assert "--topic lidar=NAME" in str(result.damage)
    assert result.metrics["sensors"]["lidar"]["invalid_reasons"] == {"undecodable": 6}


def refused(kind: str) -> list[bags.Message]:
    """A drive whose messages are whole and of no use."""
    found = bags.drive([CAMERA, LIDAR], seconds=1.2)
    for item in found:
        if kind == "stamps":
            item.fields["header"]["stamp"] = {"sec": 0, "nanosec": 0}
        elif item.topic == TOPICS[CAMERA]:
            item.fields["data"] = b"RIFF0000WEBPVP8 " + bytes(100)
        else:
            item.fields["data"] = (np.frombuffer(item.fields["data"], np.float32) * 1e5).tobytes()
    return found


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [("stamps", ["header.stamp is 0"]), ("content", ["a WebP file", "half of the points lie beyond"])],
)
def test_replay_ends_with_the_reasons_when_no_message_can_be_used(
    kind: str, reasons: list[str], tmp_path: Path
) -> None:
    result = run(tmp_path, refused(kind))
    assert "no message of any sensor could be used" in str(result.damage)
    for reason in reasons:
        assert reason in str(result.damage)
    (tmp_path / "good").mkdir()
    good = [*refused(kind), *bags.drive([IMU], seconds=1.2)]
    assert run(tmp_path / "good", sorted(good, key=lambda item: item.log_time_ns)).damage is None


def test_replay_notes_the_reason_when_some_messages_cannot_be_decoded(tmp_path: Path) -> None:
    bag = garbled(tmp_path, every=3)
    result = replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag))
    assert result.damage is None
    assert any("lidar: 2 of the 6 messages" in note for note in result.notes)
    assert sum(sensor["invalid"] for sensor in result.metrics["sensors"].values()) == 2


def test_poses_come_from_the_recording_and_their_chains_stand_in_manifest_and_diagnostics(
    tmp_path: Path,
) -> None:
    static = bags.transforms(
        bags.transform("mast", "base_link", (0.0, 0.0, 1.0)), bags.transform("lidar", "mast", (0.0, 0.0, 0.8))
    )
    messages = [static, *bags.drive([LIDAR, IMU], seconds=0.5)]
    result = run(tmp_path, messages)
    assert result.poses == {"lidar": "base_link <- mast <- lidar, /tf_static", "imu": "parameters"}
    imu = "imu is placed by the parameters imu.translation_m and imu.quaternion_xyzw, which are at their"
    assert all(
        [note.startswith(imu) for note in record.notes if "placed" in note] == [True]
        for record in result.records
        if IMU in record.used
    )
    write_all(tmp_path / "out", ReplayOptions(bag=tmp_path / "bag.mcap"), result, command=[], scenario=None)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["poses"] == result.poses
    with BagReader(tmp_path / "out" / "results.mcap") as reader:
        (*_, last) = reader.messages({"/diagnostics"})
    poses = next(status for status in last.message.status if status.name == "sentryfuse: poses")
    assert poses.level == 1
    assert {value.key: value.value for value in poses.values} == result.poses


def test_parameters_place_the_sensors_and_it_is_said_once_when_the_recording_has_no_transforms(
    tmp_path: Path,
) -> None:
    result = run(tmp_path, bags.drive([LIDAR], seconds=0.3))
    assert result.poses == {"lidar": "parameters"}
    assert "no /tf_static or /tf in the recording: the poses are the parameters'" in result.notes
    assert not any("placed" in note for record in result.records for note in record.notes)


def test_same_boxes_are_found_when_transforms_say_what_the_parameters_do(tmp_path: Path) -> None:
    sensors = {"camera": Config().camera, "lidar": Config().lidar, "imu": Config().imu}
    static = [
        bags.transform(frame, "base_link", section.translation_m, section.quaternion_xyzw)
        for frame, section in sensors.items()
    ]
    found = []
    for name, first in (("told", [bags.transforms(*static, log_time_ns=START_NS + 2 * MS)]), ("mute", [])):
        (tmp_path / name).mkdir()
        result = run(tmp_path / name, [*first, *bags.drive([CAMERA, LIDAR, IMU], seconds=0.5)])
        found.append([json_line(record) for record in result.records])
    assert found[0] == found[1]


def of_two(seconds: tuple[float, float], after_ms: int) -> list[tuple[str, bags.Message]]:
    """Two lidars of one frame on one topic, the second one that much later."""
    first = bags.drive([LIDAR], seconds=seconds[0])
    second = bags.drive([LIDAR], seconds=seconds[1], start_ns=START_NS + after_ms * MS)
    both = [("first", item) for item in first] + [("second", item) for item in second]
    return sorted(both, key=lambda item: item[1].log_time_ns)


@pytest.mark.parametrize(
    ("seconds", "after_ms", "codes"),
    [((3.0, 3.0), 50, {"several_publishers"}), ((1.5, 1.5), 1550, set())],  # the second one: started anew
)
def test_replay_tells_of_publishers_that_are_mixed_when_the_recording_keeps_them_apart(
    seconds: tuple[float, float], after_ms: int, codes: set[str], tmp_path: Path
) -> None:
    sent = of_two(seconds, after_ms)
    names = {id(item): name for name, item in sent}
    bag = mcaps.write(
        tmp_path / "bag.mcap", [item for _, item in sent], channel_of=lambda item: names[id(item)], chunks=2
    )
    result = replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag))
    assert {event["code"] for event in result.metrics["events"]} - {""} == codes


def test_replay_notes_it_when_a_topic_was_recorded_of_several_publishers(tmp_path: Path) -> None:
    offer = "- reliability: 2\n  durability: 2\n"
    messages = bags.drive([LIDAR], seconds=0.5)
    mcaps.write(tmp_path / "bag.mcap", messages, metadata={"offered_qos_profiles": 2 * offer})
    (note,) = [note for note in run(tmp_path, messages).notes if "publishers" in note]
    assert "lidar: /lidar/points was recorded of 2 publishers" in note


@pytest.mark.parametrize("form", ["mcap", "db3", "bag"])
def test_replay_tells_speeds_over_ground_as_long_as_the_recordings_odometry_is_good(
    form: str, tmp_path: Path
) -> None:
    """It is of another frame after a second, and then it ends."""
    other = bags.odometry(seconds=0.5, child="wheel", start_ns=START_NS + S)
    sensors = bags.drive([LIDAR, IMU], seconds=3.0)
    messages = sorted([*sensors, *bags.odometry(seconds=1.0), *other], key=lambda item: item.log_time_ns)
    bag = bags.write_as(form, tmp_path / "recorded", messages)
    result = replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag))
    with BagReader(tmp_path / "out" / "results.mcap") as reader:
        found = [
            (item.message.header.stamp.sec * S + item.message.header.stamp.nanosec, item.message.over_ground)
            for item in reader.messages(["/sentryfuse/tracks"])
        ]
    over = {over for stamp_ns, over in found if S // 5 < stamp_ns - START_NS < S}
    relative = {over for stamp_ns, over in found if stamp_ns - START_NS > 1200 * MS}
    assert (over, relative) == ({True}, {False})
    told = {note.split("; ")[0] for record in result.records for note in record.notes if "odometry" in note}
    assert told == {
        "odometry is not used: no transform to its child_frame_id 'wheel'",
        "odometry is not used: no message for more than 0.3 s",
    }


def test_replay_takes_odometry_of_a_frame_that_the_recordings_transforms_know(tmp_path: Path) -> None:
    known = bags.transforms(
        bags.transform("wheel", "base_link", (0.0, 0.6, 0.3)), bags.transform("lidar", "base_link")
    )
    messages = [known, *bags.drive([LIDAR], seconds=0.6), *bags.odometry(seconds=0.6, child="wheel")]
    result = run(tmp_path, sorted(messages, key=lambda item: item.log_time_ns))
    assert not [note for record in result.records for note in record.notes if "odometry" in note]
    with BagReader(tmp_path / "out" / "results.mcap") as reader:
        last = [item.message for item in reader.messages(["/sentryfuse/tracks"])][-1]
    assert last.over_ground


def test_replay_tells_tracks_in_odometrys_frame_as_long_as_it_is_used(tmp_path: Path) -> None:
    """What is judged and drawn stays in the base frame."""
    messages = [*bags.drive([LIDAR], seconds=1.2), *bags.odometry(seconds=0.6)]
    bag = bags.write(tmp_path / "bag.mcap", sorted(messages, key=lambda item: item.log_time_ns))
    lines, frames = [], []
    for frame in ("base", "odom"):
        config = override(Config(), {"tracking.frame": frame})
        out = tmp_path / frame
        result = replay(ReplayOptions(bag=bag, config=config), RunOutputs(out, bag=bag))
        lines.append([json_line(record) for record in result.records])
        with BagReader(out / "results.mcap") as reader:
            arrays = [item.message for item in reader.messages(["/sentryfuse/tracks"])]
        frames.append([(array.header.frame_id, array.over_ground) for array in arrays])
        untold = [record.tracks is None for record in read_results(out / "results.mcap")]
        assert untold == [array.header.frame_id == "odom" for array in arrays]
    assert lines[0] == lines[1]
    assert set(frames[0]) == {("base_link", True), ("base_link", False)}
    assert set(frames[1]) == {("odom", True), ("base_link", False)}
