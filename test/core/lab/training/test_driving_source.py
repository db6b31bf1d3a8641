"""Batches from driving sets: the same sensors in a batch, honest splits, a cache that mends itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from networks import labelled as random_batch

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import Drive, DrivingSet, LabelledFrame
from sentryfuse_core.lab.datasets.layouts import merged
from sentryfuse_core.lab.datasets.view import EVERYWHERE, View
from sentryfuse_core.lab.training.driving_source import DrivingSource, load_data
from sentryfuse_core.lab.training.frame_cache import FrameCache
from sentryfuse_core.lab.training.frame_table import FrameTable, joined, tables_of
from sentryfuse_core.lab.training.mirror import mirror
from sentryfuse_core.lab.training.targets import UNSURE, cells_of
from sentryfuse_core.types import Modality, ModalitySet

NO_IMU = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)
SEEN = NO_IMU | ModalitySet.of(Modality.IMU)


def frame(number: int, *, sensors: ModalitySet = NO_IMU, x: float | None = None) -> LabelledFrame:
    """A frame with `number` in its boxes' place, one box in even ones and two in odd ones."""
    batch = random_batch(number, batch=1)
    boxes = batch.boxes[:, : 1 + number % 2].clone()
    boxes[..., 0] = float(number) if x is None else x
    classes = torch.zeros(boxes.shape[:2], dtype=torch.int64)
    return LabelledFrame(batch.inputs.only(sensors), boxes, classes)


def drive(folder: Path, name: str, frames: list[LabelledFrame], *, split: str = "") -> Drive:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(name)
    return Drive(name, split, [folder / name], len(frames), lambda: iter(frames))


def found(folder: Path, *drives: Drive) -> DrivingSet:
    return DrivingSet("bag", folder, drives)


def places(tables: list[FrameTable]) -> list[float]:
    return sorted(value for table in tables for value in table.columns["boxes"][:, 0, 0].tolist())


def test_batch_has_one_set_of_sensors_when_frames_have_several() -> None:
    frames = [frame(index, sensors=SEEN if index % 2 else NO_IMU) for index in range(10)]
    source = DrivingSource(tables_of(frames), batch=4, seed=1)
    batches = [source(step) for step in range(20)]
    assert {batch.inputs.present for batch in batches} == {SEEN, NO_IMU}
    for batch in batches:
        assert batch.boxes.shape == (4, 2 if batch.inputs.present == SEEN else 1, 7)
        assert (batch.inputs.tilt is None) == (batch.inputs.imu is None)


def test_batch_is_the_same_when_seed_and_step_are() -> None:
    tables = tables_of(frame(index) for index in range(6))
    one, again, other = (DrivingSource(tables, batch=4, seed=seed)(7) for seed in (1, 1, 2))
    assert torch.equal(one.boxes, again.boxes)
    assert not torch.equal(one.boxes, other.boxes)


def test_frames_come_back_as_they_were_within_their_precision() -> None:
    frames = [frame(index, sensors=SEEN) for index in range(3)]
    (table,) = tables_of(frames)
    batch = table.rows(torch.arange(3))
    for row, item in enumerate(frames):
        assert item.inputs.camera is not None
        assert batch.inputs.camera is not None
        torch.testing.assert_close(batch.inputs.camera[row], item.inputs.camera[0], atol=0.51 / 255, rtol=0)
        count = item.classes.shape[1]
        assert torch.equal(batch.boxes[row, :count], item.boxes[0])
        assert batch.classes[row].tolist() == [0] * count + [-1] * (2 - count)


def test_joined_pads_boxes_when_drives_have_different_numbers() -> None:
    (table,) = joined([*tables_of([frame(0)]), *tables_of([frame(1)])])
    assert table.columns["classes"].tolist() == [[0, -1], [0, 0]]


def test_mirror_exchanges_left_and_right_of_every_sensor_in_the_chosen_rows() -> None:
    batch = random_batch(3, batch=4)
    chosen = torch.tensor([True, False, True, False])
    given, turned = batch.inputs, mirror(batch, chosen)
    expected = {
        "camera": given.camera.flip(3),
        "camera_position": given.camera_position * torch.tensor([1.0, -1.0, 1.0]),
        "lidar": given.lidar.flip(3),
        "imu": given.imu * torch.tensor([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0]),
        "tilt": given.tilt * torch.tensor([-1.0, 1.0]),
        "audio": given.audio.flip(1),
    }
    for name, whole in expected.items():
        made = getattr(turned.inputs, name)
        assert torch.equal(made[chosen], whole[chosen])
        assert torch.equal(made[~chosen], getattr(given, name)[~chosen])
    boxes = batch.boxes * torch.tensor([1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0])
    assert torch.equal(turned.boxes[chosen], boxes[chosen])
    assert torch.equal(turned.boxes[~chosen], batch.boxes[~chosen])


def test_split_is_the_sets_own_when_it_has_one(tmp_path: Path) -> None:
    first = drive(tmp_path, "a", [frame(0), frame(1)], split="val")
    second = drive(tmp_path, "b", [frame(2)], split="train")
    data = load_data(found(tmp_path, first, second), FrameCache(tmp_path / "cache"))
    assert (data.train_drives, data.val_drives) == (("b",), ("a",))


def test_split_takes_whole_drives_and_the_same_ones_every_time(tmp_path: Path) -> None:
    drives = [drive(tmp_path, f"d{index}", [frame(2 * index), frame(2 * index + 1)]) for index in range(6)]
    data = load_data(found(tmp_path, *drives), FrameCache(tmp_path / "cache"))
    again = load_data(found(tmp_path, *reversed(drives)), FrameCache(tmp_path / "cache"))
    assert len(data.val_drives) == 1
    assert data.val_drives == again.val_drives
    assert not set(data.val_drives) & set(data.train_drives)
    assert places(data.train + data.val) == [float(index) for index in range(12)]


def test_split_cuts_the_end_off_when_there_is_one_drive(tmp_path: Path) -> None:
    only = drive(tmp_path, "a", [frame(index) for index in range(20)])
    data = load_data(found(tmp_path, only), FrameCache(tmp_path / "cache"))
    assert places(data.val) == [16.0, 17.0, 18.0, 19.0]
    calibrating, judged = (list(data.batches(part, most=9, batch=2)) for part in (0, 1))
    assert torch.cat([batch.boxes[:, 0, 0] for batch in calibrating]).tolist() == [16.0, 17.0]
    assert torch.cat([batch.boxes[:, 0, 0] for batch in judged]).tolist() == [18.0, 19.0]


@pytest.mark.parametrize("blind", [(), (1, 3)])  # sides that have no camera
def test_moments_stay_whole_when_a_drive_is_cut_and_calibration_is_parted_from_judging(
    tmp_path: Path, blind: tuple[int, ...]
) -> None:
    moments = 14
    frames = [
        frame(side, x=float(moment), sensors=ModalitySet.of(Modality.LIDAR) if side in blind else NO_IMU)
        for moment in range(moments)
        for side in range(4)
    ]
    only = replace(drive(tmp_path, "a", frames), sides=4)
    data = load_data(found(tmp_path, only), FrameCache(tmp_path / "cache"))
    assert places(data.val) == [float(moment) for moment in (11, 12, 13) for _ in range(4)]
    parts = [list(data.batches(part, most=99, batch=1)) for part in (0, 1)]
    calibrating, judged = ({float(batch.boxes[0, 0, 0]) for batch in part} for part in parts)
    assert calibrating
    assert judged
    assert not calibrating & judged


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ([], "split train .* has 0 moments"),
        ([frame(0), frame(1)], "split train .* has 0 moments"),
        ([frame(index, x=60.0) for index in range(5)], "no frame of train .* has a box"),
    ],
)
def test_load_raises_when_a_split_is_empty(tmp_path: Path, frames: list[LabelledFrame], told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        load_data(found(tmp_path, drive(tmp_path, "a", frames)), FrameCache(tmp_path / "cache"))


class Counted:
    """A drive that counts how often its frames are made."""

    def __init__(self, folder: Path) -> None:
        self.times = 0
        self.drive = replace(drive(folder, "a", [frame(index) for index in range(3)]), frames=self.frames)

    def frames(self) -> Iterator[LabelledFrame]:
        self.times += 1
        return (frame(index) for index in range(3))


def test_cache_makes_frames_once_and_again_when_a_file_or_option_changed(tmp_path: Path) -> None:
    counted = Counted(tmp_path)
    first = FrameCache(tmp_path / "cache").get(counted.drive)
    kept = FrameCache(tmp_path / "cache").get(counted.drive)
    assert counted.times == 1
    for name, item in first[0].columns.items():
        assert torch.equal(item, kept[0].columns[name])
    FrameCache(tmp_path / "cache", options="other").get(counted.drive)
    assert counted.times == 2
    (tmp_path / "a").write_text("longer than before")
    FrameCache(tmp_path / "cache").get(counted.drive)
    assert counted.times == 3


@pytest.mark.parametrize("damage", ["truncated", "bit", "empty", "no safetensors"])
def test_cache_makes_frames_again_when_what_was_kept_is_damaged(tmp_path: Path, damage: str) -> None:
    counted, cache = Counted(tmp_path), FrameCache(tmp_path / "cache")
    before = cache.get(counted.drive)
    path = cache.path(counted.drive)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    changed = {"truncated": data[:-7], "bit": data, "empty": b"", "no safetensors": b"nothing at all"}
    path.write_bytes(changed[damage])
    after = cache.get(counted.drive)
    assert counted.times == 2
    assert torch.equal(before[0].columns["camera"], after[0].columns["camera"])
    cache.get(counted.drive)
    assert counted.times == 2


def test_cache_is_not_fooled_by_a_run_that_was_stopped(tmp_path: Path) -> None:
    def stopped() -> Iterator[LabelledFrame]:
        yield frame(0)
        raise KeyboardInterrupt

    cache, counted = FrameCache(tmp_path / "cache"), Counted(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.get(replace(counted.drive, frames=stopped))
    (table,) = cache.get(counted.drive)
    assert len(table) == 3


def test_what_lies_beside_the_labelled_view_is_neither_learned_nor_judged(tmp_path: Path) -> None:
    frames = [frame(index, x=5.0) for index in range(10)]
    seen = replace(drive(tmp_path, "a", frames), view=View(half_angle_deg=1.0, nearest_m=2.0))
    data = load_data(found(tmp_path, seen), FrameCache(tmp_path / "cache"))
    batch = DrivingSource(data.train, batch=4, seed=1)(0)
    assert batch.known is not None
    assert 0 < int(batch.known.sum()) < 4 * 32 * 32 // 10
    judged = torch.cat([batch.classes for part in (0, 1) for batch in data.batches(part, most=9, batch=2)])
    everywhere = replace(seen, view=EVERYWHERE, name="b")
    (tmp_path / "b").write_text("b")
    whole = load_data(found(tmp_path, everywhere), FrameCache(tmp_path / "cache"))
    all_judged = torch.cat([b.classes for part in (0, 1) for b in whole.batches(part, most=9, batch=2)])
    assert int((judged >= 0).sum()) < int((all_judged >= 0).sum())


def test_nothing_is_judged_about_boxes_that_are_in_doubt_and_they_stay_told(tmp_path: Path) -> None:
    frames = [frame(index, x=5.0) for index in range(10)]
    doubted = [replace(item, classes=torch.full_like(item.classes, UNSURE)) for item in frames[6:]]
    data = load_data(found(tmp_path, drive(tmp_path, "a", frames[:6] + doubted)), FrameCache(tmp_path / "c"))
    for batch in data.batches(1, most=9, batch=2):
        assert batch.known is not None
        row, column = cells_of(batch.boxes)[0, 0].tolist()
        assert not batch.known[0, row - 1 : row + 2, column - 1 : column + 2].any()
        assert batch.known[0].sum() >= 32 * 32 - 2 * 9
        assert UNSURE in batch.classes


def test_mirror_turns_where_the_truth_is_told() -> None:
    known = torch.zeros(2, 32, 32, dtype=torch.bool)
    known[:, 3, 5] = True
    turned = mirror(replace(random_batch(3, batch=2), known=known), torch.tensor([True, False])).known
    assert turned is not None
    assert turned.nonzero().tolist() == [[0, 3, 26], [1, 3, 5]]


def test_several_sets_are_split_each_by_itself(tmp_path: Path) -> None:
    sets = []
    for name in ("a", "b"):
        only = drive(tmp_path / name, name, [frame(index) for index in range(10)])
        sets.append(found(tmp_path / name, only))
    data = load_data(merged(sets), FrameCache(tmp_path / "cache"))
    assert data.val_drives == data.train_drives == ("a", "b")
    assert places(data.val) == [8.0, 8.0, 9.0, 9.0]


def test_both_parts_of_val_have_whole_moments_when_each_of_its_drives_has_one(tmp_path: Path) -> None:
    sides = [replace(drive(tmp_path, name, [frame(n) for n in range(4)]), sides=4) for name in "abcdefghij"]
    data = load_data(found(tmp_path, *sides), FrameCache(tmp_path / "cache"))
    parts = [sum(len(b.boxes) for b in data.batches(part, most=99, batch=2)) for part in (0, 1)]
    assert parts == [4, 4]


def test_a_single_moment_of_all_sides_is_refused_as_val(tmp_path: Path) -> None:
    learned = replace(drive(tmp_path, "a", [frame(n) for n in range(4)], split="train"), sides=4)
    judged = replace(drive(tmp_path, "b", [frame(n) for n in range(4)], split="val"), sides=4)
    with pytest.raises(DatasetError, match="1 moments with the same sensors, 2 at least"):
        load_data(found(tmp_path, learned, judged), FrameCache(tmp_path / "cache"))
