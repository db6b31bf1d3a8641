"""`sentryfuse top` over real DDS: it finds the node, follows it when it dies and returns, or says why."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.srv import ChangeState
from programs import Program
from ros.support import (
    WITHIN_S,
    Listener,
    Robot,
    happens,
    participant,
    patiently,
    recording,
    rig,
    running,
)
from sentryfuse.msg import FusedDetection, FusedDetectionArray, FusionStatus, SensorHealth

from sentryfuse_core.account import messages
from sentryfuse_ros import cli
from sentryfuse_ros.top_node import _GATHER_S, TopNode

pytestmark = [pytest.mark.ros, pytest.mark.capability("live numbers of a running node")]

PATIENCE_S = (15.0, 30.0, 60.0, 120.0)  # of two participants in this process: see `happens`
TOP = [sys.executable, "-m", "sentryfuse_ros.cli", "top"]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the parts of a snapshot may come far apart."""
    monkeypatch.setattr("sentryfuse_ros.top._WHOLE_WITHIN_S", WITHIN_S)


class Speaker:
    """A node that says what a fusion node says, 20 sets a second, and no more than that."""

    def __init__(
        self,
        name: str = "sentryfuse",
        namespace: str = "/",
        *,
        told: bool = True,
        boxes_after: int = 0,
        remap: Sequence[str] = (),
    ) -> None:
        """`boxes_after`: so many sets without a word of their boxes."""
        self._ending = ExitStack()
        rules = ["--ros-args", *(word for rule in remap for word in ("-r", rule))]
        self._node = self._ending.enter_context(participant(name, namespace=namespace, cli_args=rules))
        self._topic = f"{namespace.rstrip('/')}/lidar/points"
        self._status = self._node.create_publisher(FusionStatus, "~/status", 10)
        self._boxes = self._node.create_publisher(FusedDetectionArray, "~/detections", 10)
        self._diagnostics = self._node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._told, self._boxes_after = told, boxes_after
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Speaker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._ending.close()

    def _run(self) -> None:
        lidar = SensorHealth(name="lidar", topic=self._topic, state=SensorHealth.OK, in_mask=True)
        sequence = 0
        while self._told and not self._stop.wait(0.05):
            status = FusionStatus(sequence=sequence, sensors=[lidar], used=["lidar"], mask=2, level=1)
            status.infer_ms, status.e2e_ms = 30.0, 40.0
            self._status.publish(status)
            if sequence >= self._boxes_after:
                self._boxes.publish(FusedDetectionArray(detections=[FusedDetection()] * 2))
            self._diagnostics.publish(DiagnosticArray(status=[*self._statuses()]))
            sequence += 1

    def _statuses(self) -> Iterator[DiagnosticStatus]:
        stages = ("age", "wait", "queue", "pre", "infer", "post", "track", "e2e")
        figures = {f"{stage}_ms_{rank}": "7.0" for stage in stages for rank in ("p50", "p95", "p99", "max")}
        figures |= {"n": "99", "window_s": "30.0", "deadline_miss": "0.0"}
        values = [KeyValue(key=key, value=value) for key, value in figures.items()]
        yield DiagnosticStatus(name="sentryfuse: sensor/lidar", hardware_id=self._topic)
        yield DiagnosticStatus(name="sentryfuse: latency", values=values)


def snapshot(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = {}

    def shown(within_s: float) -> bool:
        status = cli.main(["top", "--json", "--timeout", str(within_s), *arguments])
        told.update(json.loads(capfd.readouterr().out or "{}"))
        return status == 0

    patiently(shown, PATIENCE_S)
    return told


def test_top_prints_one_snapshot_as_json_when_the_only_node_runs(capfd: pytest.CaptureFixture[str]) -> None:
    with Speaker("sentryfuse", "/robot"):
        told = snapshot(capfd)
    assert told["node"] == "/robot/sentryfuse"
    assert told["latency_ms"]["e2e"] == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "max": 7.0, "last": 40.0}
    assert (told["window_sets"], told["level"], told["detections"]) == (99, 1, 2)


def test_top_waits_for_the_boxes_when_they_come_after_all_else(capfd: pytest.CaptureFixture[str]) -> None:
    with Speaker(boxes_after=100):
        assert snapshot(capfd)["detections"] == 2


def test_top_finds_the_node_s_topics_when_they_are_remapped(capfd: pytest.CaptureFixture[str]) -> None:
    with Speaker(remap=["~/status:=/state", "~/detections:=/boxes", "/diagnostics:=/robot/diagnostics"]):
        told = snapshot(capfd)
    assert (told["node"], told["detections"], told["window_sets"]) == ("/sentryfuse", 2, 99)


def test_top_finds_what_is_remapped_when_it_is_seen_after_the_status() -> None:
    def alone() -> TopNode:
        return TopNode("/sentryfuse", turn=lambda _: None, several=lambda _: None)

    def told(within_s: float) -> bool:
        with participant("sentryfuse") as node, rig(alone) as found:
            status = node.create_publisher(FusionStatus, "/state", 10)

            def shown() -> Any:
                status.publish(FusionStatus(used=["lidar"]))
                return found.node.snapshot()

            if not happens(lambda: shown() is not None, within_s, turn=found.spin):
                return False
            boxes = node.create_publisher(FusedDetectionArray, "/boxes", 10)

            def counted() -> bool:
                boxes.publish(FusedDetectionArray(detections=[FusedDetection()]))
                return len(shown().detections or ()) == 1

            return happens(counted, within_s, turn=found.spin)

    patiently(told, PATIENCE_S)


def test_top_exits_1_with_one_line_when_nothing_runs(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", "--once", "--timeout", "0.5", "--node", "robot/fusion"]) == 1
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    for said in ("/robot/fusion/status", "/diagnostics", os.environ["ROS_DOMAIN_ID"], "ROS_DOMAIN_ID"):
        assert said in error


def test_top_says_that_no_set_came_when_the_node_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    def told(within_s: float) -> bool:
        assert cli.main(["top", "--once", "--timeout", str(within_s)]) == 1
        error = capfd.readouterr().err
        assert "sentryfuse check" in error or "no fusion node" in error  # the graph was not known yet
        return "has sent no status yet" in error

    with Speaker(told=False):
        patiently(told, (3.0, 10.0, 30.0))


def test_top_says_that_the_node_is_not_configured_when_it_waits_for_a_manager(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def told(within_s: float) -> bool:
        assert cli.main(["top", "--once", "--timeout", str(within_s), "--node", "/bot/sentryfuse"]) == 1
        return "/bot/sentryfuse is there, but not configured" in capfd.readouterr().err

    with participant("sentryfuse", namespace="/bot") as node:
        node.create_service(ChangeState, "~/change_state", lambda _asked, answer: answer)
        patiently(told, (3.0, 10.0, 30.0))


def test_top_follows_no_node_when_its_name_is_not_known_yet() -> None:
    def seen(name: str, namespace: str) -> Any:
        info = SimpleNamespace(node_name=name, node_namespace=namespace)
        node = SimpleNamespace(
            get_topic_names_and_types=lambda: [("/sentryfuse/status", [messages.STATUS_TYPE])],
            get_publishers_info_by_topic=lambda _: [info],
        )
        return [item.name for item in TopNode._look(node)]

    assert seen("_NODE_NAME_UNKNOWN_", "_NODE_NAMESPACE_UNKNOWN_") == []
    assert seen("sentryfuse", "/") == ["/sentryfuse"]


def test_top_asks_which_when_several_nodes_run(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(within_s: float) -> bool:
        """Whether both nodes were seen; one of them may be seen later than that after the other."""
        monkeypatch.setattr("sentryfuse_ros.top_node._GATHER_S", within_s)
        status = cli.main(["top", "--once", "--timeout", str(WITHIN_S)])
        return (
            status == 2
            and "/one/sentryfuse, /two/sentryfuse; choose one with --node" in capfd.readouterr().err
        )

    def chosen(within_s: float) -> bool:
        """Whether the first of both was taken; nobody is asked where only one was seen by then."""
        monkeypatch.setattr("sentryfuse_ros.top_node._GATHER_S", within_s)
        return bool(snapshot(capfd)["sensors"][0]["topic"] == "/one/lidar/points")

    with Speaker("sentryfuse", "/one"), Speaker("sentryfuse", "/two"):
        patiently(told, (_GATHER_S, 5.0, 15.0))
        assert snapshot(capfd, "--node", "/two/sentryfuse")["sensors"][0]["topic"] == "/two/lidar/points"
        for stream in ("stdin", "stdout"):
            monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
        monkeypatch.setattr("sentryfuse_ros.top.Prompt.ask", lambda *_, choices: choices[0])
        patiently(chosen, (_GATHER_S, 5.0, 15.0))


def test_top_follows_the_node_when_it_dies_and_is_started_again() -> None:
    with Program(TOP) as top:
        top.wait_for_line("waiting: no fusion node /sentryfuse")
        with Speaker():
            top.wait_for_line("/sentryfuse  live")
        top.wait_for_line("no status for")
        before = top.output.count("  live  ")
        with Speaker():
            top.wait_for(lambda: top.output.count("  live  ") > before, "life")
        assert top.end(signal.SIGINT) == 0


def test_top_ends_when_the_reader_has_left() -> None:
    with subprocess.Popen(TOP, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        try:
            assert process.wait(WITHIN_S) == 0
        finally:
            process.kill()


def test_top_draws_a_picture_when_it_has_a_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "LINES": "50", "TERM": "xterm-256color"}
    with Speaker():
        process = subprocess.Popen(TOP, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        seen = b""
        try:
            while b"latency ms" not in seen:
                seen += os.read(ours, 65536)  # an error once the process has ended
            process.send_signal(signal.SIGINT)
            drain = threading.Thread(target=_drain, args=(ours,))
            drain.start()
            assert process.wait(WITHIN_S) == 0
        finally:
            process.kill()
            process.wait()
            drain.join()
            os.close(ours)
    assert b"sentryfuse top" in seen


def _drain(descriptor: int) -> None:
    """Read until the other side is closed, so that it can write its last words."""
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:
        return


@pytest.mark.slow
def test_top_shows_a_real_node_when_four_sensors_send(
    capfd: pytest.CaptureFixture[str], listener: Listener
) -> None:
    with Robot(listener.node, recording()), running(listener):
        listener.wait_for("status", lambda status: bool(status.used))
        listener.diagnostic("latency", lambda status: bool(status.values))
        told = snapshot(capfd)
    assert told["node"] == "/sentryfuse"
    assert [item["name"] for item in told["sensors"]] == ["camera", "lidar", "imu", "audio"]
    assert told["device"] == "cpu"
    assert told["latency_ms"]["infer"]["p50"] > 0.0
    assert told["window_sets"] > 0
    assert told["deadline_miss"] is not None
