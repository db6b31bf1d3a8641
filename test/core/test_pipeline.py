"""The main path on real parts: which sensors reach the network, and what the result says of the others."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import MS, S, imu_reading, odometry_message, sample
from networks import checkpoint, gated_checkpoint

from sentryfuse_core.account.messages import WARN, severity
from sentryfuse_core.clock import ManualClock
from sentryfuse_core.config import Config, override
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.pipeline import NOTHING_USABLE, Pipeline, prepare
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.types import (
    Absence,
    CompressedFrame,
    FusionResult,
    ImuReading,
    Modality,
    ModalitySet,
    Pose,
    SensorState,
)

PERIOD_MS = {Modality.CAMERA: 100, Modality.LIDAR: 100, Modality.IMU: 10, Modality.AUDIO: 20}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a small network with a gate, which trusts whatever it gets."""
    return str(gated_checkpoint(tmp_path_factory.mktemp("small")).path)


@pytest.fixture(scope="module")
def built(weights: str) -> Pipeline:
    """That network, loaded once."""
    return Pipeline.build(override(Config(), {"model.checkpoint": weights}), clock=ManualClock())


def fresh(
    built: Pipeline,
    clock: ManualClock,
    config: Config | None = None,
    *,
    preprocessor: Preprocessor | None = None,
) -> Pipeline:
    """The same weights with nothing heard yet."""
    config = config or Config()
    return Pipeline(
        config,
        ingest=Ingest(config),
        preprocessor=preprocessor or built.preprocessor,
        bank=built.bank,
        backend=built.backend,
        budget=built.budget,
        clock=clock,
    )


def play(
    pipeline: Pipeline, clock: ManualClock, modalities: ModalitySet, *, seconds: float, start_ns: int = S
) -> list[FusionResult]:
    """Every sensor at its rate, in order of arrival; returns the result of every set."""
    end_ms = round(seconds * 1000)
    arrivals = sorted(
        (at_ms, modality.bit, modality)
        for modality in modalities
        for at_ms in range(0, end_ms, PERIOD_MS[modality])
    )
    results = []
    for at_ms, _, modality in arrivals:
        clock.set(start_ns + at_ms * MS)
        pipeline.ingest.sample(sample(modality, start_ns + at_ms * MS))
        results += [pipeline.step(synced) for synced in pipeline.ingest.take()]
    return results


@pytest.mark.parametrize("mask", ModalitySet.subsets(), ids=str)
def test_pipeline_uses_exactly_the_sensors_that_send_when_any_subset_lives(
    built: Pipeline, mask: ModalitySet
) -> None:
    clock = ManualClock()
    results = play(fresh(built, clock), clock, mask, seconds=1.0)
    last = results[-1]
    assert last.used == mask
    assert set(last.absent) == set(ModalitySet.all() - mask)
    assert set(last.absent.values()) <= {Absence.NEVER}
    assert last.plan.mask == mask
    assert last.plan.kind == "gate"


def test_pipeline_gives_no_boxes_and_an_error_when_only_the_imu_lives(built: Pipeline) -> None:
    clock = ManualClock()
    results = play(fresh(built, clock), clock, ModalitySet.of(Modality.IMU), seconds=1.0)
    assert len(results) >= 8
    assert all(result.detections == () and result.errors == (NOTHING_USABLE,) for result in results)


def test_pipeline_leaves_a_sensor_out_of_one_set_when_its_data_cannot_be_decoded(built: Pipeline) -> None:
    clock = ManualClock()
    pipeline = fresh(built, clock)
    both = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)
    assert play(pipeline, clock, both, seconds=1.0)[-1].used == both
    garbage = CompressedFrame("jpeg", np.frombuffer(b"\xff\xd8" + bytes(200) + b"\xff\xd9", dtype=np.uint8))
    results = []
    for at_ms, payload in ((1000, garbage), (1100, None)):
        for modality in both:
            clock.set(S + at_ms * MS)
            broken = payload if modality is Modality.CAMERA else None
            pipeline.ingest.sample(sample(modality, S + at_ms * MS, payload=broken))
            results += [pipeline.step(synced) for synced in pipeline.ingest.take()]
    bad, good = results
    assert bad.used == ModalitySet.of(Modality.LIDAR)
    assert bad.absent[Modality.CAMERA] is Absence.INVALID
    assert bad.reports[Modality.CAMERA].invalid == 1
    assert good.used == both


def imu_sets(
    pipeline: Pipeline, clock: ManualClock, *, first: int, sets: int, absent: bool
) -> list[FusionResult]:
    """Sets of lidar and IMU at 10 Hz; the IMU's acceleration may be absent."""
    results = []
    for step in range(first, first + sets):
        at_ns = S + step * 100 * MS
        clock.set(at_ns)
        for offset_ms in range(90, -1, -10):
            stamp_ns = at_ns - offset_ms * MS
            reading = imu_reading(stamp_ns // MS)
            payload = ImuReading(reading.angular_velocity, None) if absent else reading
            pipeline.ingest.sample(sample(Modality.IMU, stamp_ns, payload=payload))
        pipeline.ingest.sample(sample(Modality.LIDAR, at_ns))
        results += [pipeline.step(synced) for synced in pipeline.ingest.take()]
    return results


def test_pipeline_keeps_the_imu_when_ten_windows_of_a_long_run_cannot_be_used(built: Pipeline) -> None:
    clock = ManualClock()
    pipeline = fresh(built, clock)
    imu_sets(pipeline, clock, first=0, sets=5, absent=False)
    for _ in range(12):
        pipeline.ingest.observe_invalid(Modality.IMU, "undecodable", "as the test says", clock.now_ns())
        step = (clock.now_ns() - S) // (100 * MS) + 1
        last = imu_sets(pipeline, clock, first=step, sets=1, absent=False)[-1]
    assert last.reports[Modality.IMU].state in (SensorState.OK, SensorState.DEGRADED)
    assert Modality.IMU in last.used


def test_pipeline_leaves_the_imu_out_without_blame_when_its_acceleration_is_absent(built: Pipeline) -> None:
    clock = ManualClock()
    results = imu_sets(fresh(built, clock), clock, first=0, sets=30, absent=True)
    last = results[-1]
    assert len(results) >= 29
    assert last.absent[Modality.IMU] is Absence.INVALID
    assert last.reports[Modality.IMU].state is SensorState.OK
    assert last.reports[Modality.IMU].invalid == 0
    assert any("imu left out" in note and "field_absent" in note for note in last.notes)
    assert {result.absent.get(Modality.IMU) for result in results[1:]} == {Absence.INVALID}


def rolls(
    preprocessor: Preprocessor,
    rate_rad_s: Callable[[float], float],
    *,
    seconds: float,
    start_ns: int = S,
    period_s: float = 0.1,
) -> list[tuple[float, float]]:
    """Second and roll of every set of an IMU alone, at 100 Hz, whose gyro says these rates of roll."""
    ingest, noise = Ingest(override(Config(), {"sync.tick_period_s": period_s})), np.random.default_rng(0)
    found = []
    for index in range(round(100 * seconds)):
        gyro, accel = noise.normal(0.0, 1e-4, (2, 3))
        gyro[0] = rate_rad_s(index / 100) or gyro[0]
        payload = ImuReading(gyro, accel + np.array([0.0, 0.0, 9.81]))
        ingest.sample(sample(Modality.IMU, start_ns + index * 10 * MS, payload=payload))
        for synced in ingest.take():
            tilt = prepare(ingest, preprocessor, synced, ingest.trust(synced)[0]).inputs.tilt
            assert tilt is not None
            found.append(((synced.stamp_ns - start_ns) / S, float(tilt[0, 0])))
    return found


@pytest.mark.parametrize("period_s", [0.1, 0.25, 0.7])
def test_roll_follows_bumps_however_rare_the_sets_are(period_s: float) -> None:
    found = rolls(
        Preprocessor(Config()),
        lambda second: 0.01 * 25.0 * math.cos(25.0 * second),
        seconds=10.0,
        period_s=period_s,
    )
    assert len(found) > 8 / period_s
    assert max(abs(roll - 0.01 * math.sin(25.0 * second)) for second, roll in found) < 0.003


@pytest.mark.parametrize(
    ("rate_rad_s", "lasts_s", "most"),
    [(34.9, 0.01, 0.01), (500.0, 0.01, 0.01), (34.9, 0.5, 0.01), (0.15, 5.0, 0.03)],
    ids=["once at the end of the range", "beyond it", "saturated by a kerb", "stuck"],
)
def test_roll_is_right_again_soon_when_the_imu_was_not(
    rate_rad_s: float, lasts_s: float, most: float
) -> None:
    found = rolls(
        Preprocessor(Config()),
        lambda second: rate_rad_s if 3.0 <= second < 3.0 + lasts_s else 0.0,
        seconds=10.0,
    )
    assert max(abs(roll) for _, roll in found) < most
    assert max(abs(roll) for second, roll in found if second > 4.6) < 0.01


def test_gyro_in_degrees_turns_nothing_and_contradicts_no_odometry_once_it_is_found() -> None:
    ingest, preprocessor, told = Ingest(Config()), Preprocessor(Config()), []
    for index in range(1000):
        stamp_ns, yaw = S + index * 10 * MS, 0.004 * index
        turning = ImuReading(np.array([0.0, 0.0, math.degrees(0.4)]), imu_reading(index).linear_acceleration)
        ingest.sample(sample(Modality.IMU, stamp_ns, payload=turning))
        ingest.odometry(odometry_message(stamp_ns, yaw=yaw, rate=0.4))
        for synced in ingest.take():
            found = prepare(ingest, preprocessor, synced, ingest.trust(synced)[0])
            yaw = preprocessor.yaw_since(synced, found.present, synced.stamp_ns - 50 * MS)
            told.append((yaw, ingest.ego.code))
    assert max(abs(yaw) for yaw, _ in told[:20]) > 0.3  # not found yet
    assert {yaw for yaw, _ in told[60:]} == {0.0}
    assert {code for _, code in told[-10:]} == {""}


@pytest.mark.parametrize("start_ns", [2 * S, 3601 * S], ids=["time began anew", "much later"])
def test_roll_is_level_when_a_session_ended_while_the_robot_leant(start_ns: int) -> None:
    preprocessor = Preprocessor(Config())  # kept over sessions
    leant = rolls(preprocessor, lambda second: 0.2 + second / 1e3, seconds=3.0, start_ns=3597 * S)
    assert leant[-1][1] > 0.3
    found = rolls(preprocessor, lambda _second: 0.0, seconds=1.0, start_ns=start_ns)
    assert max(abs(roll) for _, roll in found) < 0.01


@pytest.mark.parametrize("lost", list(Modality), ids=lambda modality: modality.value)
def test_pipeline_degrades_a_sensor_and_says_what_to_do_when_it_has_no_transform(
    built: Pipeline, lost: Modality
) -> None:
    clock = ManualClock()
    pipeline = fresh(built, clock, preprocessor=Preprocessor(Config()))
    pipeline.preprocessor.placer.give(lost, None)
    results = play(pipeline, clock, ModalitySet.all(), seconds=2.5)
    report = results[-1].reports[lost]
    assert results[-1].used == ModalitySet.all() - ModalitySet.of(lost)
    assert {result.absent.get(lost) for result in results if lost in result.synced.samples} == {
        Absence.INVALID
    }
    assert report.state is SensorState.DEGRADED
    assert f"'{lost.value}'" in report.reason
    assert "base_link" in report.reason
    assert "output.extrinsics: parameters" in report.remedy
    assert any(f"{lost.value} left out" in note for note in results[-1].notes)
    pipeline.preprocessor.placer.give(lost, Pose((0.0, 0.0, 1.0), Config().sensor(lost).quaternion_xyzw))
    clock.set(clock.now_ns() + 100 * MS)
    again = play(pipeline, clock, ModalitySet.all(), seconds=2.0, start_ns=clock.now_ns())
    assert lost in again[-1].used
    assert again[-1].reports[lost].state is SensorState.OK


def test_pipeline_gives_the_same_boxes_when_an_absent_sensor_was_never_enabled(built: Pipeline) -> None:
    """An absent input cannot change an output, whatever the reason for its absence."""
    alone = ModalitySet.of(Modality.LIDAR)
    clock = ManualClock()
    silent = play(fresh(built, clock), clock, alone, seconds=0.5)
    clock = ManualClock()
    disabled = override(Config(), {"camera.enabled": False, "imu.enabled": False, "audio.enabled": False})
    without = play(fresh(built, clock, disabled), clock, alone, seconds=0.5)
    assert [result.detections for result in silent] == [result.detections for result in without]


def test_pipeline_times_the_switch_when_the_level_changes_and_not_otherwise(built: Pipeline) -> None:
    clock = ManualClock()
    pipeline = fresh(built, clock)
    steady = play(pipeline, clock, ModalitySet.of(Modality.LIDAR), seconds=0.5)
    assert all(math.isnan(result.switch_us) for result in steady)
    pipeline.budget.update_budget(math.nan, math.nan, 1, "test", clock.now_ns())
    start_ns = clock.now_ns() + 100 * MS
    try:
        first, *rest = play(pipeline, clock, ModalitySet.of(Modality.LIDAR), seconds=0.5, start_ns=start_ns)
    finally:
        pipeline.budget.update_budget(math.nan, math.nan, -1, "test", clock.now_ns())
    assert first.plan.level == 1
    assert first.switch_us > 0.0
    assert all(math.isnan(result.switch_us) for result in rest)


def test_pipeline_says_not_evaluated_when_the_checkpoint_has_no_scores(
    built: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built.bank, "recall", lambda _mask, _level: (math.nan, math.nan))
    clock = ManualClock()
    notes = " ".join(play(fresh(built, clock), clock, ModalitySet.all(), seconds=0.3)[-1].notes)
    assert "not evaluated" in notes
    assert "nan" not in notes


def test_pipeline_runs_the_widest_loaded_level_and_says_so_when_only_a_prefix_is_loaded(weights: str) -> None:
    clock = ManualClock()
    config = override(Config(), {"model.checkpoint": weights, "model.max_level": 1})
    pipeline = Pipeline.build(config, clock=clock)
    free = play(pipeline, clock, ModalitySet.of(Modality.LIDAR), seconds=0.4)[-1]
    assert free.plan.level == 1
    assert "model.max_level = 1" in free.plan.reason
    pipeline.warm_up()
    pipeline.budget.update_budget(1e9, math.nan, -1, "test", clock.now_ns())
    timed = play(pipeline, clock, ModalitySet.of(Modality.LIDAR), seconds=0.4, start_ns=clock.now_ns() + S)[
        -1
    ]
    assert timed.plan.level == 1  # the deadline is met by any level, and wider ones are not there


def test_pipeline_says_that_widths_are_uniform_when_the_weights_have_no_gate(tmp_path: Path) -> None:
    clock = ManualClock()
    config = override(Config(), {"model.checkpoint": str(checkpoint(tmp_path).path)})
    pipeline = Pipeline.build(config, clock=clock)
    last = play(pipeline, clock, ModalitySet.all(), seconds=0.3)[-1]
    assert (last.used, last.plan.kind) == (ModalitySet.all(), "uniform")
    assert "pruning: uniform widths, not chosen by SentryGate" in last.notes


def test_pipeline_says_what_the_gate_goes_without_and_why(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    pipeline = Pipeline.build(override(Config(), {"model.checkpoint": weights}), clock=clock)
    camera, lidar = ModalitySet.of(Modality.CAMERA), ModalitySet.of(Modality.LIDAR)
    monkeypatch.setattr(pipeline.bank, "trust", lambda _: {Modality.CAMERA: 0.25, Modality.LIDAR: 0.9})
    results = play(pipeline, clock, camera | lidar, seconds=1.2)
    poor = results[-1]
    assert (poor.used, poor.absent[Modality.CAMERA], poor.plan.kind) == (lidar, Absence.POOR, "gate")
    assert any("camera off: its data is poor" in note for note in poor.notes)
    assert "camera is trusted 0.25 of 1: its data looks poor" in poor.notes
    assert not any("uniform" in note for note in poor.notes)
    report = poor.reports[Modality.CAMERA]
    assert (report.state, report.code) == (SensorState.DEGRADED, "low_trust")
    assert severity(poor) == WARN
    assert poor.plan.widths == "lidar full width, trunk full width, head full width"
    monkeypatch.setattr(pipeline.bank, "trust", lambda _: {Modality.CAMERA: 1.0, Modality.LIDAR: 1.0})
    pipeline.budget.update_budget(math.nan, math.nan, 1, "test", clock.now_ns())
    spared = play(pipeline, clock, camera | lidar, seconds=0.3, start_ns=clock.now_ns() + 100 * MS)[-1]
    assert spared.used == camera | lidar
    assert any("camera at half width of half an image: the lidar sees" in note for note in spared.notes)
    assert spared.plan.widths.startswith("camera half width of half an image, lidar ")
    assert spared.trust == {Modality.CAMERA: 1.0, Modality.LIDAR: 1.0}


def test_tracks_are_turned_by_a_sound_gyro_when_the_network_goes_without_it(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights may take for poor what they did not see in training."""
    clock = ManualClock()
    pipeline = Pipeline.build(override(Config(), {"model.checkpoint": weights}), clock=clock)
    monkeypatch.setattr(pipeline.bank, "trust", lambda _: {Modality.IMU: 0.1})
    for ago in range(100, -1, -10):
        turns = ImuReading(np.array([0.0, 0.0, 1.5 + 0.001 * ago]), np.array([0.0, 0.0, 9.81]))
        pipeline.ingest.sample(sample(Modality.IMU, S - ago * MS, payload=turns))
    pipeline.ingest.sample(sample(Modality.LIDAR, S))
    clock.set(S + 50 * MS)
    pipeline.ingest.advance(clock.now_ns())
    *_, synced = pipeline.ingest.take()
    begun = pipeline.begin(synced)
    assert begun.plan.mask == ModalitySet.of(Modality.LIDAR)
    assert begun.yaw_since(S - 100 * MS) == pytest.approx(0.155, abs=1e-3)


def test_budget_learns_guesses_first_and_then_what_was_measured_when_the_warm_up_goes_on(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = override(Config(), {"model.checkpoint": weights, "model.max_level": 2})
    pipeline = Pipeline.build(config, clock=ManualClock())
    tables: list[dict[tuple[int, int], float]] = []
    monkeypatch.setattr(pipeline.budget, "set_latency_table", tables.append)
    monkeypatch.setattr("sentryfuse_core.runtime.warm_up._SHARE", 1.0)
    pipeline.warm_up_first()
    for _ in range(100):  # more than there are runs left
        pipeline.warm_up_more()
    guessed, measured = tables
    assert (
        guessed.keys()
        == measured.keys()
        == {(mask.bits, level) for mask in ModalitySet.subsets() for level in range(3)}
    )
    assert {key for key, time_ms in measured.items() if math.isinf(time_ms)} == {
        key for key in measured if key[1] < 2
    }
    everything = (ModalitySet.all().bits, 2)
    assert {key for key in measured if key[1] == 2 and measured[key] == guessed[key]} == {everything}


def test_pipeline_accounts_for_a_set_of_all_sensors(built: Pipeline) -> None:
    """Times of every stage, the backend with its reason, and only what the checkpoint is sure of."""
    clock = ManualClock()
    result = play(fresh(built, clock), clock, ModalitySet.all(), seconds=0.5)[-1]
    assert not result.errors
    assert min(result.times.pre, result.times.infer, result.times.post) > 0.0
    assert 0.0 <= result.times.wait <= 50.0
    assert result.backend_reason == built.backend.reason
    assert result.backend_reason.startswith(f"{result.backend}: ")
    threshold = built.bank.score_threshold(result.used, result.plan.level)
    assert not math.isnan(threshold)
    assert all(detection.score >= threshold for detection in result.detections)


def test_speeds_of_tracks_are_over_ground_as_long_as_odometry_can_be_believed(built: Pipeline) -> None:
    clock = ManualClock()
    pipeline = fresh(built, clock)
    told: list[tuple[bool, tuple[str, ...]]] = []
    for at_ms in range(0, 3000, 20):
        child = "base_link" if at_ms < 1500 else "left_wheel"
        pipeline.ingest.odometry(odometry_message(S + at_ms * MS, child=child))
        clock.set(S + at_ms * MS)
        if at_ms % 100 == 0:
            pipeline.ingest.sample(sample(Modality.LIDAR, S + at_ms * MS))
            clock.advance(60 * MS)
            pipeline.ingest.advance(clock.now_ns())
            results = map(pipeline.step, pipeline.ingest.take())
            told += [(item.over_ground, tuple(n for n in item.notes if "odometry" in n)) for item in results]
            clock = pipeline._clock = ManualClock(S + at_ms * MS)
    good, bad = told[5:14], told[16:]
    assert {over for over, _ in good} == {True}
    assert {notes for _, notes in good} == {()}
    assert {over for over, _ in bad} == {False}
    ((note,),) = {notes for _, notes in bad}
    assert "no transform to its child_frame_id 'left_wheel'" in note
    assert note.endswith("until then velocities of tracks are relative to the robot")


def test_pipeline_follows_nothing_and_finds_the_same_when_tracking_is_off(built: Pipeline) -> None:
    both = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)
    clock = ManualClock()
    on = play(fresh(built, clock), clock, both, seconds=1.0)
    clock = ManualClock()
    off = play(fresh(built, clock, override(Config(), {"tracking.enabled": False})), clock, both, seconds=1.0)
    assert [result.detections for result in on] == [result.detections for result in off]
    assert all(result.tracks is None and math.isnan(result.times.track) for result in off)
    assert all(result.tracks is not None and result.times.track > 0.0 for result in on)


def test_smoothed_boxes_are_told_by_the_threshold_of_their_own_sector(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Camera and lidar ask for other scores ahead than the lidar alone does behind."""
    options = {"model.checkpoint": weights, "output.sectors": "front, back"}
    config = override(Config(), {**options, "tracking.smooth_detections": True})
    clock = ManualClock()
    pipeline = Pipeline.build(config, clock=clock)
    monkeypatch.setattr(
        pipeline.bank, "threshold", lambda mask, *_, **__: 1.0 if Modality.CAMERA in mask else 0.0
    )
    last = play(pipeline, clock, ModalitySet.of(Modality.CAMERA, Modality.LIDAR), seconds=0.3)[-1]
    assert [str(sector.used) for sector in last.sectors] == ["camera+lidar", "lidar"]
    assert last.detections
    assert all(box.x < 0.0 for box in last.detections)


def test_lap_is_not_imported_when_tracking_is_off() -> None:
    """The library of the assignment is loaded by the first set that is tracked."""
    code = (
        "import sys, test_pipeline as t\n"
        "config = t.override(t.Config(), {'tracking.enabled': False})\n"
        "clock = t.ManualClock()\n"
        "pipeline = t.Pipeline.build(config, clock=clock)\n"
        "assert t.play(pipeline, clock, t.ModalitySet.of(t.Modality.LIDAR), seconds=0.5)\n"
        "assert 'lap' not in sys.modules\n"
    )
    here = Path(__file__).resolve()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (here.parent, here.parents[1])))},
        cwd=here.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
