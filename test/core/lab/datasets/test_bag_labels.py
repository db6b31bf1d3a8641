"""Labelled recordings: sets by the real synchroniser, boxes by stamp, damage named with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bags
import numpy as np
import pytest
import torch

from sentryfuse_core.cli import main
from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import BagError, DatasetError
from sentryfuse_core.lab.datasets.bag_labels import _moments, load_bags
from sentryfuse_core.lab.datasets.vocabulary import Vocabulary
from sentryfuse_core.types import Modality, ModalitySet

BOX = {"label": "car", "x": 8.0, "y": 1.0, "z": 0.8, "length": 4.0, "width": 1.8, "height": 1.5, "yaw": 0.1}


def line(stamp_ns: int = bags.START_NS, **box: Any) -> str:
    return json.dumps({"stamp_ns": stamp_ns, "boxes": [{**BOX, **box}]})


def labelled_bag(
    folder: Path, *, sensors: tuple[Modality, ...] = tuple(Modality), seconds: float = 1.0
) -> Path:
    """A recording with one box that moves away by a metre at every lidar stamp of its first half."""
    folder.mkdir(parents=True, exist_ok=True)
    bags.write(folder / "drive.mcap", bags.drive(sensors, seconds=seconds))
    stamps = range(bags.START_NS, bags.START_NS + round(seconds * 5e8), 100_000_000)
    lines = [line(stamp, x=8.0 + index) for index, stamp in enumerate(stamps)]
    (folder / "labels.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive of the synthetic world with its labels."""
    folder = tmp_path_factory.mktemp("world")
    assert main(["world", "record", "--seed", "5", "--seconds", "0.8", str(folder)]) == 0
    return folder


def test_recording_of_the_world_becomes_frames_with_its_labels(world: Path) -> None:
    found = load_bags(world, config=Config(), topics={})
    frames = list(found.drives[0].frames())
    truth = [json.loads(text) for text in (world / "labels.jsonl").read_text().splitlines()]
    assert len(frames) in (7, 8)  # every lidar stamp, but for the first where a sensor had not come yet
    assert max(len(frame.inputs.present) for frame in frames) == 4
    last = truth[-1]["boxes"]
    expected = [[box[name] for name in list(BOX)[1:]] for box in last]
    torch.testing.assert_close(frames[-1].boxes, torch.tensor([expected]))


def test_poses_are_the_recordings_own_when_it_has_transforms(tmp_path: Path) -> None:
    """A lidar that is told to be elsewhere gives other tensors than one without a word."""
    folders = [labelled_bag(tmp_path / name, sensors=(Modality.LIDAR,)) for name in ("mute", "told")]
    moved = bags.transforms(bags.transform("lidar", "base_link", (3.0, 0.0, 1.8)))
    (folders[1] / "drive.mcap").unlink()
    bags.write(folders[1] / "drive.mcap", [moved, *bags.drive([Modality.LIDAR], seconds=1.0)])
    mute, told = (load_bags(folder, config=Config(), topics={}) for folder in folders)
    assert mute.notes == ("mute: no /tf_static or /tf in the recording: the poses are the parameters'",)
    assert told.notes == ()
    first, second = (next(iter(found.drives[0].frames())).inputs.lidar for found in (mute, told))
    assert first is not None
    assert second is not None
    assert first.shape != second.shape or not torch.equal(first, second)


def test_sets_take_the_label_of_their_stamp_and_are_left_out_without_one(tmp_path: Path) -> None:
    (drive,) = load_bags(labelled_bag(tmp_path), config=Config(), topics={}).drives
    frames = list(drive.frames())
    # Nothing is trusted yet at the first stamp, and nothing is labelled from the sixth on.
    assert [round(float(frame.boxes[0, 0, 0])) for frame in frames] == [9, 10, 11, 12]


def test_frames_raise_when_no_label_is_of_the_recordings_time(tmp_path: Path) -> None:
    folder = labelled_bag(tmp_path, sensors=(Modality.LIDAR,))
    (folder / "labels.jsonl").write_text(f"{line(bags.START_NS - 3600 * 10**9)}\n")
    (drive,) = load_bags(folder, config=Config(), topics={}).drives
    why = (
        r"none of its 1 labelled moments is as near to a set as 50 ms: they begin at -\d+ ns, the sets at \d"
    )
    with pytest.raises(DatasetError, match=why):
        list(drive.frames())


def test_recording_without_some_sensors_gives_frames_without_them(tmp_path: Path) -> None:
    folder = labelled_bag(tmp_path, sensors=(Modality.CAMERA, Modality.LIDAR))
    found = load_bags(folder, config=Config(), topics={})
    assert any("no CameraInfo" in note for note in found.notes)
    assert found.drives[0].sensors == ModalitySet.of(Modality.CAMERA, Modality.LIDAR)
    for frame in found.drives[0].frames():
        assert not frame.inputs.present & ModalitySet.of(Modality.IMU, Modality.AUDIO)


def test_every_folder_with_a_recording_is_a_drive(tmp_path: Path) -> None:
    for name in ("b", "a"):
        labelled_bag(tmp_path / name, sensors=(Modality.LIDAR,))
    assert [drive.name for drive in load_bags(tmp_path, config=Config(), topics={}).drives] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"{line()}\n{line(label='tree')}\n", r"labels\.jsonl:2: unknown class 'tree'; use car, ped"),
        (f"{line()}\n\n" + '{"stamp_ns": 1}\n', r"labels\.jsonl:3: 'boxes' is missing"),
        ("{\n", r"labels\.jsonl:1: "),
        ("[]\n", r"labels\.jsonl:1: give an object with stamp_ns"),
        (f"{line(length=-1.0)}\n", r"labels\.jsonl:1: a box of .* is none"),
        (f"{line(x=float('nan'))}\n", r"labels\.jsonl:1: a box of .* is none"),
        ("\n", "labels no moment"),
    ],
)
def test_labels_raise_with_file_and_line_when_one_is_malformed(
    tmp_path: Path, content: str, told: str
) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(content)
    with pytest.raises((BagError, DatasetError), match=told) as raised:
        _moments(path)
    assert "\n" not in str(raised.value)


def test_bags_raise_when_labels_are_absent_or_ambiguous(tmp_path: Path) -> None:
    folder = labelled_bag(tmp_path / "a", sensors=(Modality.LIDAR,))
    with pytest.raises(BagError, match="give them with --labels"):
        load_bags(folder, labels=tmp_path / "none.jsonl", config=Config(), topics={})
    labelled_bag(tmp_path / "b", sensors=(Modality.LIDAR,))
    with pytest.raises(DatasetError, match="beside 2 recordings"):
        load_bags(tmp_path, labels=folder / "labels.jsonl", config=Config(), topics={})
    (folder / "drive.mcap").write_bytes(b"nothing")
    with pytest.raises(BagError, match="File magic is invalid"):
        load_bags(folder, config=Config(), topics={})


def test_bags_ask_where_the_lidar_is_when_nobody_told(tmp_path: Path) -> None:
    folder = labelled_bag(tmp_path, sensors=(Modality.LIDAR,))
    with pytest.raises(DatasetError, match=r"give --set lidar\.translation_m"):
        load_bags(folder, topics={})
    (folder / "labels.jsonl").unlink()
    (drive,) = load_bags(folder, topics={}, need_labels=False).drives
    assert not drive.labelled
    frames = list(drive.frames())
    assert 8 <= len(frames) <= drive.length == 10
    assert all(frame.classes.shape == (1, 0) for frame in frames)


def test_a_folder_of_recordings_needs_no_folders_when_it_needs_no_labels(tmp_path: Path) -> None:
    for name in ("a.mcap", "b.mcap"):
        bags.write(tmp_path / name, bags.drive([Modality.LIDAR], seconds=0.2))
    drives = load_bags(tmp_path, topics={}, need_labels=False).drives
    assert [(drive.name, drive.labelled) for drive in drives] == [("a.mcap", False), ("b.mcap", False)]
    with pytest.raises(DatasetError, match="give each a folder"):
        load_bags(tmp_path, topics={})


def faint(messages: list[bags.Message]) -> list[bags.Message]:
    """The same clouds with intensities up to 1."""
    for message in messages:
        points = np.frombuffer(message.fields["data"], np.float32).reshape(-1, 4).copy()
        points[:, 3] /= 255.0
        message.fields["data"] = points.tobytes()
    return messages


def test_bags_ask_for_the_full_scale_when_intensities_are_of_another(tmp_path: Path) -> None:
    folder = labelled_bag(tmp_path, sensors=(Modality.LIDAR,))
    placed = bags.transforms(bags.transform("lidar", "base_link", (0.0, 0.0, 1.8)))
    (folder / "drive.mcap").unlink()
    bags.write(folder / "drive.mcap", [placed, *faint(bags.drive([Modality.LIDAR], seconds=1.0))])
    with pytest.raises(
        DatasetError, match=r"intensities up to (1|0\.9).*give --set lidar\.intensity_full_scale"
    ):
        load_bags(folder, topics={})


CAMERA_INFO = {"header": bags.header(bags.START_NS, "camera"), "width": 64, "height": 48}


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (faint(bags.drive([Modality.LIDAR], seconds=0.5)), "lidar.intensity_full_scale is 255"),
        (bags.drive([Modality.CAMERA], seconds=0.5), "the intrinsics hold for 1242 x 375"),
        (
            [
                bags.Message("/camera/camera_info", "sensor_msgs/msg/CameraInfo", bags.START_NS, CAMERA_INFO),
                *bags.drive([Modality.CAMERA], seconds=0.5),
            ],
            "CameraInfo not used",
        ),
    ],
    ids=["intensities", "intrinsics", "CameraInfo of zeros"],
)
def test_bags_say_as_a_replay_does_when_data_does_not_fit_the_parameters(
    messages: list[bags.Message], told: str, tmp_path: Path
) -> None:
    bag = bags.write(tmp_path / "drive.mcap", messages)
    config = override(Config(), {"camera.image_width": 1242, "camera.image_height": 375})
    notes = load_bags(bag, config=config, topics={}, need_labels=False).notes
    assert len([note for note in notes if told in note]) == 1


def test_labels_take_the_classes_of_a_map(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(
        line(label="bicycle") + "\n" + line(2, label="tree") + "\n" + line(3, label="cart") + "\n"
    )
    named = {"bicycle": "cyclist", "tree": "none"}
    moments = _moments(path, Vocabulary(("cyclist", "cart"), named))
    assert [[box.label for box in boxes] for boxes in moments.values()] == [["cyclist"], [], ["cart"]]
