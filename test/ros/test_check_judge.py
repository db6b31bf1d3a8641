"""What a preflight makes of what it saw; nothing here is on the wire."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sentryfuse_core.config import Config, override
from sentryfuse_core.types import Modality
from sentryfuse_ros import check
from sentryfuse_ros.check_judge import (
    ClockSeen,
    Line,
    ModelSeen,
    Offer,
    StreamSeen,
    Verdict,
    exit_status,
    judge,
)

S = 1_000_000_000
CLOUD = "sensor_msgs/msg/PointCloud2"
NOW_NS = 1_700_000_000 * S
FINE = StreamSeen(
    modality=Modality.LIDAR,
    topic="/lidar/points",
    wanted=(CLOUD,),
    offers=(Offer(CLOUD, reliable=True),),
    messages=11,
    rate_hz=10.0,
    stamp_ns=NOW_NS - 20_000_000,
    received_ns=NOW_NS,
    lag_ns=20_000_000,
    frame_id="lidar",
)
SILENT = dataclasses.replace(
    FINE, messages=0, rate_hz=0.0, stamp_ns=0, received_ns=0, lag_ns=0, frame_id=None
)
SYSTEM_CLOCK = ClockSeen()
MODEL = ModelSeen(identity="world_v1 abc", device="cpu")


def judged(
    seen: StreamSeen = FINE,
    *,
    clock: ClockSeen = SYSTEM_CLOCK,
    model: ModelSeen = MODEL,
    notes: tuple[str, ...] = (),
    intrinsics: bool = True,
    transforms: bool | None = None,
    **values: Any,
) -> list[Line]:
    config = override(Config(), {name.replace("__", "."): value for name, value in values.items()})
    return judge(
        [seen],
        config,
        intrinsics=intrinsics,
        clock=clock,
        model=model,
        memory_notes=notes,
        transforms=transforms,
    )


def bad(lines: list[Line]) -> list[tuple[str, str, str]]:
    """What is not fine, and that each has a remedy."""
    assert all(line.remedy for line in lines if line.verdict is not Verdict.OK)
    return [(line.verdict.value, line.subject, line.code) for line in lines if line.verdict is not Verdict.OK]


def changed(seen: StreamSeen = FINE, **values: Any) -> StreamSeen:
    return dataclasses.replace(seen, **values)


def stamped(lag_ns: int) -> StreamSeen:
    return changed(lag_ns=lag_ns, stamp_ns=NOW_NS - lag_ns)


def test_judge_finds_nothing_when_all_is_well() -> None:
    lines = judged()
    assert bad(lines) == []
    assert {line.subject for line in lines} == {"lidar", "clock", "checkpoint", "device", "shared memory"}
    assert exit_status(lines, strict=True) == 0


@pytest.mark.parametrize(
    ("seen", "values", "expected"),
    [
        (changed(SILENT, offers=()), {}, ("FAIL", "lidar", "no_publisher")),
        (changed(SILENT, offers=(Offer("a/msg/B", reliable=True),)), {}, ("FAIL", "lidar", "unknown_type")),
        (
            changed(SILENT, offers=(Offer(CLOUD, reliable=False),)),
            {"lidar__reliability": "reliable"},
            ("FAIL", "lidar", "qos_incompatible"),
        ),
        (changed(SILENT, offers=(Offer(CLOUD, reliable=False),)), {}, ("FAIL", "lidar", "silent")),
        (changed(refused=(("truncated", 11),), frame_id=None), {}, ("FAIL", "lidar", "truncated")),
        (changed(refused=(("truncated", 1),)), {}, ("WARN", "lidar", "truncated")),
        (changed(refused=(("zero_stamp", 11),), frame_id=None), {}, ("FAIL", "lidar", "zero_stamp")),
        (changed(stamp_ns=5, lag_ns=NOW_NS - 5), {}, ("FAIL", "lidar", "zero_stamp")),
        (stamped(11 * S), {}, ("FAIL", "lidar", "other_clock")),
        (stamped(-11 * S), {}, ("FAIL", "lidar", "other_clock")),
        (stamped(-600_000_000), {}, ("FAIL", "lidar", "future_stamp")),
        (stamped(-100_000_000), {}, ("WARN", "lidar", "future_stamp")),
        (stamped(600_000_000), {}, ("WARN", "lidar", "lag")),
        (changed(rate_hz=1.0), {}, ("WARN", "lidar", "slow")),
        (changed(rate_hz=8.0), {"lidar__expected_rate_hz": 10.0}, ("WARN", "lidar", "slow")),
        (changed(rate_hz=4.0), {"lidar__expected_rate_hz": 10.0}, ("FAIL", "lidar", "slow")),
        (changed(placed=False), {}, ("FAIL", "lidar", "wrong_frame")),
        (changed(placed=False), {"lidar__translation_m": (0.0, 0.0, 1.0)}, ("WARN", "lidar", "wrong_frame")),
        (changed(frame_id="/lidar", placed=True), {}, ("WARN", "lidar", "slash_frame")),
        (changed(frame_id="/lidar"), {}, ("WARN", "lidar", "slash_frame")),
        (changed(frame_id="/lidar", placed=False), {}, ("FAIL", "lidar", "wrong_frame")),
        (changed(frame_id=""), {}, ("WARN", "lidar", "no_frame")),
    ],
)
def test_judge_names_the_cause_when_a_sensor_is_not_usable(
    seen: StreamSeen, values: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    lines = judged(seen, **values)
    assert bad(lines) == [expected]
    assert exit_status(lines, strict=False) == int(expected[0] == "FAIL")
    assert exit_status(lines, strict=True) == 1


@pytest.mark.parametrize("placed", [True, False, None])
def test_judge_names_the_slash_when_a_frame_begins_with_one(placed: bool | None) -> None:
    (line,) = [line for line in judged(changed(frame_id="/lidar", placed=placed)) if line.remedy]
    assert "'/lidar' begins with a slash, which tf2 refuses" in line.found
    assert "lidar.frame_id" in line.remedy


def test_judge_warns_of_the_parameters_when_nobody_publishes_transforms() -> None:
    lines = judged(transforms=False)
    assert bad(lines) == [("WARN", "poses", "no_transforms")]


def test_judge_says_what_was_found_when_messages_are_refused() -> None:
    details = {"unknown_encoding": "encoding 'plaid' is not supported"}
    (line,) = [
        line
        for line in judged(changed(refused=(("unknown_encoding", 11),), details=details, frame_id=None))
        if line.subject == "lidar"
    ]
    assert "'plaid'" in line.found


@pytest.mark.parametrize("lag_ns", [-4_000_000, 0, 400_000_000, 499_000_000])
def test_judge_takes_stamps_for_sane_when_they_are_a_little_off(lag_ns: int) -> None:
    assert bad(judged(stamped(lag_ns))) == []


def test_judge_does_not_compare_stamps_when_the_clock_has_not_begun() -> None:
    seen = changed(received_ns=0, stamp_ns=0, lag_ns=0)
    assert bad(judged(seen, clock=ClockSeen(use_sim_time=True, published=True))) == [
        ("FAIL", "clock", "no_clock")
    ]


def test_judge_points_at_use_sim_time_when_a_clock_is_published_and_not_followed() -> None:
    lines = judged(stamped(1_000 * S), clock=ClockSeen(published=True))
    assert bad(lines) == [("FAIL", "lidar", "other_clock"), ("WARN", "clock", "clock_unused")]
    assert "use_sim_time" in lines[0].remedy


def test_judge_asks_for_the_transport_that_is_published_when_the_camera_has_the_other() -> None:
    wanted, offered = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
    seen = changed(
        SILENT, modality=Modality.CAMERA, wanted=(wanted,), offers=(Offer(offered, reliable=True),)
    )
    lines = judged(seen, intrinsics=False)
    assert bad(lines) == [("FAIL", "camera", "unknown_type"), ("WARN", "camera info", "no_camera_info")]
    assert "compressed" in lines[0].remedy


def test_judge_repeats_what_the_subscription_says_when_nothing_comes() -> None:
    seen = changed(SILENT, problem="no package audio_common_msgs", remedy="install audio_common_msgs")
    lines = judged(seen)
    assert bad(lines) == [("FAIL", "lidar", "silent")]
    assert (lines[0].found, lines[0].remedy) == (seen.problem, seen.remedy)


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


def test_several_publishers_on_one_topic_are_a_warning_with_their_names() -> None:
    lines = judged(dataclasses.replace(FINE, publishers=("/front", "/rear")))
    assert bad(lines) == [("WARN", "lidar", "several_publishers")]
    assert any("/front, /rear" in line.found for line in lines)
