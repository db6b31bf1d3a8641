"""`sentryfuse train --data FOLDER`: every layout from tree to weights, and one line for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import driving_trees as trees
import pytest
import torch
from networks import TINY, gated_checkpoint, model_input, network

from sentryfuse_core.cli import main
from sentryfuse_core.lab.commands.train_driving import _validating, _weighed
from sentryfuse_core.lab.datasets.driving import Drive, DrivingSet, LabelledFrame
from sentryfuse_core.lab.datasets.nuscenes_tables import AROUND
from sentryfuse_core.lab.training.driving_source import DrivingData
from sentryfuse_core.lab.training.frame_table import FrameTable, tables_of
from sentryfuse_core.model.checkpoint import load_checkpoint, save_checkpoint
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import Modality, ModalitySet

LABELS = {"labels": ["car", "pedestrian", "cyclist"]}
SEEN = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)


def world(root: Path) -> Path:
    assert main(["world", "record", "--seed", "5", "--seconds", "0.8", str(root)]) == 0
    return root


def object_with_far_boxes(root: Path) -> Path:
    return trees.kitti_object(root, label=trees.CAR.replace("10.00", "60.00"))


TREES: dict[str, Callable[[Path], Path]] = {
    "kitti-object": trees.kitti_object,
    "kitti-raw": trees.kitti_raw,
    "nuscenes": trees.nuscenes,
    "bag": world,
}


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Weights of a small network to start from."""
    path = tmp_path / "start.safetensors"
    save_checkpoint(path, network(4), LABELS)
    return path


def train(out: Path, data: Path, start: Path, *options: str) -> int:
    return main(["train", str(out), "--data", str(data), "--init", str(start), "--batch", "8", *options])


@pytest.mark.parametrize("layout", TREES)
def test_train_writes_weights_of_the_layout_it_found(
    tmp_path: Path, start: Path, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.safetensors"
    assert train(out, TREES[layout](tmp_path / "tree"), start, "--steps", "3") == 0
    checkpoint = load_checkpoint(out)
    manifest = checkpoint.manifest
    assert checkpoint.shape == TINY
    assert manifest["steps"] == 3
    assert manifest["data"]["layout"] == layout
    assert manifest["init"].startswith("start ")
    assert "world_sha256" not in manifest
    assert str(tmp_path) not in json.dumps(manifest)
    before = load_checkpoint(start).tensors
    assert any(not torch.equal(item, before[name]) for name, item in checkpoint.tensors.items())
    recall, prior = Bank(checkpoint).recall(SEEN, 0)
    assert 0.0 <= recall <= 1.0
    assert 0.0 <= prior <= 1.0
    told = capsys.readouterr().out
    assert "gate" not in manifest
    assert "note: widths are uniform" in told
    assert f"{layout}: 1 drives" in told
    assert "camera+lidar" in told


def test_train_learns_from_every_side_of_a_moment_when_it_is_asked_to(
    tmp_path: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.safetensors"
    tree = trees.nuscenes(tmp_path / "tree", scenes=2, frames=2, cameras=AROUND, sides=4)
    assert train(out, tree, start, "--around", "--steps", "2") == 0
    manifest = load_checkpoint(out).manifest
    assert manifest["steps"] == 2
    assert manifest["data"]["frames"] == {"train": {"camera+lidar+imu": 8}, "val": {"camera+lidar+imu": 8}}
    assert "--data tree --around" in manifest["command"]
    told = capsys.readouterr().out
    assert (
        "train      8 frames with camera+lidar+imu; boxes in the region: 16 car, 0 pedestrian, 16 cyclist"
        in told
    )
    assert train(out, tree, start, "--steps", "3", "--resume") == 2
    assert "cannot resume: the state in" in capsys.readouterr().err


def test_train_reads_nothing_again_when_it_resumes(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, tree = tmp_path / "mine.safetensors", trees.kitti_object(tmp_path / "tree")
    assert train(out, tree, start, "--steps", "2") == 0
    monkeypatch.setattr("sentryfuse_core.lab.datasets.kitti_object.MomentReader", None)
    assert train(out, tree, start, "--steps", "4", "--resume") == 0
    assert load_checkpoint(out).manifest["steps"] == 4


def test_train_says_before_it_reads_a_frame_when_there_is_nothing_to_resume(
    tmp_path: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "mine.safetensors", tmp_path / "unread", start, "--resume") == 2
    assert "cannot resume: no state in" in capsys.readouterr().err


def test_train_refuses_to_go_on_with_other_frames_and_keeps_the_state(
    tmp_path: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.safetensors"
    assert train(out, trees.kitti_object(tmp_path / "tree"), start, "--steps", "2") == 0
    state = (tmp_path / "mine" / "state.safetensors").read_bytes()
    other = trees.kitti_object(tmp_path / "other", frames=5)
    assert train(out, other, start, "--steps", "4", "--resume") == 2
    assert "this run of" in capsys.readouterr().err
    assert train(out, tmp_path / "tree", start, "--steps", "4", "--resume", "--lidar-height", "1.6") == 2
    assert "is of frames_sha256" in capsys.readouterr().err
    assert train(out, tmp_path / "nowhere", start, "--steps", "4") == 2
    assert (tmp_path / "mine" / "state.safetensors").read_bytes() == state


@pytest.mark.parametrize(
    ("make", "options", "told"),
    [
        (None, [], "no folder or recording at"),
        (lambda root: root.mkdir(), [], "has no known layout: looked for training/label_2 (kitti-object)"),
        (trees.kitti_object, ["--format", "nuscenes"], "no v1.0-*/sample_data.json"),
        (trees.kitti_object, ["--labels", "x.jsonl"], "--labels is of recordings"),
        (trees.kitti_object, ["--set", "sync.slop_s=0.01"], "--set is of recordings"),
        (trees.kitti_object, ["--backbone", "trunk"], "--backbone is of a classifier's training"),
        (trees.kitti_object, ["--topic", "lidar=/x"], "--topic is of recordings"),
        (trees.kitti_object, ["--around"], "(kitti-object) is labelled in one view alone; leave it out"),
        (trees.kitti_object, ["--init", "nowhere.safetensors"], "no weights at nowhere.safetensors"),
        (object_with_far_boxes, [], "no frame of train"),
        (world, ["--topic", "lidar=/nothing"], "no topic '/nothing'"),
        (world, ["--labels", "nowhere.jsonl"], "cannot read the labels nowhere.jsonl"),
    ],
)
def test_train_exits_with_2_and_one_line_when_data_or_options_are_wrong(
    tmp_path: Path,
    start: Path,
    make: Callable[[Path], Path] | None,
    options: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tree, out = tmp_path / "tree", tmp_path / "mine.safetensors"
    if make is not None:
        make(tree)
    capsys.readouterr()
    assert train(out, tree, start, "--steps", "3", *options) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.strip().count("\n") == 0
    assert not out.exists()


def test_train_learns_classes_of_its_own_from_several_sets(
    tmp_path: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, first = tmp_path / "mine.safetensors", trees.kitti_object(tmp_path / "first")
    second = trees.kitti_raw(tmp_path / "second")
    options = ["--data", str(second), "--classes", "lorry,car", "--map", "Truck=lorry", "--steps", "2"]
    assert train(out, first, start, *options) == 0
    checkpoint = load_checkpoint(out)
    manifest = checkpoint.manifest
    assert manifest["labels"] == ["lorry", "car"]
    assert checkpoint.shape.classes == 2
    assert manifest["data"]["layout"] == "kitti-object+kitti-raw"
    assert "--data second --map Truck=lorry --classes lorry,car" in manifest["command"]
    assert Bank(checkpoint).labels == ("lorry", "car")
    told = capsys.readouterr().out
    assert "random at first: " in told
    assert "2 lorry, 2 car" in told


def test_train_makes_frames_again_when_the_weights_it_starts_from_number_classes_otherwise(
    tmp_path: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, other = trees.kitti_object(tmp_path / "tree"), tmp_path / "other.safetensors"
    save_checkpoint(other, network(4), {"labels": ["pedestrian", "cyclist", "car"]})
    cached = ["--cache", str(tmp_path / "cache"), "--steps", "1"]
    assert train(tmp_path / "one.safetensors", tree, start, *cached) == 0
    assert "region: 2 car, 0 pedestrian, 0 cyclist" in capsys.readouterr().out
    assert train(tmp_path / "two.safetensors", tree, other, *cached) == 0
    assert "region: 0 pedestrian, 0 cyclist, 2 car" in capsys.readouterr().out


def test_train_keeps_the_gate_of_the_weights_it_starts_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gated, out = gated_checkpoint(tmp_path), tmp_path / "mine.safetensors"
    assert train(out, trees.kitti_object(tmp_path / "tree"), gated.path, "--steps", "2") == 0
    gate = load_checkpoint(out).manifest["gate"]
    assert gate["measured_on"] == gated.identity
    assert {**gate, "measured_on": None} == {**gated.manifest["gate"], "measured_on": None}
    assert "note: the gate is that of small " in capsys.readouterr().out


def test_gate_is_measured_on_no_frame_that_was_learned_from_when_fewer_are_there_than_may_be() -> None:
    lidar = ModalitySet.of(Modality.LIDAR)
    drive = Drive(
        "drive", "", [], 20, lambda: iter(())
    )  # at most: recordings have sets less than lidar clouds

    def table(numbers: range) -> FrameTable:
        return FrameTable(lidar, {"classes": torch.tensor(numbers)[:, None]})

    cut = DrivingData([table(range(8))], [table(range(8, 10))], ("drive",), ("drive",))
    assert _validating(drive, cut)[0] == 8
    whole = DrivingData([table(range(8))], [table(range(10))], ("other",), ("drive",))
    assert _validating(drive, whole)[0] == 0


@pytest.mark.parametrize(("count", "measured"), [(94, 0), (96, 48), (120, 48)])
def test_gate_is_measured_on_no_frame_that_is_judged_when_val_is_short(count: int, measured: int) -> None:
    inputs = model_input(batch=1)

    def frames() -> Iterator[LabelledFrame]:
        for number in range(count):
            boxes = torch.tensor([[[float(number), 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]]])
            yield LabelledFrame(inputs, boxes, torch.zeros(1, 1, dtype=torch.int64))

    drive = Drive("drive", "val", [], count, frames)
    (table,) = tables_of(frames())
    data = DrivingData([], [table], ("other",), ("drive",))
    weighed = _weighed(DrivingSet("bag", Path(), (drive,)), data)
    seen = [] if weighed is None else [int(batch.boxes[0, 0, 0]) for batch in weighed]
    judged = {int(x) for batch in data.batches(1, most=count, batch=16) for x in batch.boxes[:, 0, 0]}
    assert len(seen) == measured
    assert not judged.intersection(seen)
