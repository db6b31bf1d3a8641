"""What the health monitor makes of how messages come: repeated, malformed, out of order, rare, from two."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import MS, S
from health_bench import Bench

from sentryfuse_core.types import Modality, SensorState

CAMERA, LIDAR, IMU, AUDIO = Modality
INIT, OK, DEGRADED, LOST, RECOVERING = SensorState
FROZEN_RUN = {CAMERA: 3, LIDAR: 3, IMU: 20, AUDIO: 10}


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


def test_sensor_is_degraded_when_one_message_in_ten_is_malformed() -> None:
    bench = Bench(CAMERA)
    bench.good(3.0)
    for _ in range(12):
        for _ in range(9):
            bench.send()
        bench.invalid()
    assert bench.state is DEGRADED
    assert "malformed" in bench.report.reason


def test_sensor_is_degraded_when_its_rate_falls_below_nine_tenths(bench: Bench) -> None:
    bench.period_ns = bench.period_ns * 5 // 4
    bench.good(8.0)
    assert bench.history[0] == OK
    assert set(bench.history[1:]) == {DEGRADED}  # once more for the gaps in audio
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


def test_publishers_are_told_when_the_sensor_they_share_is_recovering(bench: Bench) -> None:
    bench.monitor.observe_publishers(bench.modality, ("/a", "/b"), bench.now_ns)
    bench.wait(2 * S)
    bench.good(0.3)
    report = bench.report
    assert bench.state is RECOVERING  # for ever, where what one sends spoils what the other does
    assert report.code == "recovering"
    assert report.reason.startswith("arriving again after: no new message")
    assert "; also 2 publishers" in report.reason
    assert "remap" in report.remedy


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
