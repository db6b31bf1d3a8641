"""Tensors on disk: the old file stays whole where a new one cannot be written, whoever says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sentryfuse_core.errors import OutputError
from sentryfuse_core.lab.training import tensor_files
from sentryfuse_core.lab.training.tensor_files import write_tensors


@pytest.mark.parametrize("kind", [OSError, SafetensorError])
def test_old_tensors_stay_whole_when_writing_new_ones_fails(
    kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"x": torch.ones(2, 3).T}, remedy="make room")

    def full(_tensors: object, partial: Path, **_: object) -> None:
        partial.write_bytes(b"half")
        raise kind("No space left on device")

    monkeypatch.setattr(tensor_files, "save_file", full)
    with pytest.raises(OutputError, match=r"state\.safetensors: No space left on device; make room"):
        write_tensors(path, {"x": torch.zeros(2)}, remedy="make room")
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    assert torch.equal(load_file(path)["x"], torch.ones(3, 2))
