"""The benchmark of the way in, small and short: nothing may be lost between publish and ingest."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from benchmarks._live import process, until_ended
from benchmarks.ingest_live import Found, judge, run

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

S = 1_000_000_000
NAMES = ("camera", "lidar", "imu", "audio")
PACES = (
    1.0,
    1.0,
    2.0,
    4.0,
    8.0,
)  # slower where other programs hold the processes up for longer than queues are
HELD_UP_MS = 60.0  # less than any queue is long


def test_ingest_loses_nothing_when_four_sensors_send_at_their_rates() -> None:
    rates_hz = dict(zip(NAMES, (30, 10, 400, 50), strict=True))
    for pace in PACES:
        found = run("best_effort", seconds=2.0 * pace, image=(640, 480), pace=pace)
        lost = {name: stream.lost for name, stream in found.streams.items()}
        sent = {name: stream.sent for name, stream in found.streams.items()}
        paced = found.sets_per_s > 8.0 / pace and all(
            sent[name] >= 0.8 * 2.0 * rates_hz[name] for name in NAMES
        )
        if paced and not any(lost.values()):
            break
        slowest_ms = max(stream.transport_ms["max"] for stream in found.streams.values())
        assert max(found.publisher_late_ms, found.deaf_ms, slowest_ms) > HELD_UP_MS, (lost, sent)
    assert paced, sent
    assert lost == dict.fromkeys(NAMES, 0)
    assert {name: stream.repeated for name, stream in found.streams.items()} == dict.fromkeys(NAMES, 0)
    assert found.notes["invalid"] == dict.fromkeys(NAMES, 0)


def test_robot_that_refuses_its_options_is_told_with_its_status_and_the_listener_is_ended() -> None:
    told = "the robot ended with status 2; what it said stands above"
    with (
        pytest.raises(SystemExit, match=told),
        process("http.server", "0", "--bind", "127.0.0.1") as other,
        process("benchmarks.ingest_robot", "--no-such-option") as robot,
    ):
        until_ended(robot, lambda: time.sleep(0.05), "the robot", other)
    assert other.returncode is not None


def judged(*, seen: slice) -> Found:
    """5 s of four sensors at 10 Hz, of which the camera's messages in `seen` came through."""
    stamps_ns = np.arange(50, dtype=np.int64) * S // 10 + 1000 * S
    heard = {}
    for name in NAMES:
        came_ns = stamps_ns[seen] if name == "camera" else stamps_ns
        heard |= {f"{name}_stamps_ns": came_ns, f"{name}_called_ns": came_ns + 3_000_000}
        heard |= {f"{name}_waited_ns": came_ns * 0, f"{name}_cpu_ns": came_ns * 0 + 50_000}
    cpu_ns = [[int(stamp_ns), index * S // 50, index * S // 100] for index, stamp_ns in enumerate(stamps_ns)]
    notes = {"cpu_ns": cpu_ns, "sets": [], "collections": [], "full_collections_ms": [1.0]}
    sent = {"longest_late_ns": 0, **dict.fromkeys(NAMES, stamps_ns)}
    return judge(sent, {**heard, "notes": json.dumps(notes)})


def test_judge_counts_what_was_sent_and_not_seen_when_messages_are_lost() -> None:
    found = judged(seen=slice(0, 40))
    assert found.streams["camera"].lost == 10
    assert found.streams["camera"].sent == 30  # the first two seconds settle
    assert found.streams["lidar"].lost == 0
    assert found.streams["camera"].transport_ms["p50"] == pytest.approx(3.0)
    assert found.cpu_share == pytest.approx(0.2)
    assert found.executor_share == pytest.approx(0.1)


@pytest.mark.parametrize(("seen", "deaf_ms"), [(slice(0, 40), 100.0), (slice(0, 0), 100.0)])
def test_judge_tells_how_long_no_message_came_in(seen: slice, deaf_ms: float) -> None:
    assert judged(seen=seen).deaf_ms == pytest.approx(deaf_ms)


def test_judge_counts_no_loss_when_only_the_first_messages_are_missing() -> None:
    assert judged(seen=slice(15, None)).streams["camera"].lost == 0
