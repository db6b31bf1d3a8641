"""`sentryfuse eval --data`: real layouts from tree to table, picture and drawings; wrong options named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import bags
import driving_trees as trees
import pytest
import torch
from networks import gated_checkpoint, labelled

from sentryfuse_core.cli import main
from sentryfuse_core.lab.commands.eval_data import DataTask, sensors_of, study_data
from sentryfuse_core.lab.datasets.driving import Box, Drive, DrivingSet, LabelledFrame
from sentryfuse_core.lab.datasets.driving import labelled as framed
from sentryfuse_core.lab.datasets.layouts import open_driving
from sentryfuse_core.lab.datasets.nuscenes_tables import AROUND
from sentryfuse_core.types import Modality, ModalitySet


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A small network with a gate."""
    return gated_checkpoint(tmp_path).path


CAR = Box("car", 10.0, 1.0, 0.8, 4.0, 1.8, 1.5, 0.0)


def of_frames(*frames: LabelledFrame) -> DrivingSet:
    """A recording of these."""
    return DrivingSet("bag", Path("nowhere"), (Drive("one", "", [], len(frames), lambda: iter(frames)),))


def evaluate(weights: Path, data: Path, *options: str) -> int:
    return main(["eval", "--data", str(data), "--weights", str(weights), *options])


def test_eval_scores_a_drive_with_references_faults_and_policies(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--corrupt", "--policies", "--draws", "2", "--only-frames", "1-2", "--out", str(out)]
    options += ["--lidar-height", "1.7"]
    assert (
        evaluate(weights, trees.kitti_raw(tmp_path / "tree"), *options, "--draw", str(tmp_path / "seen")) == 0
    )
    text = (out / "eval_data.json").read_text(encoding="utf-8")
    content = json.loads(text)
    raw = content["raw"]
    assert raw["frames"] == 2
    assert raw["boxes"] == {"car": 2}
    names = {(cell["what"], cell["level"]) for cell in raw["cells"]}
    assert {("camera", 0), ("camera+lidar+imu", 0), ("clustering lidar", 0), ("oracle lidar", 0)} <= names
    assert not any("audio" in name for name, _ in names)
    assert {row["what"] for row in raw["told"]} >= {"lidar", "camera+lidar+imu"}
    kinds = {(row["sensor"], row["fault"]) for row in raw["faults"]}
    assert {("camera", "freeze"), ("lidar", "blocked"), ("imu", "stuck")} <= kinds
    assert not any(sensor == "audio" for sensor, _ in kinds)
    assert {row["policy"] for row in raw["policies"]} >= {"uniform", "oracle"}
    assert "--lidar-height 1.7 --only-frames 1-2" in content["command"]
    assert str(tmp_path) not in text
    assert (out / "eval_data.png").stat().st_size > 10_000
    assert [path.name for path in sorted((tmp_path / "seen").iterdir())] == [
        "frame_000000.png",
        "frame_000001.png",
    ]
    assert "boxes a frame at the published threshold, 2 frames" in capsys.readouterr().out


def test_eval_scores_and_draws_every_side_when_it_is_asked_to(weights: Path, tmp_path: Path) -> None:
    tree = trees.nuscenes(tmp_path / "tree", frames=2, cameras=AROUND, sides=4)
    seen, out = tmp_path / "seen", tmp_path / "out"
    options = ["--around", "--only-frames", "1-1", "--draw", str(seen), "--drawings", "1", "--out", str(out)]
    assert evaluate(weights, tree, *options, "--masks", "camera+lidar+imu", "--draws", "2") == 0
    content = json.loads((out / "eval_data.json").read_text(encoding="utf-8"))
    assert content["raw"]["frames"] == 4
    assert content["raw"]["boxes"] == {"car": 8, "cyclist": 8}  # the next side's, too, where regions overlap
    assert "--only-frames 1-1 --around" in content["command"]
    assert [path.name for path in seen.iterdir()] == ["frame_000000.png"]


def test_eval_counts_and_draws_when_a_recording_has_no_labels(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = bags.write(tmp_path / "drive.mcap", bags.drive([Modality.LIDAR], seconds=0.5))
    options = ["--draw", str(tmp_path / "seen"), "--drawings", "2", "--out", str(tmp_path / "out")]
    assert evaluate(weights, bag, *options) == 0
    raw = json.loads((tmp_path / "out" / "eval_data.json").read_text(encoding="utf-8"))["raw"]
    assert raw["frames"] >= 3
    assert [row["what"] for row in raw["told"]] == ["lidar"]
    assert raw["cells"] == []
    assert len(list((tmp_path / "seen").iterdir())) == 2
    assert "mAP" not in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--corrupt", "--policies"])
def test_eval_refuses_to_compare_when_a_recording_has_no_labels(
    weights: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = bags.write(tmp_path / "drive.mcap", bags.drive([Modality.LIDAR], seconds=0.5))
    assert evaluate(weights, bag, option) == 2
    assert f"{option} needs labels, and drive.mcap has none" in capsys.readouterr().err


def test_eval_scores_with_the_camera_when_it_comes_after_the_first_second() -> None:
    inputs = labelled(batch=1).inputs
    blind = framed(inputs.only(ModalitySet.of(Modality.LIDAR)), [CAR])
    late = of_frames(*[blind] * 12, framed(inputs, [CAR]))
    assert sensors_of(late) == ModalitySet.all()
    assert sensors_of(late, (0, 11)) == ModalitySet.of(Modality.LIDAR)


@pytest.mark.parametrize("layout", [trees.kitti_object, trees.kitti_raw, trees.nuscenes])
def test_drive_tells_the_sensors_of_its_frames_when_it_is_opened(
    tmp_path: Path, layout: Callable[[Path], Path]
) -> None:
    for drive in open_driving(layout(tmp_path)).drives:
        assert drive.sensors == next(iter(drive.frames())).inputs.present


def test_clustering_goes_on_when_frames_lack_lidar_or_imu(tmp_path: Path) -> None:
    inputs, points = labelled(batch=1).inputs, torch.rand(1, 50, 4) + torch.tensor([9.5, 0.5, 0.5, 0.0])
    lidar, camera = (ModalitySet.of(one) for one in (Modality.LIDAR, Modality.CAMERA))
    frames = (
        framed(inputs, [CAR], points=points),
        framed(inputs.only(lidar), [CAR], points=points),
        framed(inputs.only(camera), [CAR]),
    )
    study = study_data(of_frames(*frames), gated_checkpoint(tmp_path), DataTask(masks=[lidar]))
    for name in ("clustering lidar", "clustering lidar+imu"):
        assert [len(found) for found in study.frames.boxes[name, 0]] == [1, 1, 0]


def test_policies_count_only_classes_of_the_frames_that_are_compared(tmp_path: Path) -> None:
    inputs = labelled(batch=1).inputs
    walker = Box("pedestrian", 8.0, 0.0, 0.8, 0.6, 0.6, 1.7, 0.0)
    whole, blind = framed(inputs, [CAR]), framed(inputs.only(ModalitySet.of(Modality.LIDAR)), [walker])
    task = DataTask(masks=[ModalitySet.all()], references=False, policies=True, draws=1)
    study = study_data(of_frames(whole, whole, blind), gated_checkpoint(tmp_path), task)
    assert study.scores is not None
    assert study.scores.labels == ("car", "pedestrian")
    assert study.policies is not None
    assert {one.matches.truth_count.shape for one in study.policies.outcomes} == {(2, 1)}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--masks", "audio"], "--masks audio: the data has camera+lidar"),
        (["--only-frames", "3"], "--only-frames '3': give the first and the last"),
        (["--only-frames", "90-95"], "no frame of"),
        (["--policies", "--masks", "lidar"], "--masks is not for --policies, which runs all sets and levels"),
        (["--policies", "--levels", "0,1"], "--levels is not for --policies"),
        (["--tracks"], "--tracks is of the synthetic world"),
        (["--seconds", "20"], "--seconds is of the synthetic world"),
        (["--world", "v2"], "--world is of the synthetic world"),
        (["--world", "v3"], "--world is of the synthetic world"),
        (["--frames", "0"], "--frames is of the synthetic world"),
        (["--device", "cuda"], "--device cuda is of the synthetic world"),
        (["--drawings", "3"], "--drawings is of --draw; give that, too"),
        (["--node", "/a"], "--node is of recordings"),
        (["--map", "Truck=lorry"], "--map 'Truck=lorry': give NAME=CLASS with one of car"),
        (["--topic", "lidar=/x"], "--topic is of recordings"),
        (["--around"], "(kitti-object) is labelled in one view alone; leave it out"),
        (["--lidar-height", "nan"], "--lidar-height nan: give a number"),
    ],
)
def test_eval_exits_with_2_and_one_line_when_options_do_not_fit_the_data(
    weights: Path, tmp_path: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(weights, trees.kitti_object(tmp_path / "tree"), *options) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert told in error[-1]


def test_eval_refuses_options_of_data_when_there_is_none(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "--weights", str(weights), "--corrupt"]) == 2
    assert "--corrupt is of real data; give --data PATH with it" in capsys.readouterr().err
    assert main(["eval", "--weights", str(weights), "--around"]) == 2
    assert "--around is of real data; give --data PATH with it" in capsys.readouterr().err
