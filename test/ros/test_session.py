"""One activation without DDS: what is said of a set that the pipeline fails on."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.logging import get_logger
from ros.support import participant, stamped_transform
from sensor_msgs.msg import Imu
from std_msgs.msg import Header
from sysfs import thermal_zone

from sentryfuse_core.account.messages import PublishContext, fusion_status
from sentryfuse_core.clock import NS_PER_S, SteadyClock
from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import BackendError
from sentryfuse_core.machine import MachineMonitor
from sentryfuse_core.preprocess.placing import Found
from sentryfuse_core.types import FusionResult, Modality, SyncedSet
from sentryfuse_ros.clocks import Clocks
from sentryfuse_ros.engine import Engine
from sentryfuse_ros.frames import TransformTree, tf2_available
from sentryfuse_ros.problems import Problem
from sentryfuse_ros.session import Host, Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.ros

WITHIN_S = 240.0
# The thread that plays the IMU stutters on a busy machine, which is not what is under test.
PATIENT = override(
    Config(), {"health.timeout_floor_imu_s": 0.6, "health.rate_warn": 0.2, "health.rate_error": 0.1}
)


class FakeOutputs:
    """Keeps what would be published."""

    def __init__(self) -> None:
        self.published = 0
        self.statuses: list[dict[str, Any]] = []
        self.diagnostics: list[dict[str, Any]] = []
        self.told = threading.Event()
        self.idle = threading.Event()  # three statuses in which no sensor sends

    def publish(self, *args: Any, **_: Any) -> None:
        self.published += 1
        self.publish_status(*args)

    def publish_status(self, result: FusionResult, context: PublishContext) -> None:
        self.statuses.append(fusion_status(result, context))
        if sum("no sensor sends" in str(status["notes"]) for status in self.statuses) >= 3:
            self.idle.set()
        self.told.set()

    def publish_diagnostics(self, fields: dict[str, Any]) -> None:
        self.diagnostics.append(fields)


def imu(index: int, *, shift_ns: int = 0) -> Imu:
    """A robot at rest, with noise on every axis."""
    sec, nanosec = divmod(time.time_ns() + shift_ns, NS_PER_S)
    message = Imu(header=Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id="imu_link"))
    values = np.random.default_rng(index).normal(0.0, 0.01, (2, 3))
    values[1, 2] += 9.8
    for vector, row in zip((message.angular_velocity, message.linear_acceleration), values, strict=True):
        vector.x, vector.y, vector.z = row.tolist()
    return message


def feed(
    session: Session,
    done: Callable[[], bool],
    *,
    then: Callable[[], object] = lambda: None,
    shift_ns: Callable[[], int] = lambda: 0,
) -> None:
    """IMU readings, until `done` or the time is over; `then` silence. `shift_ns` is added to stamps."""
    pause = threading.Event()  # without one the readings would take the worker's time
    session.start()
    try:
        deadline_s = time.monotonic() + WITHIN_S
        index = 0
        while not done() and time.monotonic() < deadline_s:
            session.on_sensor(Modality.IMU, imu(index, shift_ns=shift_ns()), "sensor_msgs/msg/Imu", 0)
            index += 1
            pause.wait(0.005)
        then()
    finally:
        session.close()


def make_session(
    config: Config,
    outputs: FakeOutputs,
    *,
    problems: Callable[[], dict[Modality, Problem]] = dict,
    frames: Any = None,
    machine: MachineMonitor | None = None,
    clocks: Clocks | None = None,
) -> Session:
    engine = Engine.load(config)
    return Session(
        config=config,
        engine=engine if machine is None else replace(engine, machine=machine),
        outputs=outputs,  # type: ignore[arg-type]
        host=Host(
            clocks=clocks or Clocks(SteadyClock(), time.time_ns),
            problems=problems,
            catch_up=lambda: None,
            logger=get_logger("session"),
        ),
        topics={},
        frames=frames,
        notes=(),
    )


def status_of(array: dict[str, Any], name: str) -> dict[str, Any]:
    """One status of a DiagnosticArray."""
    found: dict[str, Any] = next(item for item in array["status"] if item["name"] == f"sentryfuse: {name}")
    return found


def values(array: dict[str, Any], name: str) -> dict[str, str]:
    """The values of one status."""
    return {item["key"]: item["value"] for item in status_of(array, name)["values"]}


def test_status_and_diagnostics_are_errors_when_the_pipeline_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, config = FakeOutputs(), Config()
    session = make_session(config, outputs)

    def step(_synced: SyncedSet) -> FusionResult:
        raise BackendError("inference on cpu failed:\nout of memory")

    monkeypatch.setattr(session.pipeline, "step", step)
    feed(session, outputs.told.is_set)
    session.publish_diagnostics()
    status = outputs.statuses[0]
    assert outputs.published == 0
    assert status["severity"] == 2
    assert status["mask"] == 0
    assert "inference on cpu failed: out of memory" in status["notes"][0]
    assert math.isnan(status["infer_ms"])
    inference = status_of(outputs.diagnostics[-1], "inference")
    assert inference["level"] == 2
    assert "out of memory" in inference["message"]
    assert "dropped_BackendError" in values(outputs.diagnostics[-1], "sync")


def test_heat_of_the_machine_reaches_level_and_diagnostics(tmp_path: Path) -> None:
    thermal_zone(tmp_path, 0, "cpu-thermal", 93_000, ("passive", 90_000))
    outputs, config = FakeOutputs(), Config()
    session = make_session(config, outputs, machine=MachineMonitor(gpu=None, sysfs=tmp_path))
    session.read_machine()
    feed(session, lambda: any(item["level"] for item in outputs.statuses))
    session.publish_diagnostics()
    status = next(item for item in outputs.statuses if item["level"])
    assert (status["level"], status["level_reason"]) == (1, "thermal: cpu-thermal 93 C is above 90 C")
    told = values(outputs.diagnostics[-1], "inference")
    assert (told["temperature_c"], told["temperature_limit_c"]) == ("93.000", "90.000")
    assert told["power_measured_w"] == "nan"
    assert told["power_source"].startswith("none: no INA3221")


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.info = self.warning = self.lines.append


def test_log_is_not_filled_when_odometry_comes_and_goes() -> None:
    session, logger = make_session(Config(), FakeOutputs()), Lines()
    session._host = replace(session._host, logger=logger)  # type: ignore[arg-type]
    ego = session._ingest.ego
    for turn in range(40):
        ego.code, ego.problem = ("", "") if turn % 2 else ("stopped", "no message")
        session._log_odometry()
    again = [line for line in logger.lines if "used again" in line]
    assert len(again) == 5  # after the first, second, fourth, eighth and sixteenth time
    assert len(logger.lines) == 10


class NoFrames:
    """A tree of transforms that knows none."""

    def find(self, frame_id: str, *, stamp_ns: int) -> Found:  # noqa: ARG002 - as TransformTree's
        return Found(None, "", f"tf2 knows no transform from frame {frame_id!r} to 'base_link'")

    def clear(self) -> None:
        """Nothing is there to forget."""


def test_parameters_place_a_sensor_and_it_is_told_while_tf2_knows_no_better() -> None:
    outputs = FakeOutputs()
    session = make_session(PATIENT, outputs, frames=NoFrames())

    def used() -> bool:  # the first sets may come before it is trusted
        return any("imu" in status["used"] for status in list(outputs.statuses))

    feed(session, lambda: len(outputs.statuses) > 2 and used())
    session.publish_diagnostics()
    assert used()
    for status in outputs.statuses:
        (told,) = [note for note in status["notes"] if note.startswith("imu is placed by the parameters")]
        assert "tf2 knows no transform from frame 'imu_link' to 'base_link'" in told
        assert "publish the transform, or set output.extrinsics: parameters" in told
    poses = status_of(outputs.diagnostics[-1], "poses")
    assert (poses["level"], poses["message"]) == (1, told)
    assert values(outputs.diagnostics[-1], "poses") == {"imu": "parameters"}


def test_mount_that_moves_is_followed_when_its_stamps_alone_begin_anew() -> None:
    """As a bag that loops, or an NTP step: no clock of this machine tells it."""
    if not tf2_available():
        pytest.skip("needs tf2_ros")
    outputs, shift_ns = FakeOutputs(), 0

    def turn() -> int:
        """Once more with what the listener would bring."""
        transform = stamped_transform(
            "imu_link", "base_link", (0, 0, 1), (0, 0, 0, 1), stamp_ns=time.time_ns() + shift_ns
        )
        frames._buffer.set_transform(transform, "test")
        return shift_ns

    def followed() -> bool:
        """Whether the last pose is one of the transforms, and of their time."""
        placed = session.pipeline.preprocessor.placer.placements[Modality.IMU]
        return placed.source.endswith("moving") and not placed.problem

    def followed_anew() -> bool:
        nonlocal shift_ns
        if followed() and not shift_ns:
            shift_ns = -600 * NS_PER_S
        return followed() and any(status["epoch"] for status in outputs.statuses)

    with participant("session") as node:
        frames = TransformTree(node, base_frame="base_link")
        session = make_session(Config(), outputs, frames=frames)
        feed(session, followed_anew, shift_ns=turn)
        assert followed_anew()
        # Simulation restarts while the node is inactive.
        shift_ns = -1200 * NS_PER_S
        session = make_session(Config(), outputs, frames=frames)
        feed(session, followed, shift_ns=turn)
        assert followed()


def test_what_the_sensor_shows_is_told_though_the_graph_has_a_problem_too() -> None:
    """It says more than what the graph knows of its topic."""
    outputs = FakeOutputs()
    problem = Problem("no_publisher", "no publisher on /imu/data", "start its driver")
    session = make_session(PATIENT, outputs, problems=lambda: dict.fromkeys(Modality, problem))
    session.pipeline.preprocessor.placer.give(Modality.IMU, None)

    def told() -> list[dict[str, str]]:
        keys = [values(array, "events") for array in list(outputs.diagnostics)]
        return [found for found in keys if "imu OK -> DEGRADED" in found]

    feed(session, lambda: bool(told()))
    session.publish_diagnostics()
    event = told()[0]["imu OK -> DEGRADED"]
    assert "no transform from frame 'imu_link' to 'base_link'" in event
    assert "publish the transform" in event
    assert "code no_pose" in event
    assert len(told()) == 1
    last = outputs.diagnostics[-1]
    assert "no transform from frame 'imu_link'" in values(last, "sensor/imu")["reason"]
    assert values(last, "sensor/camera")["reason"] == problem.reason


def test_status_goes_on_and_says_why_when_every_sensor_is_dead() -> None:
    outputs = FakeOutputs()
    session = make_session(Config(), outputs)
    feed(session, outputs.told.is_set, then=lambda: outputs.idle.wait(WITHIN_S))
    assert outputs.idle.is_set()
    heard, *_, last = outputs.statuses[-4:]
    assert (last["severity"], last["mask"], last["used"]) == (2, 0, [])
    assert last["notes"][0] == "nothing usable: no sensor sends; check the sensors' states"
    assert last["level_reason"] == "nothing runs: no sensor sends"
    assert last["sequence"] == heard["sequence"]
    assert last["age_ms"] > 0.0
    told = last["sensors"][list(Modality).index(Modality.IMU)]
    assert "no new message" in told["reason"]
    assert told["absence"] == "LOST"
    session.publish_diagnostics()
    inference = values(outputs.diagnostics[-1], "inference")
    assert (inference["mask"], inference["widths"], inference["trust"]) == ("none", "-", "-")


def test_status_diagnostics_and_log_say_so_when_no_simulated_time_comes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    outputs = FakeOutputs()
    clocks = Clocks(SteadyClock(), lambda: 0, simulated=True, paused_s=lambda: 7.0)
    session = make_session(Config(), outputs, clocks=clocks)
    feed(session, outputs.told.is_set)
    for _ in range(2):
        session.publish_diagnostics()
    told = "use_sim_time is set, but no time comes on /clock"
    assert any(told in note for note in outputs.statuses[-1]["notes"])
    assert status_of(outputs.diagnostics[-1], "sync")["message"].startswith(told)
    assert capfd.readouterr().err.count(told) == 1


def test_no_sensor_is_lost_and_the_node_says_so_when_the_executor_was_held_up() -> None:
    """The worker goes on meanwhile, and nobody hands messages over."""
    outputs = FakeOutputs()
    session = make_session(PATIENT, outputs)
    pause = threading.Event()
    session.start()
    try:
        deadline_s = time.monotonic() + WITHIN_S
        index = 0
        while len(outputs.statuses) < 3 and time.monotonic() < deadline_s:
            session.listen()
            session.on_sensor(Modality.IMU, imu(index), "sensor_msgs/msg/Imu", 0)
            index += 1
            pause.wait(0.005)
        pause.wait(0.8)  # the callback that blocks
        session.on_sensor(Modality.IMU, imu(index), "sensor_msgs/msg/Imu", 0)
        session.publish_diagnostics()
    finally:
        session.close()
    told = status_of(outputs.diagnostics[-1], "node")
    assert told["level"] == 1
    assert "did not" in told["message"]
    assert "no sensor is blamed" in told["message"]
    found = values(outputs.diagnostics[-1], "node")
    assert int(found["stalls"]) >= 1
    assert float(found["stalled_s"]) >= 0.75
    assert float(found["last_stall_s"]) >= 0.75
    assert values(outputs.diagnostics[-1], "sensor/imu")["state"] == "OK"
    assert not any("LOST" in key for array in outputs.diagnostics for key in values(array, "events"))


def test_node_narrows_and_says_so_when_it_skips_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any budget set: sets come ten times a second, and each takes a quarter of one."""
    outputs = FakeOutputs()
    session = make_session(override(PATIENT, {"health.timeout_floor_imu_s": 1.0}), outputs)
    step = session.pipeline.step

    def slow(synced: SyncedSet) -> FusionResult:
        threading.Event().wait(0.25)
        return step(synced)

    monkeypatch.setattr(session.pipeline, "step", slow)

    def narrowed() -> bool:
        return any(status["level_reason"].startswith("pace: ") for status in outputs.statuses)

    feed(session, narrowed)
    session.publish_diagnostics()
    first = next(status for status in outputs.statuses if status["level_reason"].startswith("pace: "))
    assert first["level"] >= 1
    assert "sets were skipped at level 0" in first["level_reason"]
    last = outputs.statuses[-1]
    assert last["skipped_sets"] > 0
    assert any("of the sets were skipped" in note and "use a faster device" in note for note in last["notes"])
    told = status_of(outputs.diagnostics[-1], "node")
    assert told["level"] == 1
    assert float(values(outputs.diagnostics[-1], "node")["skipped_share"]) > 0.3
    assert values(outputs.diagnostics[-1], "sensor/imu")["state"] == "OK"
