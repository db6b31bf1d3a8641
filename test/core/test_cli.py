"""The command line: one line for every error, help without torch, results however it is ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import bags
import pytest
import signalled
import yaml
from driving_trees import SHARED

from sentryfuse_core import __version__
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.cli import CORE_COMMANDS, Command, main
from sentryfuse_core.config import load_yaml, options
from sentryfuse_core.replay.records import read_results
from sentryfuse_core.types import Modality

ROOT = Path(__file__).parents[2]
BAGS = SHARED / "data" / "bags"
CAMERA, LIDAR, IMU, AUDIO = Modality
RERUN = shutil.which("rerun") or shutil.which("rerun", path=str(Path(sys.executable).parent))
needs_recordings = pytest.mark.skipif(not BAGS.is_dir(), reason="needs the recordings in ../shared/data")


def status_of(*words: str) -> int:
    try:
        return main(words)
    except SystemExit as error:
        return int(error.code or 0)


def failed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run, and return the one line that it ends with."""
    status = status_of(*words)
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("sentryfuse: error: ")
    return captured.err


def succeeded(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    status = status_of(*words)
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bags.write(
        tmp_path_factory.mktemp("bag") / "drive.mcap", bags.drive([CAMERA, LIDAR, IMU], seconds=0.6)
    )


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert succeeded(capsys, "--version") == f"sentryfuse {__version__}\n"


def test_params_lists_every_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    lines = succeeded(capsys, "params").splitlines()
    assert [line.split()[0] for line in lines] == [option.path for option in options()]


def test_params_yaml_is_read_back_as_the_defaults(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(succeeded(capsys, "params", "--yaml"), encoding="utf-8")
    assert load_yaml(path) == load_yaml(Path(os.devnull))
    assert yaml.safe_load(path.read_text())["sync"]["max_wait_s"] == 0.05


def test_parameters_are_those_of_the_node_that_is_named_when_a_file_is_for_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = tmp_path / "fleet.yaml"
    section = "/{0}/sentryfuse:\n  ros__parameters: {{model.checkpoint: /nowhere/{0}.safetensors}}\n"
    fleet.write_text("".join(map(section.format, ("one", "two"))), encoding="utf-8")
    command = ("build-engines", "--params", str(fleet))
    assert "/one/sentryfuse, /two/sentryfuse" in failed(capsys, *command)
    assert "/nowhere/one.safetensors" in failed(capsys, *command, "--node", "/one/sentryfuse")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "COMMAND"),
        (["replya"], "replya"),
        (["params", "--bogus"], "--bogus"),
        (["params", "no_such_name"], "no_such_name"),
        (["replay"], "BAG"),
        (["replay", "/nowhere/a.mcap"], "/nowhere/a.mcap"),
        (["replay", "BAG", "--set", "sync.max_wiat_s=0.03"], "did you mean 'sync.max_wait_s'"),
        (["replay", "BAG", "--set", "sync.max_wait_s=7"], "outside 0.0 .. 1.0"),
        (["replay", "BAG", "--set", "sync.max_wait_s"], "NAME=VALUE"),
        (["replay", "BAG", "--set", "imu.depth=.inf"], "imu.depth = inf: give a finite number"),
        (["replay", "BAG", "--set", "imu.depth=.nan"], "imu.depth = nan: give a finite number"),
        (["replay", "BAG", "--set", "imu.depth=" + "9" * 400], "an integer of 1329 bits"),
        (["replay", "BAG", "--set", "sync.max_wait_s={"], "quote"),
        (["replay", "BAG", "--params", "/nowhere/p.yaml"], "/nowhere/p.yaml"),
        (["replay", "BAG", "--topic", "camera=/nope"], "/nope"),
        (["replay", "BAG", "--topic", "sonar=/a"], "SENSOR=TOPIC"),
        (["replay", "BAG", "--scenario", "/nowhere/s.yaml"], "/nowhere/s.yaml"),
        (["replay", "BAG", "--seconds", "0"], "--seconds 0"),
        (["replay", "BAG", "--no-clean"], "--no-clean is of the faults of --scenario; give that, too"),
        (["replay", "BAG", "--node", "/a"], "--node says whose part of --params is meant; give that, too"),
        (["replay", "BAG", "--seconds", "inf"], "--seconds inf"),
        (["replay", "BAG", "--seconds", "1e300"], "--seconds 1e+300"),
        (["replay", "BAG", "--set", "model.checkpoint=/nowhere/n.safetensors"], "/nowhere/n."),
        (["replay", "BAG", "--out", "/proc/nope"], "/proc/nope"),
        (["replay", "BAG", "--labels", "/nowhere/l.jsonl"], "/nowhere/l.jsonl"),
        (["replay", "BAG", "--criteria", "/nowhere/c.yaml"], "/nowhere/c.yaml"),
        (["replay", "BAG", "--jobs", "0"], "--jobs 0"),
        (["replay", "BAG", "/other.mcap", "--labels", "l.jsonl"], "labels.jsonl beside each"),
        (["replay", "CUT"], "mcap recover"),
    ],
)
def test_error_is_one_line_and_status_2_and_nothing_is_made(
    words: list[str],
    expected: str,
    bag: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cut.mcap").write_bytes(bag.read_bytes()[:3000])
    monkeypatch.chdir(tmp_path)
    paths = {"BAG": str(bag), "CUT": "cut.mcap"}
    assert expected in failed(capsys, *[paths.get(word, word) for word in words])
    assert [path.name for path in tmp_path.iterdir()] == ["cut.mcap"]


def test_error_points_at_the_help_that_lists_what_there_is_when_an_option_is_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = failed(capsys, "world", "record", "out", "--secs", "3")
    assert line.endswith("unrecognized arguments: --secs 3; see `sentryfuse world record --help`\n")


HELP = """
import sys
from sentryfuse_core.cli import main
try: main(sys.argv[1:])
except SystemExit: pass
print("LOADED", *sorted({"torch", "scipy"} & {*sys.modules}))
"""
ACTIONS = ["world record", "world picture", "bench prune", "bench runtime", "bench world"]


@pytest.mark.parametrize("command", ["", *(command.name for command in CORE_COMMANDS), *ACTIONS])
def test_help_says_how_the_command_ends_and_is_printed_without_loading_torch(command: str) -> None:
    words = [sys.executable, "-c", HELP, *command.split(), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    shown, _, loaded = done.stdout.rpartition("LOADED")
    assert (loaded.strip(), done.stderr) == ("", "")
    assert shown.startswith(f"usage: {f'sentryfuse {command}'.strip()}")
    assert all(known.name in shown for known in CORE_COMMANDS) or command
    assert shown.count("exit status: 0") == bool(command)


def test_home_is_written_out_when_an_option_holds_it_behind_an_equals_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f" {tmp_path}/none.yaml: " in failed(capsys, "replay", "a.mcap", "--criteria=~/none.yaml")
    assert f" {tmp_path}: " in failed(capsys, "replay", "a.mcap", "--criteria=~")


def test_commands_of_other_packages_are_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others").mkdir()
    module = tmp_path / "others" / "list_all.py"
    module.write_text("from sentryfuse_core.commands.params import add_arguments, run\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["list-all", "sync"], extra=[Command("list-all", "the same elsewhere", "others")]) == 0
    assert "sync.max_wait_s" in capsys.readouterr().out


def status_unread(*words: str, extra: Sequence[Command] = ()) -> int:
    """The exit status where the reader of standard output has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        return main(words, extra=extra)


@pytest.mark.parametrize(("limit", "status"), [("coverage_min: 0.1", 0), ("map_min: 0.1", 1)])
def test_replay_ends_by_its_criteria_when_the_reader_has_left(
    limit: str, status: int, bag: Path, tmp_path: Path
) -> None:
    criteria = tmp_path / "criteria.yaml"
    criteria.write_text(limit, encoding="utf-8")
    words = ["replay", str(bag), "--out", str(tmp_path / "out"), "--criteria", str(criteria)]
    assert status_unread(*words) == status
    assert (tmp_path / "out" / "report.html").is_file()


def test_command_ends_by_what_it_found_when_the_reader_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "judges").mkdir()
    module = tmp_path / "judges" / "judge_all.py"
    module.write_text("add_arguments = id\ndef run(args):\n    print('bad')\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert status_unread("judge-all", extra=[Command("judge-all", "all is bad", "judges")]) == 1


def test_replay_writes_everything_and_says_where(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for count in (1, 2):
        printed = succeeded(capsys, "replay", str(bag))
        folder = Path(f"replay_drive_{count:03d}")
        assert str(folder / "report.html") in printed
        assert {path.name for path in folder.iterdir()} == {
            "results.mcap",
            "sets.jsonl",
            "junit.xml",
            "metrics.json",
            "manifest.json",
            "report.html",
        }
    first, second = (Path(f"replay_drive_{count:03d}", "sets.jsonl") for count in (1, 2))
    assert first.read_bytes() == second.read_bytes()
    manifest = json.loads(Path("replay_drive_001", "manifest.json").read_text())
    assert manifest["bag"]["files"]["drive.mcap"]["bytes"] == bag.stat().st_size
    metrics = json.loads(Path("replay_drive_001", "metrics.json").read_text())
    assert metrics["sensors"]["audio"]["state"] == "NEVER"
    assert "not in the recording" in printed


@pytest.mark.parametrize("group", [False, True], ids=["alone", "group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_replay_leaves_readable_results_when_signalled(
    number: signal.Signals, group: bool, tmp_path: Path
) -> None:
    long_bag = bags.write(tmp_path / "long.mcap", bags.drive([LIDAR, IMU], seconds=20.0))
    out = tmp_path / "out"
    words = ["replay", str(long_bag), "--out", str(out), "--quiet"]
    signalled.end(
        words, number, lambda: any(item.stat().st_size for item in out.glob("sets.jsonl")), group=group
    )
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["interrupted"] is True
    assert metrics["sets"] == len(list(read_results(out / "results.mcap")))
    assert (out / "report.html").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_world_record_leaves_a_readable_bag_when_signalled(number: signal.Signals, tmp_path: Path) -> None:
    part = tmp_path / ".world.part" / "world" / "world.mcap"

    def first_chunk_is_out() -> bool:
        return part.exists() and part.stat().st_size > 100_000

    signalled.end(["world", "record", "--seconds", "60", str(tmp_path)], number, first_chunk_is_out)
    with BagReader(tmp_path / "world.mcap") as reader:
        assert len(list(reader.messages())) == reader.message_count > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.jsonl", "world.mcap"]


@needs_recordings
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seconds", "used", "never"),
    [("handheld_walk", 2.0, "camera+imu+audio", "lidar"), ("city_drive", 2.0, "camera+lidar", "audio")],
)
def test_replay_covers_the_anchor_when_the_recording_is_real(
    name: str, seconds: float, used: str, never: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    succeeded(capsys, "replay", str(BAGS / name), "--out", str(out), "--seconds", str(seconds))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["coverage"]["share"] >= 0.99
    assert metrics["sensors"][never]["state"] == "NEVER"
    # The walk's IMU has axes of its own: now and then the gate goes without it.
    assert metrics["masks"][used] >= 0.75 * metrics["sets"]


@pytest.mark.skipif(RERUN is None, reason="needs rerun-sdk")
def test_results_are_opened_by_rerun(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    succeeded(capsys, "replay", str(bag), "--out", str(tmp_path / "out"), "--quiet")
    recording = tmp_path / "results.rrd"
    load = [str(RERUN), str(tmp_path / "out" / "results.mcap"), "--save", str(recording), "--port", "0"]
    subprocess.run(load, check=True, capture_output=True, timeout=300)
    shown = subprocess.run(
        [str(RERUN), "rrd", "print", str(recording)], check=True, capture_output=True, text=True, timeout=300
    ).stdout
    sets = len((tmp_path / "out" / "sets.jsonl").read_text().splitlines())
    assert f"with {sets} rows" in shown
    for topic in ("/sentryfuse/detections", "/sentryfuse/markers", "/sentryfuse/status", "/diagnostics"):
        assert topic in shown
