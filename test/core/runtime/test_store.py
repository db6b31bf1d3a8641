"""Built files: found again while nothing changed, never found when anything did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from networks import TINY, checkpoint, make_bank

from sentryfuse_core.errors import BackendError, OutputError
from sentryfuse_core.runtime import store
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.lean.form import Part
from sentryfuse_core.runtime.store import Store


def test_folder_is_another_when_weights_shape_torch_or_code_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path / "engines")
    bank = make_bank(tmp_path)
    before = Store.of(bank, root)
    assert Store.of(make_bank(tmp_path, max_level=1), root) == before  # its files serve every max_level
    changed = {Store.of(Bank(checkpoint(tmp_path, seed=1)), root)}
    narrower = replace(TINY, widths=(1.0, 0.25))  # the same weights
    changed.add(Store.of(Bank(checkpoint(tmp_path, shape=narrower)), root))
    monkeypatch.setattr(torch, "__version__", "99.0")
    changed.add(Store.of(bank, root))
    monkeypatch.undo()
    monkeypatch.setattr(store, "_CODE", ("model/network.py",))
    changed.add(Store.of(bank, root))
    assert len(changed | {before}) == 5


def test_files_are_missing_until_all_loaded_parts_are_written(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, max_level=1)
    files = Store.of(bank, str(tmp_path / "engines"))
    assert len(files.missing(bank, "float32.onnx")) == 7
    assert all(files.build(bank, "float32.onnx", lambda _part: b"content", anew=False))
    assert files.missing(bank, "float32.onnx") == []
    assert len(files.missing(bank, "float16.onnx")) == 7
    assert len(list(files.folder.iterdir())) == 7  # nothing half written is left


def test_folder_is_the_users_cache_when_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Store.of(make_bank(tmp_path), "").folder.parent == tmp_path / "cache" / "sentryfuse"


def test_write_names_the_file_and_the_remedy_when_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    files = Store(tmp_path / "file" / "key")
    with pytest.raises(OutputError, match=r"cannot write .*lidar1_tilted\.x: .*model\.engine_dir"):
        files.write(files.path(Part("lidar", 1, tilted=True), "x"), b"")


@pytest.mark.parametrize("damage", [b"", b"conten", b"Content", b"content, and more"])
def test_part_is_refused_and_built_again_when_its_file_is_damaged(tmp_path: Path, damage: bytes) -> None:
    bank = make_bank(tmp_path, max_level=1)
    files, part = Store.of(bank, str(tmp_path / "engines")), Part("imu")
    assert all(files.build(bank, "x", lambda part: str(part).encode(), anew=False))
    assert files.read(part, "x") == b"imu0"
    path = files.path(part, "x")
    path.write_bytes(damage + path.read_bytes()[len(b"imu0") :])
    with pytest.raises(BackendError, match=r"imu0\.x is damaged; run `sentryfuse build-engines`"):
        files.read(part, "x")
    assert sum(files.build(bank, "x", lambda part: str(part).encode(), anew=False)) == 1
    assert files.read(part, "x") == b"imu0"


def test_part_is_missing_when_nobody_may_look_for_its_file(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, max_level=1)
    files = Store.of(bank, str(tmp_path / ("x" * 300)))  # root may look everywhere, but for names too long
    assert len(files.missing(bank, "x")) == 7
    with pytest.raises(BackendError, match=r"cannot read .*imu0\.x: File name too long; run"):
        files.read(Part("imu"), "x")
