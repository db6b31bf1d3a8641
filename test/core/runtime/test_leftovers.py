"""Folders of other weights: found and removed, and never what somebody else may have put there."""

from __future__ import annotations

from pathlib import Path

import pytest
from networks import make_bank

from sentryfuse_core.runtime.leftovers import leftovers, remove
from sentryfuse_core.runtime.measured import circumstances, keep
from sentryfuse_core.runtime.store import Store, all_parts

OTHER = "0123456789abcdef"
ENDINGS = (
    "float32.onnx",
    "bfloat16.ov2025.3.0.blob",
    "NVIDIA-H200.sm90.trt10.13.0.float16.engine",
)


def left_in(folder: Path, root: Path) -> Path:
    """A folder with all that this package writes into one."""
    bank, store = make_bank(folder), Store(root / OTHER)
    for ending in ENDINGS:
        assert all(store.build(bank, ending, lambda part: str(part).encode(), anew=False))
    for what in ("measured", "parity"):
        keep(store, what, circumstances(threads=1), {"eager": 1.0})
    (store.folder / "imu0.float32.onnx.4711.part").write_bytes(b"half")
    return store.folder


def test_leftover_is_all_that_this_package_writes_when_nothing_else_lies_there(tmp_path: Path) -> None:
    other = left_in(tmp_path, tmp_path / "engines")
    own = Store(other.with_name("f" * 16))
    (found,) = leftovers(own)
    assert found.folder == other
    assert len(found.files) == len(ENDINGS) * len(all_parts(make_bank(tmp_path))) + 3
    assert found.size_bytes == sum(path.stat().st_size for path in other.iterdir())
    remove(found)
    assert not other.exists()
    assert leftovers(own) == ()


def test_leftovers_are_none_when_only_the_stores_own_folder_is_there(tmp_path: Path) -> None:
    own = left_in(tmp_path, tmp_path / "engines")
    assert leftovers(Store(own)) == ()
    assert leftovers(Store(tmp_path / "nowhere" / OTHER)) == ()


@pytest.mark.parametrize("name", ["notes.txt", "imu0.txt", "engine", "camera0_mine.onnx"])
def test_folder_is_no_leftover_when_a_file_in_it_is_not_ours(tmp_path: Path, name: str) -> None:
    other = left_in(tmp_path, tmp_path / "engines")
    (other / name).write_text("mine", encoding="utf-8")
    assert leftovers(Store(other.with_name("f" * 16))) == ()


@pytest.mark.parametrize("name", ["0123456789abcde", "0123456789ABCDEF", "engines_of_robot"])
def test_folder_is_no_leftover_when_its_name_is_not_ours(tmp_path: Path, name: str) -> None:
    other = left_in(tmp_path, tmp_path / "engines")
    other.rename(other.with_name(name))
    assert leftovers(Store(other.with_name("f" * 16))) == ()


def test_folder_is_no_leftover_when_links_lead_out_of_it(tmp_path: Path) -> None:
    elsewhere = left_in(tmp_path, tmp_path / "elsewhere")
    root = tmp_path / "engines"
    root.mkdir()
    (root / ("a" * 16)).symlink_to(elsewhere)  # the folder itself
    (root / ("b" * 16)).mkdir()
    (root / ("b" * 16) / "imu0.float32.onnx").symlink_to(elsewhere / "imu0.float32.onnx")
    (root / ("c" * 16)).mkdir()
    (root / ("c" * 16) / "imu0.float32.onnx").mkdir()
    (root / ("d" * 16)).mkdir()  # empty: nobody knows whose
    assert leftovers(Store(root / OTHER)) == ()
