"""Builders of small networks, inputs and labelled batches for tests."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.world.batch import Conditions
from sentryfuse_core.model.checkpoint import (
    SHIPPED,
    Checkpoint,
    load_checkpoint,
    manifest_path,
    save_checkpoint,
)
from sentryfuse_core.model.fusion import FeedForward
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.quality import MEASURES
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.part_gate import Cell, Worths
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import Modality, ModalitySet

_ABSENT = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(_ABSENT), reason="needs onnx, onnxscript and onnxruntime")

TINY = ModelShape(
    dim=16,
    layers=2,
    heads=4,
    kv_heads=2,
    ffn=64,
    ffn_block=16,
    frequencies=2,
    camera_channels=(16, 16, 16, 16, 16),
    depth_bins=8,
    lift_channels=16,
    fine_channels=16,
    lidar_channels=(16, 16),
    widths=(1.0, 0.5),
)

GATED = replace(TINY, camera_halved=(0.5,), qualities=tuple(measure.key for measure in MEASURES))

APART = replace(GATED, canvas_pool=4, camera_halved=(1.0, 0.5), audio_widths=(1.0, 0.5))

_CAMERA, _LIDAR = ModalitySet.of(Modality.CAMERA), ModalitySet.of(Modality.LIDAR)
_FREE = {"trunk": [0.0, 0.0], "head": [0.0, 0.0]}
WORTHS = Worths(  # of a network of the shape GATED: the camera is worth little beside the lidar
    cells={
        Cell(_CAMERA | _LIDAR): {"camera": [0.0, 0.1, 0.2], "lidar": [0.0, 5.0], **_FREE},
        Cell(_CAMERA): {"camera": [0.0, 30.0, 40.0], **_FREE},
        Cell(_LIDAR): {"lidar": [0.0, 5.0], **_FREE},
        Cell(_CAMERA | _LIDAR, _CAMERA): {"camera": [0.0, 0.0, 0.0], "lidar": [0.0, 5.0], **_FREE},
        Cell(_CAMERA | _LIDAR, _LIDAR): {"camera": [0.0, 30.0, 40.0], "lidar": [0.0, 0.0], **_FREE},
    },
    off={Cell(_CAMERA | _LIDAR, _CAMERA): {Modality.CAMERA: -1.0}},
    prices=(0.0, 20.0),
    poor_trust=0.6,
)


class Fed(nn.Module):
    """One feed-forward layer, `feed`, over the tokens of modality a; the mean over them comes out."""

    def __init__(self, dim: int, *, channels: int, block: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.feed = FeedForward(dim, channels=channels, block=block)

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        output: torch.Tensor = self.feed(inputs["a"]).mean(dim=1)
        return output


def network(seed: int = 0, *, shape: ModelShape = TINY) -> SentryFuseNet:
    """A small network with random weights."""
    torch.manual_seed(seed)
    return SentryFuseNet(shape).eval()


def checkpoint(folder: Path, seed: int = 0, *, shape: ModelShape = TINY, **facts: Any) -> Checkpoint:
    """That network as small.safetensors in `folder`, with `facts` in its manifest."""
    path = folder / "small.safetensors"
    save_checkpoint(path, network(seed, shape=shape), {"labels": ["car", "pedestrian", "cyclist"], **facts})
    return load_checkpoint(path)


def gated_checkpoint(folder: Path) -> Checkpoint:
    """A small network that trusts whatever it gets, with a gate of three levels, and scores."""
    worths = replace(WORTHS, prices=(*WORTHS.prices, 1e5))
    scores = {"recall_4m": 0.8, "recall_2m": 0.7, "map": 0.6, "score_threshold": 0.05}
    rows = [
        {"mask": bits, "level": level, **scores, "recall_4m": 0.8 if bits else 0.1}
        for bits in range(1 << len(Modality))
        for level in range(len(worths.prices))
    ]
    return checkpoint(folder, shape=GATED, gate=worths.to_mapping(), evaluation={"rows": rows})


def shipped_levels() -> int:
    """How many levels of the budget the shipped weights have."""
    return len(json.loads(manifest_path(SHIPPED).read_text(encoding="utf-8"))["gate"]["prices"])


def make_bank(folder: Path, *, max_level: int = 0) -> Bank:
    """The bank of that checkpoint."""
    return Bank(checkpoint(folder), max_level=max_level)


def model_input(seed: int = 0, *, batch: int = 2) -> ModelInput:
    """All four sensors, random."""
    generator = torch.Generator().manual_seed(seed)
    return ModelInput(
        camera=torch.rand(batch, 3, GEOMETRY.image_height, GEOMETRY.image_width, generator=generator),
        camera_position=torch.tensor([0.3, 0.0, 1.5]) + torch.rand(batch, 3, generator=generator) * 0.2,
        lidar=torch.rand(batch, 6, 64, 64, generator=generator),
        imu=torch.randn(batch, 32, 6, generator=generator),
        tilt=torch.randn(batch, 2, generator=generator) * 0.03,
        audio=torch.randn(batch, 16, 16, generator=generator),
    )


def assert_close(found: HeadOutput, expected: HeadOutput, *, most: float = 0.0) -> None:
    """The same maps, to within `most` and that share of a value."""
    assert list(found.evidence) == list(expected.evidence)
    maps = zip(
        (found.heatmap, found.boxes, *found.evidence.values()),
        (expected.heatmap, expected.boxes, *expected.evidence.values()),
        strict=True,
    )
    for values, wanted in maps:
        torch.testing.assert_close(values, wanted, atol=most, rtol=most)


def boxes(*rows: tuple[float, ...]) -> torch.Tensor:
    """One frame of boxes (x, y, z, l, w, h, yaw): [1, M, 7]."""
    return torch.tensor([rows])


def labelled(seed: int = 0, *, batch: int = 8) -> LabelledBatch:
    """A batch with random sensors and two boxes in each frame, the second missing in odd frames."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(batch, 2, 7, generator=generator) * torch.tensor([30.0, 30.0, 1.0, 4.0, 2.0, 2.0, 3.0])
    truth[..., 1] -= 15.0
    truth[..., 3:6] += 0.5
    classes = torch.randint(0, 3, (batch, 2), generator=generator)
    classes[1::2, 1] = -1
    light, rough = torch.rand(2, batch, generator=generator)
    conditions = Conditions(light, torch.zeros(batch), torch.zeros(batch), rough)
    return LabelledBatch(model_input(seed, batch=batch), truth, classes, conditions)
