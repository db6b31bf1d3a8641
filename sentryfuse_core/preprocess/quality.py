"""How good each sensor's data is, measured on what the network reads: the same on the robot and in training.

Every measure is declared here, once, with its unit and range; `quality` computes all of them. A measure of an
absent sensor is 0 and means nothing; one that could not be taken is NaN, and says nothing for or against the
sensor.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.tensors import SEEN_STRIDE, ModelInput
from sentryfuse_core.types import Modality

__all__ = ["MEASURES", "REPEATING", "Measure", "measures_of", "quality"]

_BLOCK = 8  # pixels along the side of an image's block
_DARK, _BRIGHT = 0.06, 0.94  # mean of a block that shows nothing for want or excess of light
_FLAT = 0.015  # deviation within a block that shows nothing at all
_SECTORS = 12  # of the half turn before the vehicle
_SECTOR_CELLS = 3  # with fewer cells that hold a return a sector is blocked
_BELOW_M = -0.4  # returns lower than this lie under any ground that a vehicle stands on
_STILL = 1e-6  # spread of an axis that does not move at all
_GRAVITY_M_S2 = 9.81
_FASTEST_RAD_S = 3.0  # robots on the ground hardly turn faster
_QUIET_DECADES = 6.0  # full scale down to this is the range of loudness
_FULL_SCALE = 0.999


@dataclass(frozen=True)
class Measure:
    """One measure of one sensor."""

    modality: Modality
    name: str
    unit: str
    low: float
    high: float
    doc: str

    @property
    def key(self) -> str:
        """What manifests and accounts call it, for example camera.light."""
        return f"{self.modality.value}.{self.name}"


_CAMERA, _LIDAR, _IMU, _AUDIO = Modality

MEASURES: tuple[Measure, ...] = (
    Measure(_CAMERA, "light", "share of full scale", 0.0, 1.0, "mean brightness"),
    Measure(_CAMERA, "contrast", "share of full scale", 0.0, 0.5, "deviation between blocks of 8 x 8 pixels"),
    Measure(_CAMERA, "dark", "share of the image", 0.0, 1.0, "blocks that are black"),
    Measure(_CAMERA, "bright", "share of the image", 0.0, 1.0, "blocks that are white"),
    Measure(_CAMERA, "flat", "share of the image", 0.0, 1.0, "blocks in which there is nothing: covered"),
    Measure(
        _CAMERA, "sharp", "share of full scale", 0.0, 0.3, "mean step between neighbours: low is blurred"
    ),
    Measure(
        _CAMERA, "grain", "share of full scale", 0.0, 0.3, "deviation within the evenest tenth of blocks"
    ),
    Measure(_LIDAR, "returns", "ln(1 + returns) / 10", 0.0, 1.3, "returns in the region, as pillars tell"),
    Measure(_LIDAR, "occupied", "share of the cells", 0.0, 1.0, "cells of the region that hold a return"),
    Measure(_LIDAR, "blocked", "share of the sectors", 0.0, 1.0, "sectors of 15 degrees without returns"),
    Measure(_LIDAR, "below", "share of the cells", 0.0, 1.0, "cells with a return below any ground"),
    Measure(_LIDAR, "thick", "m", 0.0, 9.0, "mean height between a cell's lowest and highest return"),
    Measure(_LIDAR, "rough", "m", 0.0, 9.0, "mean step between the lowest returns of neighbouring cells"),
    Measure(_LIDAR, "intensity", "share of full scale", 0.0, 1.0, "mean intensity"),
    Measure(
        _IMU,
        "turning",
        "rad/s",
        0.0,
        40.0,
        f"root mean square of the gyroscope but for even turning left or right, up to {_FASTEST_RAD_S:g}",
    ),
    Measure(_IMU, "force", "multiples of gravity", 0.0, 30.0, "length of the mean acceleration"),
    Measure(_IMU, "shaking", "m/s^2", 0.0, 200.0, "deviation of the acceleration within the window"),
    Measure(_IMU, "still", "share of the axes", 0.0, 1.0, "axes that do not move at all: stuck"),
    Measure(_AUDIO, "loudness", "share of 6 decades", 0.0, 1.0, "root mean square, 1 at full scale"),
    Measure(_AUDIO, "clipped", "share of the samples", 0.0, 1.0, "samples at full scale"),
    Measure(_AUDIO, "silent", "share of the samples", 0.0, 1.0, "samples that are zero"),
    Measure(_AUDIO, "coherent", "correlation", -1.0, 1.0, "how alike both channels are at the best bearing"),
)

_COUNTS = Counter(measure.modality for measure in MEASURES)

REPEATING = ("imu.still", "audio.silent")  # what a simulator without noise does, see `<sensor>.may_repeat`


def measures_of(keys: tuple[str, ...]) -> tuple[Measure, ...]:
    """The declared measures that `keys` name, in that order; raises KeyError for one that is not declared."""
    known = {measure.key: measure for measure in MEASURES}
    return tuple(known[key] for key in keys)


def quality(
    inputs: ModelInput,
    pcm: Tensor | None = None,
    *,
    untaken: Collection[str] = (),
) -> Tensor:
    """All measures of the sensors that are there, in the order of MEASURES: [B, measures].

    `pcm` [B, C, S] is the window that `inputs.audio` was made from, full scale 1.0; without it a window
    counts as neither clipped nor silent, and as loud as its bands. Measures with a key in `untaken` are NaN.
    """
    size, device = next((len(item), item.device) for item in _given(inputs) if item is not None)
    parts = (
        None if inputs.camera is None else _camera(inputs.camera, inputs.camera_seen),
        None if inputs.lidar is None else _lidar(inputs.lidar),
        None if inputs.imu is None else _imu(inputs.imu),
        None if inputs.audio is None else _audio(inputs.audio, pcm),
    )
    absent = torch.zeros(size, device=device)
    columns = [
        column
        for modality, part in zip(Modality, parts, strict=True)
        for column in ([absent] * _COUNTS[modality] if part is None else part)
    ]
    found = torch.nan_to_num(torch.stack(columns, dim=1)).clamp(*(ends.to(device) for ends in _ranges()))
    if untaken:
        found[:, [index for index, measure in enumerate(MEASURES) if measure.key in untaken]] = torch.nan
    return found


@lru_cache(maxsize=1)
def _ranges() -> tuple[Tensor, Tensor]:
    """The lowest and the highest value of each measure: [measures]."""
    low, high = zip(*((measure.low, measure.high) for measure in MEASURES), strict=True)
    return torch.tensor(low), torch.tensor(high)


def _given(inputs: ModelInput) -> tuple[Tensor | None, ...]:
    return inputs.camera, inputs.lidar, inputs.imu, inputs.audio


def _camera(image: Tensor, seen: Tensor | None) -> tuple[Tensor, ...]:
    """`image` [B, 3, H, W] in 0..1; only blocks that are `seen` [B, 1, H / 4, W / 4] as a whole count."""
    red, green, blue = image.unbind(1)
    grey = ((red + green).add_(blue)).div_(3.0)[:, None]  # a mean over so few takes three times as long
    means = functional.avg_pool2d(grey, _BLOCK).flatten(1)
    squares = functional.avg_pool2d(grey.square(), _BLOCK).flatten(1)
    deviation = (squares - means.square()).clamp_min(0.0).sqrt()
    if seen is not None:
        return _partly(grey, means, deviation, seen)
    return (
        means.mean(dim=1),
        means.std(dim=1),
        (means < _DARK).float().mean(dim=1),
        (means > _BRIGHT).float().mean(dim=1),
        (deviation < _FLAT).float().mean(dim=1),
        grey.diff(dim=3).abs().flatten(1).mean(dim=1),
        deviation.kthvalue(max(1, deviation.shape[1] // 10), dim=1).values,
    )


def _partly(grey: Tensor, means: Tensor, deviation: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
    """The camera's measures over the blocks [B, blocks] that are seen as a whole."""
    along = torch.unflatten(grey, 3, (-1, _BLOCK)).diff(dim=4).abs().mean(dim=4)  # within a block alone
    steps = functional.avg_pool2d(along, (_BLOCK, 1)).flatten(1)
    whole = functional.avg_pool2d(seen, _BLOCK // SEEN_STRIDE).flatten(1) >= 1.0
    count = whole.sum(dim=1).clamp_min(1)

    def over_blocks(values: Tensor) -> Tensor:
        return (values * whole).sum(dim=1) / count

    light = over_blocks(means)
    spread = over_blocks((means - light[:, None]).square()) * count / (count - 1).clamp_min(1)
    evenest = deviation.masked_fill(~whole, math.inf).sort(dim=1).values
    tenth = (count // 10).clamp_min(1) - 1
    return (
        light,
        spread.sqrt(),
        over_blocks((means < _DARK).float()),
        over_blocks((means > _BRIGHT).float()),
        over_blocks((deviation < _FLAT).float()),
        over_blocks(steps),
        evenest.gather(1, tenth[:, None])[:, 0],
    )


def _lidar(pillars: Tensor) -> tuple[Tensor, ...]:
    """`pillars` [B, 6, 64, 64], see `lidar.pillars`."""
    count, highest, _, lowest, intensity, there = pillars.unbind(1)
    cells = there.flatten(1).sum(dim=1).clamp_min(1.0)

    def over_cells(values: Tensor) -> Tensor:
        return (values * there).flatten(1).sum(dim=1) / cells

    pairs = there[:, 1:] * there[:, :-1]
    steps = (lowest.diff(dim=1).abs() * pairs).flatten(1).sum(dim=1)
    sectors = there.flatten(1) @ _sectors().to(pillars)
    return (
        torch.expm1(4.0 * count).flatten(1).sum(dim=1).log1p() / 10.0,
        there.flatten(1).mean(dim=1),
        (sectors < _SECTOR_CELLS).float().mean(dim=1),
        over_cells((lowest < _BELOW_M).float()),
        over_cells(highest - lowest),
        steps / pairs.flatten(1).sum(dim=1).clamp_min(1.0),
        over_cells(intensity),
    )


@lru_cache(maxsize=1)
def _sectors() -> Tensor:
    """Which cells of the pillars lie in which sector of the half turn ahead: [cells, sectors] of 0 and 1."""
    step = (torch.arange(GEOMETRY.pillar_cells) + 0.5) * GEOMETRY.pillar_cell_m
    x, y = torch.meshgrid(step + GEOMETRY.x_min_m, step + GEOMETRY.y_min_m, indexing="ij")
    share = (torch.atan2(y, x).flatten() / math.pi + 0.5).clamp(0.0, 1.0 - 1e-6)
    return functional.one_hot((share * _SECTORS).long(), _SECTORS).float()


def _imu(motion: Tensor) -> tuple[Tensor, ...]:
    """`motion` [B, 32, 6] in rad/s and m/s^2."""
    gyro, force = motion[..., :3], motion[..., 3:]
    spread = motion.amax(dim=1) - motion.amin(dim=1)
    return (
        _unsteady(gyro),
        torch.linalg.vector_norm(force.mean(dim=1), dim=1) / _GRAVITY_M_S2,
        force.std(dim=1).mean(dim=1),
        (spread < _STILL).float().mean(dim=1),
    )


def _unsteady(gyro: Tensor) -> Tensor:
    """What no turning robot explains of a gyroscope `[B, 32, 3]` in rad/s, base axes: [B].

    How fast it turns evenly about the vertical is the robot's affair: weights whose world turns slowly must
    not distrust that. Nothing rolls or pitches evenly for long.
    """
    turn: Tensor = gyro[..., 2].mean(dim=1)
    excused = gyro.new_zeros(len(gyro), 1, 3)
    excused[:, 0, 2] = turn.clamp(-_FASTEST_RAD_S, _FASTEST_RAD_S)
    return (gyro - excused).square().sum(dim=2).mean(dim=1).sqrt()


def _audio(features: Tensor, pcm: Tensor | None) -> tuple[Tensor, ...]:
    """`features` [B, bearings, 16], see `audio.bearing_features`; `pcm` [B, C, S] or None."""
    coherent = features[..., : GEOMETRY.audio_bands].mean(dim=2).amax(dim=1)
    if pcm is None:
        loudness = features[:, 0, GEOMETRY.audio_bands :].mean(dim=1)
        return loudness, torch.zeros_like(loudness), torch.zeros_like(loudness), coherent
    samples = pcm.flatten(1)
    power = samples.square().mean(dim=1)
    return (
        (power + 10.0 ** (-2.0 * _QUIET_DECADES)).log10() / (2.0 * _QUIET_DECADES) + 1.0,
        (samples.abs() >= _FULL_SCALE).float().mean(dim=1),
        (samples == 0.0).float().mean(dim=1),
        coherent,
    )
