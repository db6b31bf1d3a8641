"""What the health monitor makes of what messages hold: covered lenses, blocked views, silence, doubts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import S
from health_bench import Bench

from sentryfuse_core.config import Config
from sentryfuse_core.health import AudioStats, CloudStats, ContentStats, ImageStats
from sentryfuse_core.types import ImuReading, Modality, SensorState

CAMERA, LIDAR, IMU, AUDIO = Modality
INIT, OK, DEGRADED, LOST, RECOVERING = SensorState


def test_lidar_is_degraded_until_it_sees_again_when_it_is_covered() -> None:
    bench = Bench(LIDAR)
    bench.content([CloudStats(20_000, (1 << 72) - 1)] * 20)
    for _ in range(100):
        bench.send()
        bench.monitor.observe_undecodable(LIDAR, "no_finite_points", "none of 2000", bench.now_ns)
        bench._collect()
    assert bench.history == [OK, DEGRADED]
    assert (bench.report.code, bench.report.invalid) == ("few_points", 100)
    assert "no_finite_points" in bench.report.reason
    assert "window" in bench.report.remedy
    bench.content([CloudStats(20_000, (1 << 72) - 1)] * 20)
    assert bench.state is OK


def test_window_of_a_lidar_is_what_to_look_at_when_its_clouds_have_no_points() -> None:
    bench = Bench(LIDAR)
    bench.good(3.0)
    bench.invalid(20, reason="empty")
    assert (bench.state, bench.report.code) == (LOST, "malformed")
    assert "window" in bench.report.remedy


@pytest.mark.parametrize(
    ("modality", "bad", "fine", "word"),
    [
        (CAMERA, ImageStats(0.0, 0.0), ImageStats(1.5, 1.2), "black"),
        (CAMERA, ImageStats(255.0, 0.0), ImageStats(200.0, 30.0), "white"),
        (LIDAR, CloudStats(3, 1), CloudStats(20_000, (1 << 72) - 1), "finite points"),
        (LIDAR, CloudStats(20_000, (1 << 54) - 1), CloudStats(20_000, (1 << 72) - 1), "empty"),
        (AUDIO, AudioStats(0.0, True), AudioStats(0.0, False), "constant"),
        (AUDIO, AudioStats(0.6, False), AudioStats(0.02, False), "full scale"),
    ],
)
def test_sensor_is_degraded_by_three_bad_of_five_and_restored_by_good_content(
    modality: Modality, bad: ContentStats, fine: ContentStats, word: str
) -> None:
    bench = Bench(modality)
    bench.good(2.0)
    bench.content([fine] * 20)
    assert bench.history == [OK]
    bench.content([bad, fine, bad, fine])
    assert bench.history == [OK]
    bench.content([bad])
    assert bench.history == [OK, DEGRADED]
    assert word in bench.report.reason
    bench.content([fine] * round(1.5 * S / bench.period_ns + 5))
    assert bench.history == [OK, DEGRADED, OK]


@pytest.mark.parametrize("slow_first", [True, False])
def test_further_finding_is_told_and_both_are_listed_when_one_holds_already(slow_first: bool) -> None:
    """Whoever mends the one would believe the sensor well, and never hear of the other."""
    bench = Bench(CAMERA)
    black, fine = ImageStats(0.0, 0.0), ImageStats(100.0, 30.0)
    bench.content([fine] * 150)
    first, second = ("rate", "black") if slow_first else ("black", "rate")
    bench.content([fine if slow_first else black] * 20)
    bench.period_ns = bench.period_ns * 5 // 4
    bench.content([fine if slow_first else black] * 200)
    bench.content([black] * 200)
    told = [(item.before, item.after, item.code) for item in bench.transitions]
    assert told == [(INIT, OK, ""), (OK, DEGRADED, first), (DEGRADED, DEGRADED, second)]
    news = bench.transitions[-1]
    assert ("black" in news.reason, "Hz of" in news.reason) == (slow_first, not slow_first)
    report = bench.report
    assert report.code == first
    assert "; also " in report.reason
    assert "image is black" in report.reason
    assert "Hz of 15.0 Hz" in report.reason
    assert "lens cover" in report.remedy
    assert "camera.expected_rate_hz" in report.remedy


def test_further_finding_is_told_once_while_it_lasts_when_there_is_no_hold() -> None:
    bench = Bench(CAMERA, health__hold_cap_s=0.0, health__recover_s=0.0)
    bench.monitor.observe_publishers(CAMERA, ("/a", "/b"), bench.now_ns)
    bench.content([ImageStats(0.0, 0.0)] * 60)
    assert [item.code for item in bench.transitions].count("black") == 1


def test_further_finding_is_told_again_only_after_it_was_gone_for_the_longest_hold() -> None:
    bench = Bench(CAMERA)
    bench.monitor.observe_publishers(CAMERA, ("/a", "/b"), bench.now_ns)
    black, fine = ImageStats(0.0, 0.0), ImageStats(100.0, 30.0)
    hold = round(Config().health.hold_cap_s * S / bench.period_ns)

    def told() -> int:
        return [item.code for item in bench.transitions].count("black")

    bench.content([fine] * 10)
    for count in range(3):
        bench.content([black] * 10)
        bench.content([fine] * (hold // 2))
        assert told() == 1, count
    bench.content([fine] * hold)
    bench.content([black] * 10)
    assert told() == 2


def test_low_trust_is_not_told_again_when_its_cause_that_hid_it_is_gone() -> None:
    bench = Bench(CAMERA)
    black, fine = ImageStats(0.0, 0.0), ImageStats(100.0, 30.0)

    def poorly(stats: ImageStats, count: int) -> None:
        for _ in range(count):
            bench.content([stats])
            bench.monitor.observe_trust(bench.modality, 0.1, poor=True, now_ns=bench.now_ns)

    hold = round(Config().health.hold_cap_s * S / bench.period_ns)
    bench.content([fine] * 10)
    poorly(fine, 20)
    poorly(black, hold + 20)
    poorly(fine, hold)
    bench.content([fine])
    assert [item.code for item in bench.transitions if item.code] == ["low_trust", "black"]


def test_microphone_is_not_missed_a_channel_when_it_comes_back_as_another_one() -> None:
    bench = Bench(AUDIO)
    stereo = AudioStats(0.0, silent=False, live_channels=0b11, channel_count=2)
    bench.content([stereo] * 50)
    bench.wait(2 * S)
    bench.content([AudioStats(0.0, silent=False, live_channels=0b1, channel_count=1)] * 150)
    assert bench.state is OK
    bench.content([stereo] * 5 + [replace(stereo, live_channels=0b1)] * 5)
    assert bench.report.code == "dead_channel"


def test_lidar_is_blocked_for_minutes_and_not_for_ever_when_it_sees_less_from_then_on() -> None:
    bench = Bench(LIDAR)
    half = CloudStats(20_000, (1 << 36) - 1)
    bench.content([CloudStats(20_000, (1 << 72) - 1)] * 20 + [half] * 1200)
    assert bench.report.code == "blocked_sector"
    bench.content([CloudStats(10, 0)] * 3000)  # covered altogether: nothing to learn from
    bench.content([half] * 10)
    assert bench.report.code == "blocked_sector"
    bench.content([half] * 2400)
    assert bench.state is OK
    bench.content([CloudStats(20_000, (1 << 18) - 1)] * 5)
    assert bench.report.code == "blocked_sector"


def test_camera_stays_blocked_for_a_while_when_it_is_covered_soon_after_the_start() -> None:
    bench = Bench(CAMERA)
    bench.content([ImageStats(100.0, 20.0, (20.0,) * 64)] * 20)
    bench.content([ImageStats(100.0, 20.0, (0.2,) * 32 + (20.0,) * 32)] * 150)
    assert bench.report.code == "blocked"


def test_sensor_is_degraded_and_used_on_when_the_network_hardly_trusts_it(bench: Bench) -> None:
    def judged(trust: float) -> SensorState:
        bench.monitor.observe_trust(bench.modality, trust, poor=trust < 0.6, now_ns=bench.now_ns)
        return bench.report.state

    assert [judged(trust) for trust in (0.5, 0.9, 0.31)] == [OK, OK, OK]  # two of five may be poor
    assert judged(0.2) is DEGRADED
    assert (bench.report.code, bench.modality in bench.monitor.trusted()) == ("low_trust", True)
    assert "0.20 of 1" in bench.report.reason
    assert bench.report.remedy
    for _ in range(5):
        judged(1.0)
    bench.good(3.0)
    assert bench.history[-1] is OK


@pytest.mark.parametrize("by", ["low_trust", "several_publishers"])
def test_cause_is_told_in_place_of_what_names_none_when_it_is_found_later(by: str) -> None:
    bench = Bench(IMU)
    bench.good(2.0)
    for _ in range(5):
        bench.monitor.observe_trust(IMU, 0.1, poor=True, now_ns=bench.now_ns)
    if by == "several_publishers":
        bench.monitor.observe_publishers(IMU, ["/one", "/two"], bench.now_ns)
    assert bench.report.code == by
    for _ in range(500):
        bench.send(payload=ImuReading(np.array([0.0, 0.0, 30.0]), np.array([0.0, 0.0, 9.81])))
    assert bench.report.code == "units"
    assert "rad/s" in bench.report.remedy


def test_remedy_is_the_transform_when_a_camera_looks_elsewhere() -> None:
    bench = Bench(CAMERA)
    bench.good(3.0)
    for _ in range(5):
        bench.send()
        bench.monitor.observe_undecodable(CAMERA, "outside_view", "it looks back", bench.now_ns)
    assert bench.report.code == "outside_view"
    assert "transform" in bench.report.remedy


def test_imu_is_degraded_when_it_saturates() -> None:
    bench = Bench(IMU)
    bench.good(2.0)
    for _ in range(3):
        bench.send(payload=ImuReading(np.zeros(3), np.array([0.0, 0.0, 157.0])))
    assert bench.history == [OK, DEGRADED]
    assert "end of the range" in bench.report.reason


def test_simulated_axis_or_microphone_is_not_at_fault_when_it_may_repeat() -> None:
    bench = Bench(AUDIO, audio__may_repeat=True)
    bench.content([AudioStats(0.0, silent=False, live_channels=3)] * 5)
    bench.content([AudioStats(0.0, silent=True)] * 10)
    assert bench.history == [OK]
    bench.content([AudioStats(1.0, silent=True)] * 5)  # at full scale it is at fault all the same
    assert bench.history == [OK, DEGRADED]
    assert "at full scale" in bench.report.reason
    histories = []
    for may_repeat in (False, True):
        bench = Bench(IMU, imu__may_repeat=may_repeat)
        for index in range(300):
            turn = 0.1 * min(index, 20)  # turns for a while, then drives straight on
            turned, pushed = np.array([0.0, 0.0, turn]), np.array([0.01 * index, 0.0, 9.81])
            bench.send(payload=ImuReading(turned, pushed))
        histories.append(bench.history)
    assert histories == [[OK, DEGRADED], [OK]]


def test_what_is_wrong_with_the_content_is_told_first_when_two_publish() -> None:
    bench = Bench(LIDAR)
    bench.good(3.0)
    bench.monitor.observe_publishers(LIDAR, ("/a", "/b"), bench.now_ns)
    bench.content([CloudStats(3, 1)] * 5)
    assert bench.report.code == "few_points"


def test_sensor_is_lost_and_tried_again_when_its_messages_never_decode() -> None:
    bench = Bench(CAMERA)
    bench.good(3.0)
    for _ in range(60):
        bench.send()
        if CAMERA in bench.monitor.trusted():
            bench.monitor.observe_undecodable(CAMERA, "undecodable", "not a JPEG", bench.now_ns)
    assert LOST in bench.history
    assert bench.history.count(LOST) <= 3
    assert bench.history.index(RECOVERING) == bench.history.index(LOST) + 1


def test_sensor_is_not_at_fault_when_its_first_block_begins_where_the_window_ends() -> None:
    bench = Bench(AUDIO)
    for index in range(20):
        bench.send()
        assert bench.state is (OK if index < 10 else DEGRADED)
        bench.monitor.observe_undecodable(AUDIO, "no_data", "no block lies in the window", bench.now_ns)
        assert bench.report.invalid == 0
        assert not bench.monitor.last_invalid(AUDIO)
    assert "audio.latency_s" in bench.report.remedy
    bench.monitor.observe_decoded(AUDIO, None, bench.now_ns)
    bench.good(3.0)
    assert bench.state is OK  # the finding went with the first set that had sound
