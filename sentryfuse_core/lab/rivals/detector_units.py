"""The units of the whole detector that pruning rules may take away, and what the rest costs.

A unit is a block of 16 channels (8 where a layer has no multiple of 16) of the encoders and the head, or a
unit of the trunk. One that is taken away has its `gates` zeroed, which does exactly what leaving it out does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.model.encoders import DISTANCE_FEATURES
from sentryfuse_core.model.ground import GROUND_FEATURES
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.model.shape import BOX_CHANNELS
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["DetectorLayer", "Kept", "detector_layers", "kept_all", "kept_macs", "unit_sums", "without"]

_BLOCK, _SMALL_BLOCK = 16, 8
_KERNEL = 9  # 3x3
_PLACING = 3  # maps of the camera: an object's foot, how sure that is, and the horizon

Kept = Mapping[str, Tensor]  # layer -> which of its units stay, [units] bool


@dataclass(frozen=True)
class DetectorLayer:
    """Channels that are made together and taken away in blocks.

    Attributes:
        block: channels of a unit.
        gates: tensors with a row for each channel; what passes is proportional to them.
        filters: tensors with a row for each channel that make it.
        readers: tensors with a column for each channel (a row, if the layer is of the trunk) that read it.
        seen: the module whose output (`>`) or input (`<`) the channels are.
    """

    channels: int
    block: int
    gates: tuple[str, ...]
    filters: tuple[str, ...]
    readers: tuple[str, ...]
    seen: str = ""

    @property
    def units(self) -> int:
        """How many units it has."""
        return self.channels // self.block


def detector_layers(net: SentryFuseNet) -> dict[str, DetectorLayer]:
    """Every layer whose channels may go, by name."""
    merges = tuple(f"camera.merge_{name}" for name in ("fine", "coarse", "deep", "ground"))
    sampled = [
        f"camera.{name}.{index}" for name in ("sample", "sample_there") for index in range(_heights(net))
    ]
    pointwise = ("camera.look", "camera.foot", "camera.horizon_row")
    convolved = {
        "camera.fine.0": ("camera.fine.1",),
        "camera.fine.1": ("camera.fine.2",),
        "camera.fine.2": ("camera.coarse.0", "camera.merge_fine"),
        "camera.coarse.0": ("camera.coarse.1",),
        "camera.coarse.1": ("camera.deep.0", "camera.merge_coarse"),
        "camera.deep.0": ("camera.deep.1",),
        "camera.deep.1": ("camera.merge_deep", "camera.token"),
        "lidar.stem.0": ("lidar.stem.1",),
        "lidar.stem.1": ("lidar.stem.2",),
        "lidar.stem.2": ("lidar.deep.0", "lidar.fine"),
        "lidar.deep.0": ("lidar.deep.1",),
        "lidar.deep.1": ("lidar.token", "lidar.place"),
        "head.first": ("head.second",),
        "head.second": (),  # the last rows of head.maps, whose first ones read another map
    }
    layers = {}
    for name, readers in convolved.items():
        channels = len(net.get_parameter(f"{name}.weight"))
        layers[name] = DetectorLayer(
            channels,
            _BLOCK if channels % _BLOCK == 0 else _SMALL_BLOCK,
            (f"{name}.scale", f"{name}.shift"),
            (f"{name}.weight",),
            tuple(f"{reader}.weight" for reader in readers),
            f"{name}>",
        )
    rows = tuple(f"{name}.{part}" for name in merges for part in ("weight", "bias"))
    layers["camera.lifted"] = DetectorLayer(
        net.shape.lift_channels,
        _BLOCK,
        (*rows, "camera.refine.scale", "camera.refine.shift"),
        (*(f"{name}.weight" for name in merges), "camera.refine.weight"),
        tuple(f"{name}.weight" for name in (*pointwise, *sampled, "camera.refine")),
        "camera.refine<",
    )
    layers["audio.mix"] = DetectorLayer(
        net.shape.dim,
        _BLOCK,
        ("audio.mix.weight", "audio.mix.bias"),
        ("audio.mix.weight",),
        ("audio.token.weight", "audio.place.weight", "audio.hear.weight"),
        "audio.token<",
    )
    layers["audio.hear"] = DetectorLayer(
        net.shape.dim,
        _BLOCK,
        ("audio.hear.weight", "audio.hear.bias", "audio.away.weight"),
        ("audio.hear.weight", "audio.away.weight"),
        ("audio.fine.weight",),
        "audio.fine<",
    )
    return layers | _trunk_layers(net)


def _trunk_layers(net: SentryFuseNet) -> dict[str, DetectorLayer]:
    shape, layers = net.shape, {}
    rows = shape.group * shape.head_dim
    for index in range(shape.layers):
        attend, feed = f"trunk.layers.{index}.attend", f"trunk.layers.{index}.feed"
        layers[attend] = DetectorLayer(
            shape.kv_heads * rows, rows, (f"{attend}.output",), (f"{attend}.query",), (f"{attend}.output",)
        )
        layers[feed] = DetectorLayer(
            shape.ffn, shape.ffn_block, (f"{feed}.fall",), (f"{feed}.rise",), (f"{feed}.fall",)
        )
    return layers


def _heights(net: SentryFuseNet) -> int:
    return len(net.shape.lift_heights_m)


def unit_sums(values: Tensor, layer: DetectorLayer) -> Tensor:
    """The sum over everything that a unit has of `values` [channels, ...]: [units]."""
    return values.reshape(layer.units, -1).sum(dim=1)


def kept_all(layers: Mapping[str, DetectorLayer]) -> dict[str, Tensor]:
    """Every unit stays."""
    return {name: torch.ones(layer.units, dtype=torch.bool) for name, layer in layers.items()}


def without(net: SentryFuseNet, layers: Mapping[str, DetectorLayer], kept: Kept) -> SentryFuseNet:
    """A copy that gives what the network without the other units gives; it costs as much time as before."""
    small = copy.deepcopy(net)
    with torch.no_grad():
        for name, layer in layers.items():
            rows = kept[name].repeat_interleave(layer.block)
            for gate in layer.gates:
                tensor = small.get_parameter(gate)
                tensor.mul_(rows.view(-1, *[1] * (tensor.ndim - 1)))
    return small


def kept_macs(net: SentryFuseNet, kept: Kept, mask: ModalitySet) -> int:
    """MACs with the sensors of `mask` of the network without the other units."""
    share = {name: float(units.float().mean()) for name, units in kept.items()} | {"": 1.0}
    total = count_macs(net.shape, net.geometry, mask, FULL_WIDTH).total
    saved = sum(macs * (1.0 - share[source] * share[target]) for source, target, macs in _maps(net, mask))
    return round(total - saved)


def _maps(net: SentryFuseNet, mask: ModalitySet) -> Iterator[tuple[str, str, int]]:
    """Every map between layers that may be narrowed (empty: what may not), and its MACs in full."""
    if Modality.CAMERA in mask:
        yield from _camera_maps(net)
    if Modality.LIDAR in mask:
        yield from _lidar_maps(net)
    if Modality.AUDIO in mask:
        yield from _audio_maps(net)
    shape, geometry = net.shape, net.geometry
    places = geometry.heatmap_cells**2
    convolution = _KERNEL * places * shape.fine_channels**2
    yield "", "head.first", convolution
    yield "head.first", "head.second", convolution
    yield "head.second", "", places * shape.fine_channels * (shape.classes + BOX_CHANNELS)
    yield from _trunk_maps(net, mask)


def _camera_maps(net: SentryFuseNet) -> Iterator[tuple[str, str, int]]:
    shape, geometry = net.shape, net.geometry
    first, second, fine, coarse, deep = shape.camera_channels
    lifted, pixels = shape.lift_channels, geometry.image_width * geometry.image_height
    names = ["", *(f"camera.{name}" for name in ("fine.0", "fine.1", "fine.2"))]
    names += [f"camera.{name}" for name in ("coarse.0", "coarse.1", "deep.0", "deep.1")]
    counts = [3, first, second, fine, coarse, coarse, deep, deep]
    strides = [2, 4, 4, 8, 8, 16, 16]
    for index, stride in enumerate(strides):
        macs = _KERNEL * pixels // stride**2 * counts[index] * counts[index + 1]
        yield names[index], names[index + 1], macs
    merged = "camera.lifted"
    yield "camera.fine.2", merged, pixels // 16 * lifted * fine
    yield "camera.coarse.1", merged, pixels // 64 * lifted * coarse
    yield "camera.deep.1", merged, pixels // 256 * lifted * deep
    yield "", merged, pixels // 16 * lifted * GROUND_FEATURES
    yield merged, merged, pixels // 16 * _KERNEL * lifted * lifted
    yield merged, "", pixels // 16 * lifted * (shape.depth_bins + shape.classes + _PLACING)
    yield merged, "", 2 * geometry.heatmap_cells**2 * _heights(net) * lifted * shape.fine_channels
    yield "camera.deep.1", "", shape.camera_tokens[0] * shape.camera_tokens[1] * deep * shape.dim


def _lidar_maps(net: SentryFuseNet) -> Iterator[tuple[str, str, int]]:
    shape, geometry = net.shape, net.geometry
    (first, second), deep = shape.lidar_channels, shape.dim
    pillars, cells = geometry.pillar_cells**2, geometry.canvas_cells**2
    stem = [f"lidar.stem.{index}" for index in range(3)]
    yield "", stem[0], _KERNEL * pillars * geometry.pillar_channels * first
    yield stem[0], stem[1], _KERNEL * pillars // 4 * first * second
    yield stem[1], stem[2], _KERNEL * pillars // 4 * second * second
    yield stem[2], "lidar.deep.0", _KERNEL * pillars // 16 * second * deep
    yield "lidar.deep.0", "lidar.deep.1", _KERNEL * pillars // 16 * deep * deep
    yield "lidar.deep.1", "", (cells // 4 + cells) * deep * shape.dim
    yield stem[2], "", pillars // 4 * second * shape.fine_channels


def _audio_maps(net: SentryFuseNet) -> Iterator[tuple[str, str, int]]:
    shape, geometry = net.shape, net.geometry
    bearings, places, dim = geometry.audio_bearings, geometry.heatmap_cells**2, shape.dim
    yield "", "audio.mix", bearings * dim * 3 * geometry.audio_features
    yield "audio.mix", "", bearings * dim * 2 * dim
    yield "audio.mix", "audio.hear", bearings * dim * dim
    yield "", "audio.hear", places * dim * (bearings + DISTANCE_FEATURES)
    yield "audio.hear", "", places * dim * shape.fine_channels


def _trunk_maps(net: SentryFuseNet, mask: ModalitySet) -> Iterator[tuple[str, str, int]]:
    """Of each of its layers, by what `count_macs` says of a network with a unit more or less."""
    shape = net.shape
    cells = net.geometry.canvas_cells**2
    rows, columns = shape.camera_tokens
    runs = {
        Modality.CAMERA: (rows * columns, shape.pool),
        Modality.LIDAR: (cells // 4, shape.pool),
        Modality.IMU: (shape.imu_tokens, 1),
        Modality.AUDIO: (net.geometry.audio_bearings, shape.pool),
    }
    tokens = cells + sum(runs[modality][0] for modality in mask)
    keys = cells // shape.canvas_pool
    keys += sum(runs[modality][0] // runs[modality][1] for modality in mask)
    width = shape.heads * shape.head_dim
    attend = 2 * tokens * shape.dim * width + keys * shape.dim * 2 * shape.kv_heads * shape.head_dim
    attend += 2 * tokens * keys * width
    for index in range(shape.layers):
        yield "", f"trunk.layers.{index}.attend", attend
        yield "", f"trunk.layers.{index}.feed", 2 * tokens * shape.dim * shape.ffn
