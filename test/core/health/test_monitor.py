"""The health monitor: how each state is entered and left, and which healthy behaviour must not trip it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import MS, S, sample
from health_bench import Bench

from sentryfuse_core.config import Config
from sentryfuse_core.health import AudioStats, CloudStats, ContentStats, ImageStats
from sentryfuse_core.health.monitor import HealthMonitor
from sentryfuse_core.types import ImuReading, Modality, SensorState

CAMERA, LIDAR, IMU, AUDIO = Modality
INIT, OK, DEGRADED, LOST, RECOVERING = SensorState
TIMEOUT_NS = {CAMERA: 200 * MS, LIDAR: 350 * MS, IMU: 250 * MS, AUDIO: 200 * MS}
FROZEN_RUN = {CAMERA: 3, LIDAR: 3, IMU: 20, AUDIO: 10}


@pytest.fixture(params=list(Modality), ids=lambda modality: modality.value)
def bench(request: pytest.FixtureRequest) -> Bench:
    started = Bench(request.param)
    started.good(3.0)
    return started


def test_sensor_is_in_init_with_a_remedy_when_nothing_came() -> None:
    monitor = HealthMonitor(Config(), topics={CAMERA: "/front/image"})
    report = monitor.reports(S)[CAMERA]
    assert report.state is INIT
    assert "/front/image" in report.remedy
    assert monitor.lost() == monitor.trusted() == frozenset()
    assert monitor.next_deadline_ns() is None
    monitor.observe(sample(CAMERA, S))
    assert monitor.trusted() == {CAMERA}  # at once when it first speaks


def test_sensor_is_lost_at_its_timeout_when_it_falls_silent(bench: Bench) -> None:
    last_ns = bench.now_ns
    bench.wait(2 * S)
    [transition] = bench.transitions[1:]
    assert transition.after is LOST
    assert transition.at_ns == last_ns + max(TIMEOUT_NS[bench.modality], 3 * bench.period_ns)
    assert transition.reason.startswith("no new message for")
    assert transition.remedy
    assert bench.monitor.lost() == {bench.modality}
    assert bench.report.age_ms == 2000.0


def test_sensor_stays_ok_when_it_is_healthy_for_long(bench: Bench) -> None:
    bench.good(20.0)
    assert bench.history == [OK]
    report = bench.report
    assert report.rate_hz == pytest.approx(S / bench.period_ns, rel=0.01)
    assert report.expected_hz == pytest.approx(S / bench.period_ns, rel=0.01)


def test_sensor_recovers_only_after_a_second_when_it_comes_back(bench: Bench) -> None:
    bench.wait(2 * S)
    bench.send()
    back_ns = bench.now_ns
    bench.good(1.5)
    assert bench.history == [OK, LOST, RECOVERING, OK]
    assert S <= bench.transitions[-1].at_ns - back_ns <= S + bench.period_ns
    assert bench.monitor.trusted() == {bench.modality}


def _hold_s(bench: Bench) -> float:
    """How long the sensor takes to be OK again once it sends again."""
    bench.wait(S)
    bench.send()
    back_ns = bench.now_ns
    while bench.state is not OK:
        bench.send()
    return round((bench.now_ns - back_ns) / S)


def test_recovery_takes_twice_as_long_when_a_sensor_relapses_until_it_was_well_for_long() -> None:
    bench = Bench(IMU)
    bench.good(3.0)
    assert [_hold_s(bench) for _ in range(7)] == [1, 2, 4, 8, 16, 16, 16]
    bench.good(40.0)
    assert _hold_s(bench) == 1


def test_sensor_is_lost_when_its_content_repeats_to_the_bit(bench: Bench) -> None:
    stuck = bench.sample()
    run = FROZEN_RUN[bench.modality]
    for count in range(1, run + 1):
        assert bench.state is OK
        bench.send(
            replace(stuck, stamp_ns=bench.now_ns + count * MS, arrival_ns=bench.now_ns + bench.period_ns)
        )
    assert bench.state is LOST
    assert "identical" in bench.report.reason
    bench.good(1.5)
    assert bench.history == [OK, LOST, RECOVERING, OK]


def test_sensor_stays_ok_when_one_message_is_delivered_twice(bench: Bench) -> None:
    for _ in range(4):
        item = bench.sample()
        bench.send(replace(item, stamp_ns=item.stamp_ns + MS))
        for _ in range(FROZEN_RUN[bench.modality] // 2):
            bench.monitor.observe(replace(item, stamp_ns=item.stamp_ns + MS, arrival_ns=bench.now_ns))
        bench.good(4.0)
    assert LOST not in bench.history
    assert bench.report.frozen == 0


def test_sensor_is_lost_when_it_repeats_one_message_for_ever(bench: Bench) -> None:
    stuck = replace(bench.sample(), stamp_ns=bench.now_ns + MS)
    for _ in range(2 * S // bench.period_ns):
        bench.send(replace(stuck, arrival_ns=bench.now_ns + bench.period_ns))
    assert bench.state is LOST
    assert RECOVERING not in bench.history
    assert "no new message" in bench.report.reason
    bench.good(3.0)
    assert bench.modality in bench.monitor.trusted()


def test_sensor_is_degraded_when_stamps_are_often_out_of_order(bench: Bench) -> None:
    for _ in range(8):
        bench.send()
        item = bench.sample()
        bench.send(replace(item, stamp_ns=item.stamp_ns - 2 * bench.period_ns, arrival_ns=bench.now_ns))
    assert bench.state is DEGRADED
    assert "out of order" in bench.report.reason
    assert bench.modality in bench.monitor.trusted()
    bench.good(110 * bench.period_ns / S + 2.0)
    assert bench.history[-2:] == [DEGRADED, OK]


def test_sensor_is_lost_when_ten_messages_in_a_row_are_malformed(bench: Bench) -> None:
    bench.invalid(9)
    assert bench.state in (OK, DEGRADED)
    assert bench.monitor.last_invalid(bench.modality)
    bench.invalid()
    assert bench.state is LOST
    assert "truncated" in bench.report.reason
    report = bench.report
    assert report.invalid_reasons == {"truncated": 10}
    bench.good(1.5)
    assert RECOVERING in bench.history
    assert bench.modality in bench.monitor.trusted()


@pytest.mark.parametrize(
    ("count", "reason", "code", "told"),
    [
        (
            1,
            "truncated",
            "malformed",
            "none of 1 messages could be used",
        ),
        (
            9,
            "truncated",
            "malformed",
            "the last one truncated: 7 bytes of 9",
        ),
        (1, "zero_stamp", "zero_stamp", "zero stamp: 7 bytes of 9"),
    ],
)
def test_sensor_says_why_nothing_is_usable_when_only_a_few_messages_came(
    count: int, reason: str, code: str, told: str
) -> None:
    for modality in Modality:
        bench = Bench(modality)
        bench.invalid(count, reason=reason)
        report = bench.report
        assert report.state is INIT
        assert report.code == code
        assert told in report.reason
        assert report.topic in report.remedy
        bench.wait(2 * S)
        report = bench.report
        assert (report.state, report.code) == (LOST, "timeout")
        assert told in report.reason  # the silence is not all that is wrong


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


def test_sensor_is_degraded_when_one_message_in_ten_is_malformed() -> None:
    bench = Bench(CAMERA)
    bench.good(3.0)
    for _ in range(12):
        for _ in range(9):
            bench.send()
        bench.invalid()
    assert bench.state is DEGRADED
    assert "malformed" in bench.report.reason


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


def test_sensor_is_degraded_when_its_rate_falls_below_nine_tenths(bench: Bench) -> None:
    bench.period_ns = bench.period_ns * 5 // 4
    bench.good(8.0)
    assert bench.history == [OK, DEGRADED]
    assert "Hz of" in bench.report.reason or "in no block of audio" in bench.report.reason


def test_sensor_stays_ok_when_messages_are_late_or_out_of_order_now_and_then(bench: Bench) -> None:
    for count in range(200):
        late = count % 10 == 0
        bench.send(step_ns=bench.period_ns + (bench.period_ns // 2 if late else -bench.period_ns // 18))
        if count % 50 == 49:
            item = bench.sample()
            bench.send(replace(item, stamp_ns=item.stamp_ns - bench.period_ns // 2), step_ns=MS)
    assert bench.history == [OK]


def test_sensor_is_lost_when_its_given_rate_is_halved() -> None:
    bench = Bench(LIDAR, lidar__expected_rate_hz=10.0)
    bench.good(3.0)
    bench.period_ns = 250 * MS
    bench.good(6.0)
    assert bench.state is LOST
    assert "Hz of 10.0 Hz" in bench.report.reason


def test_sensor_is_only_degraded_when_a_learned_rate_is_halved() -> None:
    bench = Bench(CAMERA)
    bench.good(3.0)
    bench.period_ns = 150 * MS  # long exposures at night
    bench.good(10.0)
    assert LOST not in bench.history
    assert bench.state is DEGRADED
    expected_hz = bench.report.expected_hz
    assert expected_hz == pytest.approx(15.0, rel=0.01)  # slowing down teaches nothing


def test_expected_rate_is_raised_when_a_sensor_started_slowly() -> None:
    bench = Bench(CAMERA)
    bench.period_ns = 133 * MS
    bench.good(5.0)
    bench.period_ns = 33 * MS
    bench.good(5.0)
    assert bench.report.expected_hz == pytest.approx(30.3, rel=0.05)


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


def test_slow_sensor_starts_when_its_period_is_longer_than_the_timeout_floor() -> None:
    bench = Bench(CAMERA, health__slowest_camera_hz=0.0)
    bench.period_ns = S
    bench.good(12.0)
    assert bench.state is OK
    assert bench.history.count(LOST) <= 1


@pytest.mark.parametrize("away_s", [2, 60])
def test_sensor_is_used_again_and_told_slow_when_it_comes_back_at_another_pace(away_s: int) -> None:
    bench = Bench(CAMERA)
    bench.good(5.0)
    bench.wait(away_s * S)
    bench.period_ns = S
    bench.good(20.0)
    assert bench.state is DEGRADED
    assert (bench.report.code, bench.monitor.trusted()) == ("rate", {CAMERA})
    assert bench.report.expected_hz == pytest.approx(15.0, rel=0.01)


def test_sensor_is_lost_as_soon_as_before_when_it_came_back_from_a_silence(bench: Bench) -> None:
    bench.wait(5 * S)
    bench.good(1.5)
    assert bench.state is OK
    last_ns = bench.now_ns
    bench.wait(S)
    assert bench.transitions[-1].after is LOST
    silent_ns = bench.transitions[-1].at_ns - last_ns
    assert silent_ns == max(TIMEOUT_NS[bench.modality], 3 * bench.period_ns)


def test_order_is_judged_afresh_when_stamps_are_forgotten() -> None:
    bench = Bench(CAMERA)
    bench.good(1.0)
    for _ in range(10):
        bench.monitor.forget_stamps()
        item = bench.sample()
        bench.send(replace(item, stamp_ns=5, arrival_ns=bench.now_ns + bench.period_ns))
    assert bench.report.out_of_order == 0


def test_sensor_is_not_frozen_when_it_may_repeat(bench: Bench) -> None:
    same, name = bench.sample(), bench.modality.value
    patient = Bench(bench.modality, **{f"{name}__may_repeat": True})
    patient.good(3.0)
    for found in (bench, patient):
        for _ in range(60):
            found.send(replace(found.sample(), fingerprint=same.fingerprint))
    assert bench.state is LOST
    assert f"set {name}.may_repeat" in bench.report.remedy
    assert patient.state is OK
    assert patient.report.frozen > 50  # counted all the same


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


def test_sensor_is_degraded_with_names_when_two_publish_on_its_topic(bench: Bench) -> None:
    names = ("/front/driver", "/rear/driver")
    bench.monitor.observe_publishers(bench.modality, names, bench.now_ns)
    bench.good(0.5)
    report = bench.report
    assert (bench.state, report.code) == (DEGRADED, "several_publishers")
    assert "2 publishers" in report.reason
    assert "/front/driver, /rear/driver" in report.reason
    assert "remap" in report.remedy
    bench.monitor.observe_publishers(bench.modality, names[:1], bench.now_ns)
    bench.good(2.0)
    assert bench.state is OK


def test_publishers_are_told_again_when_the_sensor_comes_back(bench: Bench) -> None:
    bench.monitor.observe_publishers(bench.modality, ("/a", "/b"), bench.now_ns)
    bench.wait(2 * S)
    assert bench.state is LOST
    bench.good(3.0)
    assert bench.state is DEGRADED


def test_publishers_are_counted_and_some_named_when_there_are_a_thousand(bench: Bench) -> None:
    names = [f"/{'x' * 10_000}_{index}" for index in range(1000)]
    bench.monitor.observe_publishers(bench.modality, names, bench.now_ns)
    assert "1000 publishers" in bench.report.reason
    assert "995 more" in bench.report.reason
    assert len(bench.report.reason) < 1000


def test_sensor_is_degraded_when_messages_name_two_frames_in_turn(bench: Bench) -> None:
    for index in range(20):
        bench.send(replace(bench.sample(), frame_id=("front", "rear")[index % 2]))
    report = bench.report
    assert (bench.state, report.code) == (DEGRADED, "mixed_frames")
    assert "'front' and 'rear'" in report.reason
    for _ in range(101 + 500):
        bench.send(replace(bench.sample(), frame_id="front"))
    assert bench.state is OK


def test_sensor_stays_ok_when_its_frame_changes_once(bench: Bench) -> None:
    for index in range(100):
        bench.send(replace(bench.sample(), frame_id="before" if index < 50 else "after"))
    assert bench.state is OK


def test_what_is_wrong_with_the_content_is_told_first_when_two_publish() -> None:
    bench = Bench(LIDAR)
    bench.good(3.0)
    bench.monitor.observe_publishers(LIDAR, ("/a", "/b"), bench.now_ns)
    bench.content([CloudStats(3, 1)] * 5)
    assert bench.report.code == "few_points"
