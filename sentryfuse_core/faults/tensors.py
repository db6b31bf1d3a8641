"""The faults that change content in tensor form: what training and evaluation spoil frames with.

Each function does to tensors what the fault of its name (see kinds.py) does to messages, with the same
options. What the robot does with the messages afterwards (a tilt that follows the IMU) is part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.faults.dirt import BLUR_PX, SPOTS, hidden, scale_of
from sentryfuse_core.preprocess.attitude import FORGET_S, MOST_TILT_RAD
from sentryfuse_core.types import Modality

__all__ = ["TENSOR_FAULTS", "RawSet", "spoil"]

Options = Mapping[str, float]
_SAMPLE_S = 0.005  # between the IMU's readings
_GREY = 0.5  # what decoders leave where a file ends too early


@dataclass(frozen=True, eq=False)
class RawSet:
    """The sensors of B moments before they become the network's tensors; None: not there."""

    image: Tensor | None = None  # [B, 3, H, W] RGB 0..1 at the virtual camera
    points: Tensor | None = None  # [B, R, 4] x, y, z (m, base frame), intensity 0..1; NaN: no return
    motion: Tensor | None = None  # [B, 32, 6] rad/s and m/s^2, base axes
    tilt: Tensor | None = None  # [B, 2] roll and pitch by the IMU, rad
    pcm: Tensor | None = None  # [B, 2, S] full scale 1.0
    late_image: Tensor | None = None  # what camera and lidar saw a while ago
    late_points: Tensor | None = None

    def rows(self, chosen: Tensor | slice) -> RawSet:
        """The moments that `chosen` selects."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return RawSet(**{name: value[chosen] for name, value in given.items()})


def spoil(raw: RawSet, sensor: Modality, fault: str, options: Options, generator: torch.Generator) -> RawSet:
    """The moments with `fault` at `sensor`; raises KeyError where that fault has no tensor form."""
    return TENSOR_FAULTS[sensor, fault](raw, options, generator)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator)


def _image(raw: RawSet) -> Tensor:
    if raw.image is None:
        raise ValueError("there is no image to spoil")
    return raw.image


def _points(raw: RawSet) -> Tensor:
    if raw.points is None:
        raise ValueError("there are no points to spoil")
    return raw.points


def _pcm(raw: RawSet) -> Tensor:
    if raw.pcm is None:
        raise ValueError("there is no sound to spoil")
    return raw.pcm


def _black(raw: RawSet, _: Options, __: torch.Generator) -> RawSet:
    return replace(raw, image=torch.zeros_like(_image(raw)))


def _white(raw: RawSet, _: Options, __: torch.Generator) -> RawSet:
    return replace(raw, image=torch.ones_like(_image(raw)))


def _covered(raw: RawSet, options: Options, generator: torch.Generator) -> RawSet:
    image = _image(raw)
    height, width = image.shape[2:]
    hidden = torch.zeros(height, width, dtype=torch.bool)
    sides = {side: options.get(side, 0.0) for side in ("top", "bottom", "left", "right")}
    hidden[: round(sides["top"] * height)] = True
    hidden[height - round(sides["bottom"] * height) :] = True
    hidden[:, : round(sides["left"] * width)] = True
    hidden[:, width - round(sides["right"] * width) :] = True
    if not any(sides.values()):
        hidden[:] = True
    noise = options.get("sigma", 0.01) * torch.randn(image.shape, generator=generator)
    return replace(raw, image=torch.where(hidden, options.get("level", 0.05) + noise, image).clamp(0.0, 1.0))


def _noisy_image(raw: RawSet, options: Options, generator: torch.Generator) -> RawSet:
    image = _image(raw)
    noise = options["sigma"] * torch.randn(image.shape, generator=generator)
    return replace(raw, image=(image + noise).clamp(0.0, 1.0))


def _cut_image(raw: RawSet, options: Options, _: torch.Generator) -> RawSet:
    """A file that ends too early decodes to its upper rows."""
    image = _image(raw).clone()
    image[:, :, round(options["keep"] * image.shape[2]) :] = _GREY
    return replace(raw, image=image)


def _dim(raw: RawSet, options: Options, generator: torch.Generator) -> RawSet:
    image = _image(raw)
    noise = 0.01 * torch.randn(image.shape, generator=generator)
    return replace(raw, image=(image * options["gain"] + noise).clamp(0.0, 1.0))


def _blurred(raw: RawSet, options: Options, _: torch.Generator) -> RawSet:
    return replace(raw, image=_smooth(_image(raw), options["sigma_px"]))


def _smooth(image: Tensor, sigma_px: float) -> Tensor:
    """A Gaussian of `sigma_px` pixels of the virtual camera over `image` [B, C, H, W]."""
    reach = max(1, math.ceil(2.5 * sigma_px))
    steps = torch.arange(-reach, reach + 1, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma_px).square())
    kernel = (kernel / kernel.sum()).expand(image.shape[1], 1, -1)
    padded = functional.pad(image, (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(padded, kernel[:, :, None], groups=image.shape[1])
    return functional.conv2d(rows, kernel[..., None], groups=image.shape[1])


def _dirty(raw: RawSet, options: Options, generator: torch.Generator) -> RawSet:
    """Blurred, brownish spots of random sizes that hide about `share` of the image together."""
    image = _image(raw)
    height, width = image.shape[2:]
    draws = _uniform(generator, SPOTS, 4).numpy()
    spots = torch.from_numpy(hidden(options["share"], draws, height=height, width=width))
    light = image.mean(dim=(1, 2, 3), keepdim=True)
    dirt = 0.6 * light * image.new_tensor([1.1, 1.0, 0.8])[:, None, None]
    through = 0.3 * _smooth(image, BLUR_PX * scale_of(width)) + 0.7 * dirt
    return replace(raw, image=image + spots * (through - image))


def _turned_camera(raw: RawSet, options: Options, _: torch.Generator) -> RawSet:
    """Seen by a camera that is turned to the left by `yaw_deg`: pixels move along their rows."""
    image = _image(raw)
    width = image.shape[3]
    focal, centre = 0.5 * width, 0.5 * width  # 90 degrees wide, as the virtual camera is
    bearing = torch.atan((torch.arange(width) + 0.5 - centre) / focal) - math.radians(options["yaw_deg"])
    source = (centre + focal * torch.tan(bearing.clamp(-1.2, 1.2))) / width * 2.0 - 1.0
    rows = torch.linspace(-1.0, 1.0, image.shape[2] + 1)
    middles = 0.5 * (rows[1:] + rows[:-1])
    size = image.shape[2:]
    grid = torch.stack((source.expand(size), middles[:, None].expand(size)), dim=-1)
    turned = functional.grid_sample(image, grid.expand(len(image), -1, -1, -1), align_corners=False)
    return replace(raw, image=turned)


def _late_camera(raw: RawSet, _: Options, __: torch.Generator) -> RawSet:
    return replace(raw, image=raw.late_image)


def _without(raw: RawSet, lost: Tensor) -> RawSet:
    """Points without those `lost` [B, R]."""
    return replace(raw, points=_points(raw).masked_fill(lost[..., None], torch.nan))


def _blocked(raw: RawSet, options: Options, _: torch.Generator) -> RawSet:
    points = _points(raw)
    bearing_deg = torch.rad2deg(torch.atan2(points[..., 1], points[..., 0]))
    width_deg = (options["to_deg"] - options["from_deg"]) % 360.0
    return _without(raw, (bearing_deg - options["from_deg"]) % 360.0 <= width_deg)


def _missing(raw: RawSet, options: Options, generator: torch.Generator) -> RawSet:
    return _without(raw, _uniform(generator, *_points(raw).shape[:2]) < options["share"])


def _noisy_points(raw: RawSet, options: Options, generator: torch.Generator) -> RawSet:
    points = _points(raw).clone()
    noise = torch.randn(points[..., :3].shape, generator=generator)
    points[..., :3] += options["sigma"] * noise
    return replace(raw, points=points)


def _cut_points(raw: RawSet, options: Options, _: torch.Generator) -> RawSet:
    points = _points(raw)
    lost = torch.arange(points.shape[1]) >= options["keep"] * points.shape[1]
    return _without(raw, lost.expand(points.shape[:2]))


def _empty(raw: RawSet, _: Options, __: torch.Generator) -> RawSet:
    return replace(raw, points=torch.full_like(_points(raw), torch.nan))


def _turned_lidar(raw: RawSet, options: Options, _: torch.Generator) -> RawSet:
    """Placed by a pose whose yaw is wrong: all points turn to the right by `yaw_deg`."""
    x, y, z, intensity = _points(raw).unbind(-1)
    sine, cosine = math.sin(math.radians(-options["yaw_deg"])), math.cos(math.radians(options["yaw_deg"]))
    return replace(raw, points=torch.stack((cosine * x - sine * y, sine * x + cosine * y, z, intensity), -1))


def _late_lidar(raw: RawSet, _: Options, __: torch.Generator) -> RawSet:
    return replace(raw, points=raw.late_points)


def _with_motion(raw: RawSet, motion: Tensor, tilt: Tensor) -> RawSet:
    return replace(raw, motion=motion, tilt=tilt.clamp(-MOST_TILT_RAD, MOST_TILT_RAD))


def _parts(raw: RawSet) -> tuple[Tensor, Tensor]:
    if raw.motion is None or raw.tilt is None:
        raise ValueError("there is no motion to spoil")
    return raw.motion, raw.tilt


def _noisy_motion(raw: RawSet, options: Options, generator: torch.Generator) -> RawSet:
    """White noise of the gyroscope adds up to a walk of the tilt that the filter forgets slowly."""
    motion, tilt = _parts(raw)
    spoilt = motion + options["sigma"] * torch.randn(motion.shape, generator=generator)
    walk = options["sigma"] * math.sqrt(0.5 * FORGET_S * _SAMPLE_S)
    return _with_motion(raw, spoilt, tilt + walk * torch.randn(tilt.shape, generator=generator))


def _stuck(raw: RawSet, _: Options, __: torch.Generator) -> RawSet:
    """One reading for ever: the filter settles where forgetting balances its rate of turn."""
    motion, _tilt = _parts(raw)
    held = motion[:, :1].expand_as(motion).clone()
    return _with_motion(raw, held, FORGET_S * held[:, 0, :2])


def _saturated(raw: RawSet, options: Options, _: torch.Generator) -> RawSet:
    """The robot leaves such readings out of its tilt; weights have to bear a wrong one all the same."""
    motion, _tilt = _parts(raw)
    scale = motion.new_tensor([options.get("gyro_rad_s", 34.9)] * 3 + [options.get("accel_m_s2", 156.9)] * 3)
    full = torch.copysign(scale, motion)
    return _with_motion(raw, full, FORGET_S * full[..., :2].mean(dim=1))


def _silent(raw: RawSet, _: Options, __: torch.Generator) -> RawSet:
    return replace(raw, pcm=torch.zeros_like(_pcm(raw)))


def _clipped(raw: RawSet, options: Options, _: torch.Generator) -> RawSet:
    return replace(raw, pcm=(_pcm(raw) * options["gain"]).clamp(-1.0, 1.0))


def _gapped(raw: RawSet, options: Options, generator: torch.Generator) -> RawSet:
    """One run of the window is missing; what comes after it moves up and the end is empty."""
    pcm = _pcm(raw).clone()
    length = pcm.shape[2]
    gap = round(options["share"] * length)
    begin = int(_uniform(generator, 1) * (length - gap))
    pcm[:, :, begin : length - gap] = _pcm(raw)[:, :, begin + gap :]
    pcm[:, :, length - gap :] = 0.0
    return replace(raw, pcm=pcm)


def _noisy_sound(raw: RawSet, options: Options, generator: torch.Generator) -> RawSet:
    pcm = _pcm(raw)
    noise = options["sigma"] * torch.randn(pcm.shape, generator=generator)
    return replace(raw, pcm=(pcm + noise).clamp(-1.0, 1.0))


TENSOR_FAULTS: Mapping[tuple[Modality, str], Callable[[RawSet, Options, torch.Generator], RawSet]] = {
    (Modality.CAMERA, "black"): _black,
    (Modality.CAMERA, "white"): _white,
    (Modality.CAMERA, "covered"): _covered,
    (Modality.CAMERA, "noise"): _noisy_image,
    (Modality.CAMERA, "truncate"): _cut_image,
    (Modality.CAMERA, "dim"): _dim,
    (Modality.CAMERA, "blurred"): _blurred,
    (Modality.CAMERA, "dirty"): _dirty,
    (Modality.CAMERA, "turned"): _turned_camera,
    (Modality.CAMERA, "freeze"): _late_camera,
    (Modality.LIDAR, "blocked"): _blocked,
    (Modality.LIDAR, "nan"): _missing,
    (Modality.LIDAR, "noise"): _noisy_points,
    (Modality.LIDAR, "truncate"): _cut_points,
    (Modality.LIDAR, "empty"): _empty,
    (Modality.LIDAR, "turned"): _turned_lidar,
    (Modality.LIDAR, "freeze"): _late_lidar,
    (Modality.IMU, "noise"): _noisy_motion,
    (Modality.IMU, "stuck"): _stuck,
    (Modality.IMU, "saturated"): _saturated,
    (Modality.AUDIO, "silent"): _silent,
    (Modality.AUDIO, "clipped"): _clipped,
    (Modality.AUDIO, "gapped"): _gapped,
    (Modality.AUDIO, "noise"): _noisy_sound,
}
