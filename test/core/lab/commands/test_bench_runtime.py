"""`sentryfuse bench runtime`: a whole trial on small weights, and one line for what cannot be measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bags
import pytest
import torch
from networks import network

from sentryfuse_core.cli import main
from sentryfuse_core.lab.bench.runtime import context, measure, memory, processes
from sentryfuse_core.lab.bench.runtime.plot import front
from sentryfuse_core.model.checkpoint import save_checkpoint
from sentryfuse_core.types import Modality, ModalitySet

MASKS = (ModalitySet(), *ModalitySet.subsets())
LEVELS = (0, 1)


def weights(folder: Path) -> Path:
    """Two levels and an evaluation that knows how good each sub-network is."""
    rows = [
        {"mask": mask.bits, "level": level, "map": 0.05 * mask.bits} for mask in MASKS for level in LEVELS
    ]
    facts = {"labels": ["car", "pedestrian", "cyclist"], "evaluation": {"rows": rows}}
    save_checkpoint(folder / "small.safetensors", network(), facts)
    return folder / "small.safetensors"


def trial(folder: Path) -> Path:
    """Where a quick run on the small weights wrote to."""
    out, small = folder / "out", weights(folder)
    words = f"bench runtime --quick --threads 1 --backends eager --checkpoint {small} --out {out}"
    assert main(words.split()) == 0
    return out


def checked(out: Path, printed: str) -> dict[str, Any]:
    """What the command wrote, its shape and the exact properties seen to."""
    assert (out / "runtime_front.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((out / "runtime.json").read_text())
    raw = content["raw"]
    timed = {(arm["name"], arm["mask"], arm["level"]) for arm in raw["latency"]["arms"]}
    masks = [mask.bits for mask in ModalitySet.subsets()]
    assert {("eager", mask, level) for mask in masks for level in LEVELS} <= timed
    assert {("dense", mask, 0) for mask in masks} <= timed
    assert all(0 < arm["ms"]["p50"] <= arm["ms"]["p99"] for arm in raw["latency"]["arms"])

    # The constants that parts keep are as large as the weights of so small a network, and no more.
    assert raw["bank"]["held_bytes"] <= 2.0 * raw["bank"]["one_model_bytes"]
    assert raw["switch"]["identical"] == {"same": 30, "of": 30}
    assert (raw["pace"]["lost"], raw["pace"]["grouped_lost"]) == (0, 0)
    assert raw["pace"]["switch_us"]["p99"] > 0
    energy = raw["energy"]
    assert energy["mj"] or "no counter here" in energy["lacks"]
    assert all(spent > 0 for spent in (*energy["mj"].values(), *energy["cpu_ms"].values()))
    assert {"eager 0", "eager 1"} < energy["cpu_ms"].keys()

    rows = {row["what"]: row for row in content["rows"]}
    assert len(rows) == len(content["rows"])  # no two of one name
    judged = [row for row in rows.values() if row["target"] is not None]
    assert len(judged) == 22
    assert all(row["met"] is not None for row in judged)
    assert all(what in printed for what in rows)
    return raw


@pytest.fixture
def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes processes of its own, and with them most of the time, is made up; and little is repeated."""

    def recorded(folder: Path, *, seconds: float, **_: object) -> Path:
        folder.mkdir()
        return bags.write(folder / "world.mcap", bags.drive(Modality, seconds=seconds))

    speed = {
        "played_s": 1.0,
        "run_s": 0.5,
        "process_s": 2.0,
        "run_speed": 2.0,
        "process_speed": 0.5,
        "sets": 9,
    }
    monkeypatch.setattr(measure, "record", recorded)
    monkeypatch.setattr(memory, "process_memory", lambda *_, **__: {"libraries_mb": 1.0, "peak_mb": 2.0})
    monkeypatch.setattr(processes, "replay_speed", lambda *_args, **_options: speed)
    monkeypatch.setattr(
        context,
        "QUICK",
        {"rounds": 2, "visits": 5, "switches": 40, "seconds": 1.0, "starts": 0, "block_s": 0.02, "paced": 2},
    )


@pytest.mark.usefixtures("without_processes")
def test_trial_measures_and_judges_when_weights_are_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = os.sched_getaffinity(0), torch.get_num_threads()
    out = trial(tmp_path)
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == before
    raw = checked(out, capsys.readouterr().out)
    assert raw["start"] == {"starts": [], "lacks": "not asked for"}


@pytest.mark.bench
def test_trial_measures_whole_processes_too_when_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = trial(tmp_path)
    raw = checked(out, capsys.readouterr().out)
    assert [(row["level"], row["bags"]) for row in raw["replay"]] == [(0, 1), (1, 1), (0, 2)]
    assert raw["start"]["starts"] or raw["start"]["lacks"]
    assert all(row["peak_mb"] > row["libraries_mb"] > 0 for row in raw["memory"]["processes"])


def test_command_says_so_in_one_line_when_it_cannot_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in (
        ("--threads 4096", "--threads 4096: this process may use"),
        ("--backends eager,quantum", "--backends quantum: there is no such backend"),
        ("--checkpoint nowhere.safetensors", "no weights at nowhere.safetensors"),
        ("--device tpu", "--device tpu cannot be used"),
    ):
        assert main(["bench", "runtime", "--out", str(tmp_path), *words.split()]) == 2
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 1
        assert told in errors[0]


PINNED = """
import argparse, os, sys
from sentryfuse_core.lab.commands import bench_runtime
bench_runtime._backends = lambda args: ()
def measured(args, backends):
    print(len(os.sched_getaffinity(0)), "torch" in sys.modules)
    raise SystemExit
bench_runtime._measured = measured
parser = argparse.ArgumentParser()
bench_runtime.add_arguments(parser)
bench_runtime.measure_and_write(parser.parse_args(["--threads", "1"]), None, None)
"""


def test_processors_are_chosen_before_torch_makes_its_threads() -> None:
    done = subprocess.run([sys.executable, "-c", PINNED], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["1", "False"], "")


def test_front_keeps_what_no_other_beats_when_drawn() -> None:
    assert front([(3.0, 50.0), (1.0, 20.0), (2.0, 60.0), (2.0, 10.0), (5.0, 60.0)]) == [
        (1.0, 20.0),
        (2.0, 60.0),
    ]
    assert front([]) == []
