"""Windows of four synchronous streams: one clock, one activity, and people that no two splits share."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from driving_trees import SHARED

from sentryfuse_core.errors import BagError, DatasetError
from sentryfuse_core.lab.datasets.har import runs
from sentryfuse_core.lab.datasets.har_windows import (
    FOLDS,
    HarWindows,
    har_fold,
    load_windows,
    people_of_fold,
)

RECORDINGS = SHARED / "data" / "har" / "sp-sw-har.zip"
needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_file(), reason="needs the recordings in ../shared/data"
)

_HEADER = "x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro,timestamp,label\n"
_START_MS = 1_657_544_418_000
Keep = Callable[[int], bool]


def run(
    first_ms: int, *, every_ms: int, slope: float, keep: Keep = lambda _: True, turn_ms: int = 3000
) -> str:
    """Six seconds from `first_ms` on: x_acc is `slope` x ms, walking until `turn_ms`, then turning."""
    rows = [
        f"{slope * ms},2,9.8,{-slope * ms},0,0.5,{_START_MS + ms},"
        f"{'WALKING' if ms < turn_ms else 'TURNING'}\n"
        for ms in range(first_ms, 6001, every_ms)
        if keep(ms)
    ]
    return _HEADER + "".join(rows)


def archive(path: Path, *, people: int = 7, keep: Keep = lambda _: True, watch_turn_ms: int = 3000) -> Path:
    """A zip of the public layout: the watch starts 203 ms after the phone, one run has no watch."""
    with zipfile.ZipFile(path, "w") as out:
        for person in range(1, people + 1):
            phone = run(0, every_ms=9, slope=0.001 * person, keep=keep)
            watch = run(203, every_ms=11, slope=0.002 * person, turn_ms=watch_turn_ms)
            out.writestr(f"DATA/s{person:02}/s{person:02}_01_sp.csv", phone)
            out.writestr(f"DATA/s{person:02}/s{person:02}_01_sw.csv", watch)
        out.writestr("DATA/s01/s01_02_sp.csv", run(0, every_ms=10, slope=9.0))
    return path


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> HarWindows:
    return load_windows(archive(tmp_path_factory.mktemp("har") / "har.zip"))


def test_load_windows_puts_both_devices_on_one_clock_when_they_start_and_tick_apart(
    windows: HarWindows,
) -> None:
    expected_ms = 203 + 10 * np.arange(100)
    assert np.allclose(windows.streams["phone_accel"][0, :, 0], 0.001 * expected_ms, atol=1e-6)
    assert np.allclose(windows.streams["watch_accel"][0, :, 0], 0.002 * expected_ms, atol=1e-6)
    assert np.allclose(windows.streams["watch_gyro"][0, :, 0], -0.002 * expected_ms, atol=1e-6)
    assert np.allclose(windows.streams["phone_gyro"][..., 2], 0.5)


def test_load_windows_keeps_pure_windows_when_the_activity_changes(windows: HarWindows) -> None:
    assert windows.classes == ("TURNING", "WALKING")
    # Starts 203 + 500 k ms: walking to 3000 ms is k = 0..3, turning to 5996 ms is k = 6..9.
    assert windows.label[windows.person == 3].tolist() == [1] * 4 + [0] * 4
    assert all(stream.shape == (56, 100, 3) for stream in windows.streams.values())
    assert sorted(set(windows.person.tolist())) == list(range(1, 8))


def test_runs_come_by_name_with_strictly_rising_stamps_when_rows_share_a_millisecond(tmp_path: Path) -> None:
    text = _HEADER + "".join(
        f"1,2,9.8,0.1,0.2,0.{row},{_START_MS + ms},SEATED\n" for row, ms in enumerate((0, 23, 23, 28))
    )
    with zipfile.ZipFile(tmp_path / "har.zip", "w") as out:
        for name in ("s01/s01_01_sw.csv", "s01/s01_01_sp.csv", "executions_info.csv"):
            out.writestr(f"DATA/{name}", text)
    phone, watch = runs(tmp_path / "har.zip")
    assert (phone.name, phone.device, watch.device) == ("s01_01_sp", "sp", "sw")
    assert (phone.stamp_ns - phone.stamp_ns[0]).tolist() == [0, 23_000_000, 23_500_000, 28_000_000]
    assert phone.accel.tolist() == [[1.0, 2.0, 9.8]] * 4
    assert phone.gyro[3].tolist() == [0.1, 0.2, 0.3]
    assert phone.activity == ("SEATED",) * 4


def test_load_windows_takes_the_most_frequent_activity_when_purity_is_lower(tmp_path: Path) -> None:
    mixed = load_windows(archive(tmp_path / "har.zip", people=1), pure=0.5)
    assert mixed.label.tolist() == [1] * 5 + [0] * 5  # k = 4 is 703 ms walking, k = 5 706 ms turning


def test_load_windows_drops_windows_when_the_devices_disagree(tmp_path: Path) -> None:
    found = load_windows(archive(tmp_path / "har.zip", people=1, watch_turn_ms=4000))
    assert found.label.tolist() == [1] * 4 + [0] * 2  # turning for both from 4203 ms on


def test_load_windows_drops_windows_when_one_device_pauses(tmp_path: Path) -> None:
    found = load_windows(archive(tmp_path / "har.zip", people=1, keep=lambda ms: not 1240 < ms < 1360))
    assert found.label.tolist() == [1] * 1 + [1] + [0] * 4  # the windows from 703 ms and 1203 ms are gone


def test_load_windows_refuses_what_gives_none(tmp_path: Path) -> None:
    path = archive(tmp_path / "har.zip", people=1)
    with pytest.raises(DatasetError, match=r"no window of 7\.0 s; choose a shorter"):
        load_windows(path, window_s=7.0)
    with pytest.raises(DatasetError, match=r"every 0\.0 s"):
        load_windows(path, step_s=0.0)
    with pytest.raises(BagError, match=r"none\.zip"):
        load_windows(tmp_path / "none.zip")
    path.write_text("not a zip")
    with pytest.raises(BagError, match=r"har\.zip"):
        load_windows(path)


@pytest.mark.parametrize("fold", range(FOLDS))
def test_har_fold_shares_no_person_between_splits(windows: HarWindows, fold: int) -> None:
    arrays = har_fold(windows, fold)
    people = {split: set(arrays.rows(split).item.tolist()) for split in ("train", "val", "test")}
    assert sum(map(len, people.values())) == 7
    assert set.union(*people.values()) == set(range(1, 8))
    assert len(people["val"]) == 3
    assert arrays.inputs["watch_gyro"].shape == (56, 10, 30)


def test_people_of_fold_tests_everyone_once_when_all_folds_are_taken() -> None:
    people = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 24), 3))
    tested = [person for fold in range(FOLDS) for person in people_of_fold(people, fold)["test"]]
    assert sorted(tested) == list(range(1, 24))
    with pytest.raises(DatasetError, match="no fold 5; choose 0 to 4"):
        people_of_fold(people, 5)
    with pytest.raises(DatasetError, match="4 people do not fill 5 folds"):
        people_of_fold(np.arange(4), 0)


def test_har_fold_cuts_finer_tokens_when_the_patch_is_shorter(windows: HarWindows) -> None:
    arrays = har_fold(windows, 0, patch=2)
    assert arrays.inputs["phone_accel"].shape == (56, 50, 6)
    coarse = har_fold(windows, 0).inputs["phone_accel"]
    assert np.array_equal(arrays.inputs["phone_accel"].reshape(56, -1), coarse.reshape(56, -1))


@needs_recordings
def test_har_folds_hold_every_class_when_cut_from_the_public_recordings() -> None:
    windows = load_windows(RECORDINGS)
    assert windows.classes == ("SEATED", "SITTING_DOWN", "STANDING_UP", "TURNING", "WALKING")
    assert len(set(windows.person.tolist())) == 23
    assert len(windows.label) == 1869
    for fold in range(FOLDS):
        arrays = har_fold(windows, fold)
        for split in ("train", "val", "test"):
            assert np.bincount(arrays.rows(split).label, minlength=5).min() >= 7
    # Gravity is there whatever the orientation: the units are m/s^2.
    gravity = np.median(np.linalg.norm(windows.streams["watch_accel"], axis=2))
    assert 9.0 < gravity < 10.6
