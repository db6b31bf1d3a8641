"""The deploy form as a whole: parts by name, and how what they give is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn

from sentryfuse_core.model.canvas import block_order, morton_order
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.model.sparsity import Segment, pool_segments
from sentryfuse_core.preprocess.geometry import Geometry
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.lean.camera import LeanCamera
from sentryfuse_core.runtime.lean.fuse import LeanFuse
from sentryfuse_core.runtime.lean.layers import Constants
from sentryfuse_core.runtime.lean.others import LeanAudio, LeanImu, LeanLidar
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

__all__ = ["LeanForm", "Part", "Runner", "parts_of", "put_together"]

_LEAST_TRUST = 1e-6  # whose logarithm is taken
_IMU = ModalitySet.of(Modality.IMU)


@dataclass(frozen=True, order=True)
class Part:
    """A part at one width: what one engine holds."""

    name: str  # a sensor's, or fuse: trunk and head
    level: int = 0  # of the sensor's encoder, or of the trunk
    head: int = 0  # level of the head
    tilted: bool = False  # whether an encoder is told the tilt by the IMU

    def __str__(self) -> str:
        of_head = f"_head{self.head}" if self.name == "fuse" else ""
        return f"{self.name}{self.level}{of_head}{'_tilted' if self.tilted else ''}"


Runner = Callable[[Part, tuple[Tensor, ...]], tuple[Tensor, ...]]


@cache
def parts_of(mask: ModalitySet, parts: PartLevels) -> tuple[Part, ...]:
    """What runs for the sensors of `mask`, encoders in their order and fuse last."""
    imu = Modality.IMU in mask
    found = []
    for modality in mask:
        tilted = imu and modality in (Modality.CAMERA, Modality.LIDAR)
        found.append(Part(modality.value, getattr(parts, modality.value, 0), tilted=tilted))
    return (*found, Part("fuse", parts.trunk, parts.head))


class LeanForm:
    """Every part of a network on first use; their weights are views of the network's wherever they can be."""

    def __init__(self, network: SentryFuseNet, *, engine: bool = False) -> None:
        """`engine`: written for a compiler to read, not for eager to run."""
        self.network = network
        self._engine = engine
        self._parts: dict[Part, nn.Module] = {}
        with torch.no_grad():
            self._constants = Constants(network)

    def __call__(self, inputs: ModelInput, parts: PartLevels) -> HeadOutput:
        """As `SentryFuseNet.forward` in inference mode, without the camera's view."""
        return put_together(self.network, self.run, inputs, parts)

    def prepare(self, mask: ModalitySet, parts: PartLevels) -> None:
        """Make all that runs for these sensors: what compiles or records it is not to see how."""
        for key in parts_of(mask, parts):
            self.part(key)
        _pool_of(self.network, mask)

    def part(self, key: Part) -> nn.Module:
        """One part; its tensors are fixed when it is made. With and without the tilt it is the same."""
        own = replace(key, tilted=False)
        found = self._parts.get(own)
        if found is None:
            with torch.no_grad():
                found = self._parts[own] = self._make(own).eval()
        return found

    def run(self, key: Part, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What one part gives for what it is fed."""
        maps: tuple[Tensor, ...] = self.part(key)(*tensors)
        return maps

    def _make(self, key: Part) -> nn.Module:
        net, constants, engine = self.network, self._constants, self._engine
        match key.name:
            case Modality.CAMERA.value:
                return LeanCamera(net, key.level, constants, engine=engine)
            case Modality.LIDAR.value:
                return LeanLidar(net, key.level, constants, engine=engine)
            case Modality.IMU.value:
                return LeanImu(net)
            case Modality.AUDIO.value:
                return LeanAudio(net, key.level, constants)
            case _:
                return LeanFuse(net, key.level, key.head, constants, engine=engine)


def put_together(network: SentryFuseNet, run: Runner, inputs: ModelInput, parts: PartLevels) -> HeadOutput:
    """The network's answer by its parts, whatever runs them.

    Trust is reckoned in between: here, since it hangs on who else is there.
    """
    mask, batch = inputs.present, _batch(inputs)
    trust: Mapping[Modality, Tensor] = {}
    tilt = inputs.tilt
    if tilt is None and inputs.imu is not None:
        tilt = inputs.imu.new_zeros(batch, 2)
    if network.trust is not None and inputs.quality is not None and mask:
        trust, alone = network.trust.of_each(inputs.quality, (mask, _IMU))
        if tilt is not None:
            tilt = tilt * alone[Modality.IMU][:, None]
    *encoders, fuse = parts_of(mask, parts)
    tokens: list[Tensor] = []
    counts: list[Tensor] = []
    placed = fine = None
    evidence: dict[Modality, Tensor] = {}
    for modality, key in zip(mask, encoders, strict=True):
        own, *maps = run(key, _given(modality, inputs, tilt, tilted=key.tilted))
        tokens.append(own)
        factor = trust.get(modality)
        count = maps[3] if len(maps) > 3 else own.new_ones(own.shape[:2])
        counts.append(count if factor is None else count * factor[:, None])
        if not maps:
            continue
        on_canvas, on_grid, logits = maps[:3]
        if factor is not None:
            on_canvas, on_grid = on_canvas * factor[:, None, None], on_grid * factor[:, None, None, None]
            logits = logits + factor.clamp_min(_LEAST_TRUST).log()[:, None, None, None]
        evidence[modality] = logits
        placed = on_canvas if placed is None else placed + on_canvas
        fine = on_grid if fine is None else fine + on_grid
    canvas = network.canvas.learned
    if placed is None or fine is None:
        side, shape = network.geometry.heatmap_cells, network.shape
        placed = canvas.new_zeros(batch, shape.dim, len(canvas))
        fine = canvas.new_zeros(batch, shape.fine_channels, side, side)
    pool = _pool_of(network, mask)
    given = torch.cat((canvas.new_zeros(batch, 0, canvas.shape[1]), *tokens), dim=1)
    counted = torch.cat((canvas.new_zeros(batch, 0), *counts), dim=1)
    heatmap, boxes = run(fuse, (placed, given, counted, pool, fine))
    return HeadOutput(heatmap, boxes, evidence, trust=trust)


def _given(
    modality: Modality, inputs: ModelInput, tilt: Tensor | None, *, tilted: bool
) -> tuple[Tensor, ...]:
    """What the encoder of a sensor that is there is fed."""
    names = ("camera", "camera_position", "camera_seen") if modality is Modality.CAMERA else (modality.value,)
    own = [getattr(inputs, name) for name in names]
    return (*own, tilt) if tilted and tilt is not None else tuple(own)


def _batch(inputs: ModelInput) -> int:
    given: Iterable[Tensor | None] = (inputs.camera, inputs.lidar, inputs.imu, inputs.audio)
    return next((len(item) for item in given if item is not None), 1)


def _pool_of(network: SentryFuseNet, mask: ModalitySet) -> Tensor:
    """`_pool` as the network's own numbers, where it is."""
    own = network.canvas.learned
    return _pool(network.shape, network.geometry, mask, own.device, own.dtype)


@cache  # for good and on the device: a CUDA graph can neither copy from the host nor lose what it reads
def _pool(
    shape: ModelShape, geometry: Geometry, mask: ModalitySet, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Means over each sensor's neighbouring tokens, which lie row by row: [1, keys, tokens]."""
    orders = {
        Modality.CAMERA: (block_order(*shape.camera_tokens), shape.pool),
        Modality.LIDAR: (morton_order(geometry.canvas_cells // 2), shape.pool),
        Modality.IMU: (torch.arange(shape.imu_tokens), 1),
        Modality.AUDIO: (torch.arange(geometry.audio_bearings), shape.pool),
    }
    blocks = []
    for modality in mask:
        order, stride = orders[modality]
        blocks.append(pool_segments(torch.eye(len(order))[order], [Segment(len(order), stride)]))
    pool = torch.block_diag(*blocks) if blocks else torch.zeros(0, 0)  # type: ignore[no-untyped-call]
    return pool.to(device, dtype)[None]
