"""Checkpoints: what is written is read back, and whatever is wrong with a file is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import model_input, network
from safetensors.torch import save_file

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint, manifest_path, save_checkpoint


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, network(3), {"labels": ["car", "pedestrian", "cyclist"]})
    return path


def edit(path: Path, **values: Any) -> None:
    manifest = json.loads(manifest_path(path).read_text(encoding="utf-8"))
    manifest_path(path).write_text(json.dumps({**manifest, **values}), encoding="utf-8")


def test_checkpoint_gives_the_same_network_when_read_back(weights: Path) -> None:
    checkpoint = load_checkpoint(weights)
    with torch.inference_mode():
        assert torch.equal(checkpoint.network()(model_input()).heatmap, network(3)(model_input()).heatmap)
    assert checkpoint.network().labels == ("car", "pedestrian", "cyclist")
    name, digest = checkpoint.identity.split()
    assert name == "small"
    assert checkpoint.manifest["sha256"].startswith(digest)


def test_checkpoint_raises_when_a_file_is_missing(weights: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no weights at .*nothing\.safetensors"):
        load_checkpoint(weights.with_name("nothing.safetensors"))
    with pytest.raises(CheckpointError, match=r"no weights at .*run\{1\}\.safetensors"):
        load_checkpoint(weights.with_name("run{1}.safetensors"))
    alone = weights.with_name("alone.safetensors")
    alone.write_bytes(weights.read_bytes())
    with pytest.raises(CheckpointError, match=r"no manifest at .*alone\.json"):
        load_checkpoint(alone)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"no weights at .*small\.safetensors"):
        load_checkpoint(weights)


def test_checkpoint_raises_when_a_byte_has_changed(weights: Path) -> None:
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match="altered or truncated"):
        load_checkpoint(weights)


def test_checkpoint_raises_when_the_file_is_no_safetensors(weights: Path) -> None:
    import hashlib

    weights.write_bytes(b"not tensors")
    edit(weights, sha256=hashlib.sha256(b"not tensors").hexdigest())
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_checkpoint(weights)


def test_checkpoint_raises_when_the_version_is_unknown(weights: Path) -> None:
    edit(weights, format_version=99)
    with pytest.raises(CheckpointError, match="format version 99"):
        load_checkpoint(weights)


def test_checkpoint_raises_when_the_geometry_is_another(weights: Path) -> None:
    edit(weights, geometry={"canvas_cells": 8})
    with pytest.raises(CheckpointError, match="geometry"):
        load_checkpoint(weights)


def test_checkpoint_raises_when_the_manifest_lacks_a_key(weights: Path) -> None:
    manifest_path(weights).write_text('{"format_version": 1, "name": "x"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="lacks sha256"):
        load_checkpoint(weights)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_checkpoint_raises_when_the_manifest_is_no_json_object(weights: Path, text: str) -> None:
    manifest_path(weights).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="JSON"):
        load_checkpoint(weights)


def test_checkpoint_names_the_tensor_when_shapes_do_not_fit(weights: Path) -> None:
    import hashlib

    tensors = dict(load_checkpoint(weights).tensors)
    tensors["head.norm.weight"] = torch.zeros(3)
    save_file(tensors, weights)
    edit(weights, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match=r"head\.norm\.weight is \[3\]"):
        load_checkpoint(weights).network()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dim", 9_600_000),
        ("layers", 65),
        ("frequencies", -1),
        ("heads", "8"),
        ("classes", True),
        ("pool", None),
        ("camera_channels", [16] * 9),
        ("camera_channels", 16),
        ("widths", [1.0, float("nan")]),
        ("widths", []),
    ],
)
def test_checkpoint_names_the_size_when_the_manifest_describes_no_network(
    weights: Path, name: str, value: object
) -> None:
    shape = load_checkpoint(weights).shape.to_mapping()
    edit(weights, shape={**shape, name: value})
    with pytest.raises(CheckpointError, match=f"impossible network shape: {name}"):
        load_checkpoint(weights)


def test_checkpoint_is_not_read_when_the_file_is_larger_than_any_weights(weights: Path) -> None:
    os.truncate(weights, 50_000_000_000)  # sparse: takes no room
    with pytest.raises(CheckpointError, match="50,000,000,000 bytes"):
        load_checkpoint(weights)


def test_shipped_weights_have_a_gate_measures_and_an_evaluation_of_every_level() -> None:
    shipped = load_checkpoint(SHIPPED)
    assert shipped.identity.startswith(f"{SHIPPED.stem} ")
    assert shipped.shape.qualities
    levels = range(len(shipped.manifest["gate"]["prices"]))
    assert {row["level"] for row in shipped.manifest["evaluation"]["rows"]} == set(levels)
