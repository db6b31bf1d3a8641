"""What a preflight makes of what it saw; nothing here is on the wire."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from sentryfuse_core.config import Config, override
from sentryfuse_core.types import Modality, Pose
from sentryfuse_ros import check
from sentryfuse_ros.check_judge import (
    ClockSeen,
    InfoSeen,
    Line,
    ModelSeen,
    Stream,
    Verdict,
    exit_status,
    judge,
)
from sentryfuse_ros.problems import Problem, best_effort_only, no_publisher, unknown_type

S = 1_000_000_000
MS = 1_000_000
CLOUD = "sensor_msgs/msg/PointCloud2"
NOW_NS = 1_700_000_000 * S
TOPIC = "/lidar/points"
NOBODY = no_publisher(TOPIC)
STRANGE = unknown_type("lidar", Modality.LIDAR, TOPIC, {"a/msg/B"}, wanted=CLOUD)
SYSTEM_CLOCK = ClockSeen()
MODEL = ModelSeen(identity="world_v1 abc", device="cpu")


def stream(*, rate_hz: float = 10.0, lag_ns: int = 20 * MS, **values: Any) -> Stream:
    """Eleven good messages, but for these values."""
    fields = {"messages": 11, "frame_id": "lidar", "stamps": [(NOW_NS - lag_ns, NOW_NS)], **values}
    return Stream(topic=TOPIC, last_ns=round(10 / rate_hz * S), **fields)


def refused(reason: str, count: int, detail: str = "") -> Stream:
    """So many of the messages could not be read."""
    details = {reason: detail} if detail else {}
    return stream(refused=Counter({reason: count}), details=details, frame_id="lidar" if count < 11 else None)


def silent(problem: Problem | None = None) -> Stream:
    return Stream(topic=TOPIC, problem=problem)


def judged(
    seen: Stream | None = None,
    *,
    modality: Modality = Modality.LIDAR,
    clock: ClockSeen = SYSTEM_CLOCK,
    model: ModelSeen = MODEL,
    notes: tuple[str, ...] = (),
    info: InfoSeen | None = None,
    transforms: bool | None = None,
    odometry: Stream | None = None,
    **values: Any,
) -> list[Line]:
    return judge(
        {modality: seen or stream()},
        override(Config(), {name.replace("__", "."): value for name, value in values.items()}),
        infos={modality: info} if info else {},
        clock=clock,
        model=model,
        memory_notes=notes,
        transforms=transforms,
        odometry=odometry,
    )


def bad(lines: list[Line]) -> list[tuple[str, str, str]]:
    """What is not fine, and that each has a remedy."""
    assert all(line.remedy for line in lines if line.verdict is not Verdict.OK)
    return [(line.verdict.value, line.subject, line.code) for line in lines if line.verdict is not Verdict.OK]


def test_judge_finds_nothing_when_all_is_well() -> None:
    lines = judged()
    assert bad(lines) == []
    subjects = {"lidar", "ground", "clock", "checkpoint", "device", "shared memory"}
    assert {line.subject for line in lines} == subjects
    assert exit_status(lines, strict=True) == 0


@pytest.mark.parametrize(
    ("seen", "values", "level", "code"),
    [
        (silent(NOBODY), {}, "FAIL", "no_publisher"),
        (silent(STRANGE), {}, "FAIL", "unknown_type"),
        (silent(best_effort_only("lidar")), {}, "FAIL", "qos_incompatible"),
        (silent(), {}, "FAIL", "silent"),
        (refused("truncated", 11), {}, "FAIL", "truncated"),
        (refused("truncated", 1), {}, "WARN", "truncated"),
        (refused("zero_stamp", 11), {}, "FAIL", "zero_stamp"),
        (stream(lag_ns=NOW_NS - 5), {}, "FAIL", "zero_stamp"),
        (stream(lag_ns=11 * S), {}, "FAIL", "other_clock"),
        (stream(lag_ns=-11 * S), {}, "FAIL", "other_clock"),
        (stream(lag_ns=-600 * MS), {}, "FAIL", "future_stamp"),
        (stream(lag_ns=-100 * MS), {}, "WARN", "future_stamp"),
        (stream(lag_ns=600 * MS), {}, "WARN", "lag"),
        (stream(rate_hz=1.0), {}, "WARN", "slow"),
        (stream(rate_hz=8.0), {"lidar__expected_rate_hz": 10.0}, "WARN", "slow"),
        (stream(rate_hz=4.0), {"lidar__expected_rate_hz": 10.0}, "FAIL", "slow"),
        (stream(placed=False), {}, "FAIL", "wrong_frame"),
        (stream(placed=False), {"lidar__translation_m": (0.0, 0.0, 1.0)}, "WARN", "wrong_frame"),
        (stream(frame_id="/lidar", placed=True), {}, "WARN", "slash_frame"),
        (stream(frame_id="/lidar"), {}, "WARN", "slash_frame"),
        (stream(frame_id="/lidar", placed=False), {}, "FAIL", "wrong_frame"),
        (stream(frame_id=""), {}, "WARN", "no_frame"),
        (stream(publishers=("/front", "/rear")), {}, "WARN", "several_publishers"),
    ],
)
def test_judge_names_the_cause_when_a_sensor_is_not_usable(
    seen: Stream, values: dict[str, Any], level: str, code: str
) -> None:
    lines = judged(seen, **values)
    assert bad(lines) == [(level, "lidar", code)]
    assert exit_status(lines, strict=False) == int(level == "FAIL")
    assert exit_status(lines, strict=True) == 1


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (refused("unknown_encoding", 11, "encoding 'plaid' is not supported"), "'plaid'"),
        (stream(publishers=("/front", "/rear")), "/front, /rear"),
        (silent(STRANGE), f"unknown type a/msg/B, not {CLOUD}, on {TOPIC}"),
        *[
            (stream(frame_id="/lidar", placed=placed), "'/lidar' begins with a slash, which tf2 refuses")
            for placed in (True, False, None)
        ],
    ],
)
def test_judge_says_what_was_found_when_a_sensor_is_not_usable(seen: Stream, found: str) -> None:
    (line,) = [line for line in judged(seen) if line.remedy]
    assert found in line.found


def test_judge_warns_of_the_parameters_when_nobody_publishes_transforms() -> None:
    assert bad(judged(transforms=False)) == [("WARN", "poses", "no_transforms")]


PLACED = Pose((0.0, 0.0, 1.45), (0.0, 0.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("seen", "values", "height"),
    [
        (stream(placed=True, pose=PLACED), {}, "lidar 1.45 m"),
        (stream(placed=False), {"lidar__translation_m": (0.0, 0.0, -0.25)}, "lidar -0.25 m"),
    ],
)
def test_judge_tells_heights_over_what_is_taken_for_the_ground_when_a_sensor_is_placed(
    seen: Stream, values: dict[str, Any], height: str
) -> None:
    [line] = [line for line in judged(seen, output__base_frame="axle", **values) if line.subject == "ground"]
    assert "z = 0 of axle" in line.found
    assert height in line.found
    assert "set output.base_frame" in line.found


def test_judge_warns_of_a_camera_whose_frame_looks_straight_up_when_tf2_places_it() -> None:
    optical = Pose((0.3, 0.0, 1.5), (-0.5, 0.5, -0.5, 0.5))
    verdicts = [
        bad(judged(stream(placed=True, pose=pose), modality=Modality.CAMERA)) for pose in (PLACED, optical)
    ]
    assert verdicts == [[("WARN", "camera", "wrong_frame")], []]
    assert bad(judged(stream(placed=True, pose=PLACED))) == []  # a lidar's z axis is meant to


def test_judge_names_topics_of_the_kind_when_nobody_publishes_the_one_asked_for() -> None:
    elsewhere = tuple(f"/{letter}/points" for letter in "abcdef")
    found = [judged(replace(silent(NOBODY), elsewhere=elsewhere[:some]))[0].found for some in (0, 1, 6)]
    assert found[0] == "no publisher on /lidar/points"
    assert found[1].endswith("published on /a/points")
    assert found[2].endswith("published on /a/points, /b/points, /c/points, /d/points and 2 more")


@pytest.mark.parametrize("lag_ns", [-4 * MS, 0, 400 * MS, 499 * MS])
def test_judge_takes_stamps_for_sane_when_they_are_a_little_off(lag_ns: int) -> None:
    assert bad(judged(stream(lag_ns=lag_ns))) == []


def test_judge_tells_neither_lag_nor_rate_when_the_clock_has_not_begun() -> None:
    seen = stream(stamps=[], rate_hz=float("inf"))  # on that clock all came at once
    lines = judged(seen, clock=ClockSeen(use_sim_time=True, published=True))
    assert bad(lines) == [("FAIL", "clock", "no_clock")]
    assert lines[0].found == f"messages come on {TOPIC}"


def test_judge_points_at_use_sim_time_when_a_clock_is_published_and_not_followed() -> None:
    lines = judged(stream(lag_ns=1_000 * S), clock=ClockSeen(published=True))
    assert bad(lines) == [("FAIL", "lidar", "other_clock"), ("WARN", "clock", "clock_unused")]
    assert "use_sim_time" in lines[0].remedy


def test_judge_points_at_the_driver_when_simulated_time_is_followed_and_stamps_are_not_of_it() -> None:
    running = ClockSeen(use_sim_time=True, published=True, running=True)
    [line] = [line for line in judged(stream(lag_ns=-NOW_NS), clock=running) if line.subject == "lidar"]
    assert line.code == "other_clock"
    assert line.remedy.startswith("set use_sim_time for the driver too")


def test_judge_repeats_the_subscription_s_remedy_when_nothing_comes() -> None:
    raw = unknown_type(
        "camera", Modality.CAMERA, "/image/compressed", {"sensor_msgs/msg/Image"}, wanted="Compressed"
    )
    assert raw.remedy == "set camera.transport to raw"
    problem = unknown_type(
        "camera", Modality.CAMERA, "/image", {"sensor_msgs/msg/CompressedImage"}, wanted="Image"
    )
    lines = judged(silent(problem), modality=Modality.CAMERA, info=InfoSeen("/robot/info"))
    assert bad(lines) == [("FAIL", "camera", "unknown_type"), ("WARN", "camera info", "no_camera_info")]
    assert lines[1].found.startswith("no CameraInfo on /robot/info;")
    assert lines[0].remedy == "set camera.transport to compressed and remap /image/compressed to /image"
    assert judged(silent(NOBODY))[0].remedy == f"{NOBODY.remedy}; set lidar.enabled to false if there is none"


def test_judge_tells_what_a_camera_info_lacks_when_it_cannot_be_used() -> None:
    seen = InfoSeen("/info", refused="not_calibrated: K is all zeros")
    line = judged(modality=Modality.CAMERA, info=seen)[1]
    assert (line.code, "/info cannot be used, not_calibrated: K" in line.found) == ("no_camera_info", True)
    assert line.remedy.startswith("calibrate the camera")
    assert bad(judged(modality=Modality.CAMERA, info=InfoSeen("/info", usable=True))) == []


def test_judge_tells_checkpoint_device_and_memory_when_they_are_not_as_wanted() -> None:
    assert bad(judged(model=ModelSeen(checkpoint_error="gone"))) == [("FAIL", "checkpoint", "checkpoint")]
    broken = ModelSeen(identity="x", device_error="no device")
    assert bad(judged(model=broken)) == [("FAIL", "device", "device")]
    fallen_back = ModelSeen(identity="x", device="cpu", faults=("running on cpu",))
    assert bad(judged(model=fallen_back)) == [("WARN", "device", "device")]
    assert bad(judged(notes=("too small: make it larger",))) == [("WARN", "shared memory", "shared_memory")]


def test_model_is_judged_not_fatal_when_the_level_to_load_is_beyond_its_last() -> None:
    seen = check._model(override(Config(), {"model.max_level": 9}))
    assert bad(judged(model=seen)) == [("FAIL", "checkpoint", "checkpoint")]
    assert "has the levels 0 to" in seen.checkpoint_error


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (stream(frame_id="base_link"), ""),
        (stream(frame_id="base_footprint", placed=True), ""),
        (stream(frame_id="left_wheel", placed=False), "wrong_frame"),
        (stream(frame_id="left_wheel"), "wrong_frame"),
        (stream(frame_id=""), "wrong_frame"),
        (silent(NOBODY), "no_publisher"),
        (silent(), "silent"),
        (refused("non_finite", 11), "non_finite"),
        (stream(frame_id="base_link", lag_ns=11 * S), "other_clock"),
    ],
)
def test_judge_warns_of_odometry_and_fails_for_it_never(seen: Stream, code: str) -> None:
    lines = judged(odometry=seen)
    assert bad(lines) == ([("WARN", "odometry", code)] if code else [])
    assert "odometry" not in {line.subject for line in judged()}


def test_judge_fails_a_sensor_with_a_name_of_its_own_when_nothing_says_where_it_sits() -> None:
    rig = {"sensors": ["top"], "top.kind": "lidar"}
    for values, found in (({}, [("FAIL", "top", "no_pose")]), ({"top.translation_m": (0.0, 0.0, 1.8)}, [])):
        lines = judge(
            {"top": stream()},
            override(Config(), {**rig, **values}),
            infos={},
            clock=SYSTEM_CLOCK,
            model=MODEL,
            memory_notes=(),
        )
        assert bad(lines) == found
