"""Replay of a rig with several sensors of a kind: topics, states, faults and results are by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bags
import pytest
from bags import TOPICS
from networks import gated_checkpoint

from sentryfuse_core.bags.readers import Topic
from sentryfuse_core.bags.topics import parse_overrides, select
from sentryfuse_core.config import Config, override, to_mapping
from sentryfuse_core.errors import ScenarioError, TopicError
from sentryfuse_core.faults.scenario import Event, Scenario, load_scenario
from sentryfuse_core.replay.finish import report_data, summary_rows, write_all
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.records import read_results
from sentryfuse_core.replay.report import summary
from sentryfuse_core.replay.run import ReplayOptions, replay
from sentryfuse_core.types import Modality

CAMERA, LIDAR, IMU, AUDIO = Modality
KINDS = {"front_camera": CAMERA, "rear_camera": CAMERA, "top_lidar": LIDAR, "rear_lidar": LIDAR, "imu": IMU}
IMAGE, CLOUD, INFO = (f"sensor_msgs/msg/{name}" for name in ("CompressedImage", "PointCloud2", "CameraInfo"))
VALUES: dict[str, Any] = {
    "sensors": list(KINDS),
    **{f"{name}.kind": kind.value for name, kind in KINDS.items() if name != kind},
    "front_camera.translation_m": (0.3, 0.0, 1.5),
    "front_camera.quaternion_xyzw": (-0.5, 0.5, -0.5, 0.5),
    "rear_camera.translation_m": (-0.3, 0.0, 1.5),
    "rear_camera.quaternion_xyzw": (-0.5, -0.5, 0.5, 0.5),
    "top_lidar.translation_m": (0.0, 0.0, 1.8),
    "rear_lidar.translation_m": (-1.0, 0.0, 0.8),
}
RIG = override(Config(), VALUES)


def drive(seconds: float) -> list[bags.Message]:
    """Every sensor of the rig on the topic that it has by default."""
    found = []
    for name, kind in KINDS.items():
        topic = TOPICS[kind].replace(f"/{kind}/", f"/{name}/")
        found += [item._replace(topic=topic) for item in bags.drive([kind], seconds=seconds)]
    return sorted(found, key=lambda item: item.log_time_ns)


def test_replay_is_by_name_when_the_sensors_have_names(tmp_path: Path) -> None:
    bag = tmp_path / "bag.mcap"
    bags.write(bag, drive(2.5))
    fault = Event(1.0, 9.0, "rear_lidar", "drop", {"share": 1.0})
    story = Scenario("lost", 0, 9.0, events=(fault,))
    config = override(RIG, {"model.checkpoint": str(gated_checkpoint(tmp_path).path)})
    options = ReplayOptions(bag=bag, config=config, scenario=story)
    out = tmp_path / "out"
    result = replay(options, RunOutputs(out, bag=bag))
    assert list(result.selection.topics) == list(KINDS)
    early, late = result.records[4], result.records[-1]
    assert early.sensors == ("front_camera", "top_lidar", "rear_lidar", "imu")
    assert late.sensors == ("front_camera", "top_lidar", "imu")
    assert late.absent == {"rear_camera": "LEFT_OUT", "rear_lidar": "LOST"}
    assert {record.anchor for record in result.records[3:]} == {"top_lidar"}
    assert str(late.used) == "camera+lidar+imu"
    metrics = result.metrics
    assert list(metrics["sensors"]) == list(KINDS)
    assert [(item["sensor"], item["code"]) for item in metrics["faults"]] == [("rear_lidar", "timeout")]
    assert metrics["false_alarms"]["count"] == 0
    assert metrics["coverage"]["anchor"] == "top_lidar"
    assert {name for name, _ in summary_rows(out, result)} >= {*KINDS}
    lines = summary(report_data(options, result, command=()))
    assert any(line.startswith("rear_lidar: part of") and "lost 1 time" in line for line in lines)
    write_all(out, options, result, scenario=None, command=(), verdicts=())
    again = list(read_results(out / "results.mcap"))
    assert [(item.sensors, item.absent) for item in again] == [
        (item.sensors, item.absent) for item in result.records
    ]


def test_topics_are_those_called_like_the_sensors_when_several_are_of_a_kind() -> None:
    available = [
        *(Topic(f"/cam/{side}/image/compressed", IMAGE, 9) for side in ("left", "rear", "front")),
        *(Topic(f"/cam/{side}/camera_info", INFO, 9) for side in ("rear", "front")),
        *(Topic(f"/{place}/points", CLOUD, 9) for place in ("velodyne_top", "velodyne_rear", "merged")),
    ]
    found = select(available, {}, config=RIG)
    assert {name: topic.name for name, topic in found.topics.items()} == {
        "front_camera": "/cam/front/image/compressed",
        "rear_camera": "/cam/rear/image/compressed",
        "top_lidar": "/velodyne_top/points",
        "rear_lidar": "/velodyne_rear/points",
    }
    assert found.camera_infos == {
        "front_camera": "/cam/front/camera_info",
        "rear_camera": "/cam/rear/camera_info",
    }
    assert found.told_by("/cam/rear/camera_info") == ("rear_camera",)
    assert found.missing == ("imu",)


def test_sensor_is_missing_when_no_topic_is_called_like_it_and_it_is_not_the_only_one() -> None:
    found = select([Topic("/a/points", CLOUD, 9), Topic("/top/points", CLOUD, 9)], {}, config=RIG)
    assert {name: topic.name for name, topic in found.topics.items()} == {"top_lidar": "/top/points"}
    chosen, _ = parse_overrides(["rear_lidar=/a/points"], RIG)
    found = select([Topic("/a/points", CLOUD, 9), Topic("/top/points", CLOUD, 9)], chosen, config=RIG)
    assert [topic.name for topic in found.topics.values()] == ["/top/points", "/a/points"]
    with pytest.raises(TopicError, match="front_camera, rear_camera, top_lidar, rear_lidar, imu, odometry"):
        parse_overrides(["lidar=/a/points"], RIG)


def test_select_tells_how_to_choose_when_no_topic_is_called_like_a_sensor() -> None:
    available = [Topic("/a/points", CLOUD, 9), Topic("/top/points", CLOUD, 9)]
    told = "no rear_lidar: none of /a/points is called like it; --topic rear_lidar=NAME chooses one"
    assert select(available, {}, config=RIG).notes == (told,)
    with pytest.raises(TopicError, match=r"no topic is an enabled sensor's: .*--topic top_lidar=NAME"):
        select(available[:1], {}, config=RIG)


def test_select_refuses_in_one_line_when_two_sensors_are_given_one_topic() -> None:
    available = [Topic("/a/points", CLOUD, 9), Topic("/top/points", CLOUD, 9)]
    chosen, config = parse_overrides(["top_lidar=/a/points", "rear_lidar=a/points"], RIG)
    with pytest.raises(TopicError, match="--topic gives /a/points to top_lidar and to rear_lidar; give each"):
        select(available, chosen, config=config)


@pytest.mark.parametrize(
    ("stream", "fault", "told"),
    [
        ("rear_camera", "black", None),
        ("camera", "black", None),
        ("rear_lidar", "black", "fault 'black' is not for rear_lidar; it is for camera"),
        ("side_camera", "black", "unknown stream 'side_camera'; give front_camera, rear_camera"),
    ],
)
def test_scenario_knows_sensors_by_name_when_they_have_names(
    stream: str, fault: str, told: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "story.yaml"
    path.write_text(f"seconds: 9\nevents:\n  - {{at_s: 1, stream: {stream}, fault: {fault}}}\n")
    if told is None:
        (event,) = load_scenario(path, kinds=RIG.kinds).events
        hit = [n for n, kind in KINDS.items() if event.hits("/x", n, 2.0, kind=kind)]
        assert hit == [name for name, kind in KINDS.items() if stream in (name, kind)]
        return
    with pytest.raises(ScenarioError, match=told):
        load_scenario(path, kinds=RIG.kinds)


def test_manifest_holds_the_names_when_there_are_any() -> None:
    assert to_mapping(RIG)["sensors"] == list(KINDS)
    assert to_mapping(RIG)["rear_lidar"]["kind"] == "lidar"
