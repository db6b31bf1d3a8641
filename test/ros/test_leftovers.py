"""What dead processes left in shared memory goes; what a living one holds, or another user owns, stays."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from programs import Program
from ros.support import Listener, NodeProcess, until

from sentryfuse_ros import leftovers
from sentryfuse_ros.leftovers import remove_leftovers

SEGMENT = "fastdds_0123456789abcdef"
PORT = "fastdds_port7411"
SHM = Path("/dev/shm")  # noqa: S108 - a file system, not a temporary file
SEGMENT_BYTES = 128 << 20
LIVING = """
import rclpy
rclpy.init()
node = rclpy.create_node("living")
print("up", flush=True)
rclpy.spin(node)
"""


def left(shm: Path, *names: str, age_s: float = 60.0) -> None:
    for name in names:
        (shm / name).write_bytes(b"" if name.endswith(("_el", "_sl")) else bytes(8192))
    aged({shm / name for name in names}, age_s=age_s)


def aged(paths: set[Path], *, age_s: float = 60.0) -> None:
    """Pretend that these files were made so long ago."""
    at_s = time.time() - age_s
    for path in paths:
        with suppress(FileNotFoundError):  # a node that another test starts may have removed it by now
            os.utime(path, (at_s, at_s))


def mapped(pid: int) -> set[str]:
    """The segments that a process has in its memory, and their locks: others make some at the same time."""
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    found = {Path(line.split()[-1]).name for line in lines if f"{SHM}/fastdds_" in line}
    return found | {f"{name}{ending}" for name in found for ending in ("_el", "_sl")}


def names(shm: Path) -> set[str]:
    return {path.name for path in shm.iterdir()}


@pytest.mark.parametrize("generation", ["fastdds", "fastrtps"])
def test_segments_and_ports_are_removed_when_nobody_holds_their_locks(
    tmp_path: Path, generation: str
) -> None:
    segment, port = (name.replace("fastdds", generation) for name in (SEGMENT, PORT))
    left(tmp_path, segment, f"{segment}_el", port, f"{port}_el", f"sem.{port}_mutex", f"{port}1_sl")
    assert remove_leftovers(tmp_path) >= 2 * 8192
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("lock", "kind"), [("el", fcntl.LOCK_EX), ("sl", fcntl.LOCK_SH), ("el", fcntl.LOCK_SH)]
)
def test_segment_and_port_stay_when_one_of_their_locks_is_held(tmp_path: Path, lock: str, kind: int) -> None:
    held = {SEGMENT, f"{SEGMENT}_{lock}", PORT, f"{PORT}_el", f"{PORT}_sl", f"sem.{PORT}_mutex"}
    left(tmp_path, *held)
    with (tmp_path / f"{SEGMENT}_{lock}").open() as one, (tmp_path / f"{PORT}_{lock}").open() as other:
        for file in (one, other):
            fcntl.flock(file, kind)
        assert remove_leftovers(tmp_path) == 0
        assert names(tmp_path) == held
    remove_leftovers(tmp_path)
    assert names(tmp_path) == set()


def test_files_of_others_stay_when_they_look_alike(tmp_path: Path) -> None:
    strangers = {
        "fastdds_0123456789abcdef_elx",
        "fastdds_0123_el",
        "sem.other_mutex",
        "fast_datasharing_0_el",
        SEGMENT,  # without a lock nothing says whose it is
    }
    left(tmp_path, *strangers)
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (tmp_path / f"{PORT}_el").symlink_to(tmp_path / "elsewhere")
    assert remove_leftovers(tmp_path) == 0
    assert names(tmp_path) == {*strangers, "elsewhere", f"{PORT}_el"}


def test_files_stay_when_they_belong_to_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(tmp_path, SEGMENT, f"{SEGMENT}_el")
    uid = os.geteuid()
    monkeypatch.setattr(leftovers.os, "geteuid", lambda: uid + 1)
    assert remove_leftovers(tmp_path) == 0
    assert names(tmp_path) == {SEGMENT, f"{SEGMENT}_el"}


def test_files_stay_when_a_process_may_be_just_starting(tmp_path: Path) -> None:
    left(tmp_path, SEGMENT, f"{SEGMENT}_el", age_s=-60.0)  # the clock may be set meanwhile
    assert remove_leftovers(tmp_path) == 0
    assert names(tmp_path) == {SEGMENT, f"{SEGMENT}_el"}


def test_nothing_is_removed_and_nothing_raised_when_there_is_no_shared_memory() -> None:
    assert remove_leftovers(Path("/no/such/file/system")) == 0


@pytest.mark.ros
@pytest.mark.capability("fusion node over real DDS")
def test_next_node_frees_what_a_killed_node_left_when_another_one_lives() -> None:
    with Program([sys.executable, "-c", LIVING]) as living, ExitStack() as ending:
        living.wait_for_line("up")
        before = names(SHM)
        killed = ending.enter_context(NodeProcess(autostart=False))
        killed.wait_for_line("unconfigured")
        made = mapped(killed.pid) & (names(SHM) - before)
        segments = {name for name in made if not name.endswith(("_el", "_sl"))}
        assert sum((SHM / name).stat().st_blocks * 512 for name in segments) >= SEGMENT_BYTES
        killed.end(signal.SIGKILL)
        aged({SHM / name for name in made})

        listener = ending.enter_context(Listener())  # a participant that lives on
        node = ending.enter_context(NodeProcess(autostart=False))
        node.wait_for_line("unconfigured")
        # The ports may be in use again, by the node that is there now; no segment is.
        assert not {name for name in segments if "port" not in name} & names(SHM)
        assert not living.ended
        assert listener.state() == "unconfigured"  # asked and answered
        until(lambda: "living" in listener.node.get_node_names())
        assert node.end() == 0
