"""The camera: sky, skyline, textured ground and lit boxes through a pinhole, in weather, with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.lab.world.cast import cast, nearest, pair_up, turn
from sentryfuse_core.lab.world.lighting import Lighting, light_of
from sentryfuse_core.lab.world.patterns import on_ground
from sentryfuse_core.lab.world.scene import Parts, Scene, outlines_of, parts_of
from sentryfuse_core.lab.world.shapes import VARIED
from sentryfuse_core.lab.world.surface import paint
from sentryfuse_core.preprocess.tilt import to_level, upright

__all__ = ["View", "render"]

_NEAR_M = 0.2
_BESIDE_M = 1.5  # further to the side than this, what is beside the camera is out of its view
_FAINT = 0.05  # direct light weaker than this share of the sky's casts no shadow
_GLARE = 0.4  # of a lens that is not quite clean, against the eye that the formula is for
_TILE = 1024  # ground texture: samples a side
_TILE_M = 0.04  # and metres a sample


@dataclass(frozen=True)
class View:
    """A pinhole that looks along +x of the vehicle; pixels, `fine` subpixels a side for boxes.

    The centre of the first pixel lies at 0.5, not at 0 as in CameraInfo.
    """

    width: int
    height: int
    focal: float
    cx: float
    cy: float
    fine: int = 1

    def slopes(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """How far to the right [W] and down [H] the pixels look, for each metre ahead."""
        right = (torch.arange(self.width, device=device) + 0.5 - self.cx) / self.focal
        return right, (torch.arange(self.height, device=device) + 0.5 - self.cy) / self.focal


def render(scene: Scene, view: View, *, position: Tensor, haze_m: float) -> tuple[Tensor, Tensor]:
    """Linear radiance [B, 3, H * W] that reaches `position` [B, 3] on the vehicle; 1.0: white in noon sun.

    Also how many pixels each slot's object fills, [B, M].
    """
    tilt = scene.tilt
    reach_m = 1 / (1 / haze_m + scene.extinction)
    rotation = upright(tilt)
    level = _margins(view, float(tilt.abs().amax()))
    image, filled = _render_level(scene, level, to_level(rotation, position), reach_m)
    if level is view:
        return image, filled
    right, down = view.slopes(tilt.device)
    ahead = torch.ones((view.height, view.width), device=tilt.device)
    rays = torch.stack((ahead, (-right).expand_as(ahead), (-down[:, None]).expand_as(ahead)), dim=-1)
    seen = to_level(rotation[:, None, None], rays)  # [B, H, W, 3]
    u = level.cx - level.focal * seen[..., 1] / seen[..., 0]
    v = level.cy - level.focal * seen[..., 2] / seen[..., 0]
    where = torch.stack((u / level.width, v / level.height), dim=-1) * 2 - 1
    whole = image.view(len(scene), 3, level.height, level.width)
    turned = functional.grid_sample(whole, where, padding_mode="border", align_corners=False)
    return turned.flatten(2), filled


def _margins(view: View, tilt_rad: float) -> View:
    """The view widened by what a camera tilted by up to `tilt_rad` about either axis can see."""
    if tilt_rad == 0.0:
        return view
    slope = math.tan(tilt_rad)
    side = math.ceil(slope * max(view.width, view.height) * 0.6) + 1
    above = math.ceil(slope * (view.focal + view.width * 0.6)) + 1
    return replace(
        view,
        width=view.width + 2 * side,
        height=view.height + 2 * above,
        cx=view.cx + side,
        cy=view.cy + above,
    )


def _render_level(scene: Scene, view: View, position: Tensor, haze_m: Tensor) -> tuple[Tensor, Tensor]:
    """What a camera that is not tilted sees, and the pixels of each slot [B, M]; `haze_m` [B]."""
    lighting = light_of(scene)
    parts = parts_of(scene)
    image = _background(scene, lighting, view, position, haze_m)
    batch, _, pixels = image.shape
    casting = outlines_of(scene) if scene.solids.shape[2] == VARIED else parts
    _cast_shadows(image, scene, casting, lighting, view, position, haze_m)
    fine = view.fine
    wide, high, focal = view.width * fine, view.height * fine, view.focal * fine
    cx, cy = view.cx * fine, view.cy * fine
    rel = parts.centre - position[parts.scene]
    rows, columns = _rectangles(_corners(parts) - position[parts.scene, None], focal, cx, cy, wide, high)
    box, row, column = pair_up(rows, columns)
    right, down = (column + 0.5 - cx) / focal, (row + 0.5 - cy) / focal
    start = turn(-rel[:, 0], -rel[:, 1], -rel[:, 2], parts.cos, parts.sin)
    begin = (start[0][box], start[1][box], start[2][box])
    hits = cast(parts, box, begin, (torch.ones_like(right), -right, -down))
    box, row, column = box[hits.pair], row[hits.pair], column[hits.pair]
    cell = (parts.scene[box] * high + row) * wide + column
    _, seen = nearest(hits.distance, cell, batch * wide * high)
    box = box[seen]
    depth, local, axis, sign = (item[seen] for item in (hits.distance, hits.local, hits.axis, hits.sign))
    colour = paint(scene, parts, lighting, box, local, axis, sign)
    index = parts.scene[box]
    slant = torch.sqrt(1 + right[hits.pair][seen] ** 2 + down[hits.pair][seen] ** 2)
    clear = torch.exp(-depth * slant / haze_m[index])[:, None]
    colour = colour * clear + lighting.horizon[index] * (1 - clear)
    pixel = torch.div(row[seen], fine, rounding_mode="floor") * view.width
    pixel = pixel + torch.div(column[seen], fine, rounding_mode="floor")
    change = (colour - image[index, :, pixel]) / (fine * fine)
    place = (index[:, None] * 3 + torch.arange(3, device=index.device)) * pixels + pixel[:, None]
    image.view(-1).index_add_(0, place.reshape(-1), change.reshape(-1))
    _add_glare(image, lighting, view)
    slots = scene.classes.shape[1]
    filled = torch.bincount(index * slots + parts.slot[box], minlength=batch * slots)
    return image, filled.view(batch, slots) / (fine * fine)


def _add_glare(image: Tensor, lighting: Lighting, view: View) -> None:
    """Add the veil of a low sun in front: 10 E / angle^2 (Vos, CIE 135/1, in degrees)."""
    low = (lighting.sun[:, 0] > 0.3) & (lighting.sun[:, 2] < 0.5)
    if not bool(low.any()):
        return
    right, down = view.slopes(image.device)
    length = torch.sqrt(1 + right**2 + down[:, None] ** 2)
    sun = lighting.sun[low][:, :, None, None]
    cosine = (sun[:, 0] - sun[:, 1] * right - sun[:, 2] * down[:, None]) / length
    degrees = torch.rad2deg(torch.acos(cosine.clamp(-1.0, 1.0)))
    veil = lighting.sunlight[low][:, :, None, None] * (_GLARE * 10 / (degrees**2 + 4))[:, None]
    image[low] += veil.flatten(2)


def _corners(parts: Parts) -> Tensor:
    """Corners [K, 8, 3] of the parts in the base frame."""
    corner = torch.tensor(
        [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], device=parts.half.device
    )
    x, y, z = (corner * parts.half[:, None]).unbind(-1)
    cos, sin = parts.cos[:, None], parts.sin[:, None]
    return parts.centre[:, None] + torch.stack((x * cos - y * sin, x * sin + y * cos, z), dim=-1)


def _rectangles(
    points: Tensor, focal: float, cx: float, cy: float, wide: int, high: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Rows and columns [K] of the pixels that hulls of points [K, P, 3], relative to the pinhole, can cover.

    None for a hull behind the pinhole. Points behind it are moved to just in front, which is right unless the
    hull passes close by the pinhole; such a one gets all pixels.
    """
    x, y, z = points.unbind(-1)
    depth = x.clamp_min(_NEAR_M)
    u, v = cx - y / depth * focal, cy - z / depth * focal
    near = (x.amin(dim=1) < _NEAR_M) & (y.amin(dim=1) < _BESIDE_M) & (y.amax(dim=1) > -_BESIDE_M)
    gone = x.amax(dim=1) < _NEAR_M

    def span(values: Tensor, size: int) -> tuple[Tensor, Tensor]:
        first = (values.amin(dim=1) - 0.5).ceil().clamp(0, size).long()
        last = (values.amax(dim=1) - 0.5).floor().clamp(-1, size - 1).long() + 1
        first = torch.where(near, 0, first)
        last = torch.where(near, size, last)
        return first, torch.where(gone, first, last)

    return span(v, high), span(u, wide)


def _cast_shadows(
    image: Tensor,
    scene: Scene,
    parts: Parts,
    lighting: Lighting,
    view: View,
    position: Tensor,
    haze_m: Tensor,
) -> None:
    """Take the sun's light off the ground pixels of `image` [B, 3, H * W] that a part hides it from."""
    sun = lighting.sun[parts.scene]
    casting = lighting.sunlight[parts.scene].sum(dim=-1) > _FAINT * lighting.ambient[parts.scene].sum(dim=-1)
    corners = _corners(parts)
    shadow = corners - sun[:, None] * (corners[..., 2] / sun[:, 2:].clamp_min(0.05))[..., None]
    outline = torch.cat((shadow, corners * torch.tensor((1.0, 1.0, 0.0), device=sun.device)), dim=1)
    size = (view.width, view.height)
    rows, columns = _rectangles(outline - position[parts.scene, None], view.focal, view.cx, view.cy, *size)
    horizon = math.ceil(view.cy + 0.01 * view.focal - 0.5)
    rows = (rows[0].clamp_min(horizon), torch.where(casting, rows[1], 0))
    box, row, column = pair_up(rows, columns)
    index = parts.scene[box]
    depth = position[index, 2] * view.focal / (row + 0.5 - view.cy)
    x = position[index, 0] + depth - parts.centre[box, 0]
    y = position[index, 1] - (column + 0.5 - view.cx) / view.focal * depth - parts.centre[box, 1]
    start = turn(x, y, -parts.centre[box, 2], parts.cos[box], parts.sin[box])
    hidden = cast(parts, box, start, (sun[box, 0], sun[box, 1], sun[box, 2])).pair
    pixels = image.shape[-1]
    dark = torch.zeros((len(scene), pixels), dtype=torch.bool, device=image.device)
    dark[index[hidden], row[hidden] * view.width + column[hidden]] = True
    index, pixel = torch.nonzero(dark, as_tuple=True)
    down = torch.div(pixel, view.width, rounding_mode="floor") + 0.5 - view.cy
    clear = torch.exp(-position[index, 2] * view.focal / down / haze_m[index])[:, None]
    image[index, :, pixel] *= 1 - clear * (1 - lighting.ambient[index] / lighting.ground[index])


def _background(scene: Scene, lighting: Lighting, view: View, position: Tensor, haze_m: Tensor) -> Tensor:
    """Sky, skyline and ground [B, 3, H * W]."""
    device = position.device
    batch = len(scene)
    right, down = view.slopes(device)
    horizon = int((down < 0.01).sum())
    image = torch.empty((batch, 3, view.height, view.width), device=device)

    rise = -down[:horizon, None] / torch.sqrt(1 + right**2)  # tangent of the elevation
    height = (rise.clamp_min(0.0) * 2.5).clamp(max=1.0).sqrt()
    far, up = lighting.horizon[..., None, None], lighting.zenith[..., None, None]
    bearing = scene.ego[:, 2:3] - torch.atan(right)
    ridge = 0.03 + 0.07 * scene.look[:, 2:3] * (
        0.5 + 0.3 * torch.sin(3 * bearing) + 0.3 * torch.sin(7.3 * bearing + 1)
    )
    ridge = ridge + 0.025 * (torch.floor(bearing * 14) * 12.9898).sin()
    murk = torch.exp(-150 * scene.extinction)[:, None, None, None]  # what fog leaves of skyline and blue
    sky = torch.where((rise < ridge[:, None])[:, None], far * -0.25, (up - far) * height)
    image[:, :, :horizon] = (far + sky * murk) * scene.sky[:, None, None, None]

    depth = position[:, 2, None] / down[horizon:]  # [B, G]
    x = (depth + position[:, 0, None])[..., None]
    y = position[:, 1, None, None] - depth[..., None] * right
    cos, sin = torch.cos(scene.ego[:, 2])[:, None, None], torch.sin(scene.ego[:, 2])[:, None, None]
    world_x = scene.ego[:, 0, None, None] + x * cos - y * sin
    world_y = scene.ego[:, 1, None, None] + x * sin + y * cos
    seeds, which = torch.unique(scene.texture, return_inverse=True)
    tiles = torch.cat([_ground_tile(seed, device) for seed in seeds.tolist()])
    first = which[:, None, None] * _TILE**2

    def look_up(metres: float) -> Tensor:
        column = torch.floor(world_x / metres).long() & (_TILE - 1)
        row = torch.floor(world_y / metres).long() & (_TILE - 1)
        return tiles[first + row * _TILE + column]

    fade = 1 / (1 + (depth / 14) ** 2)
    rough = 0.1 + 0.2 * scene.look[:, 3]
    grain = look_up(_TILE_M) * (rough[:, None] * fade)[..., None] + look_up(_TILE_M * 6) * 0.15
    albedo = (0.12 + 0.22 * scene.look[:, 0])[:, None, None] * (1 + grain).clamp_min(0.2)
    tint = 1 + (scene.look[:, 1, None] - 0.5) * torch.tensor((0.25, 0.1, -0.25), device=device)
    beam = lighting.headlight[:, None, None] * _headlight(depth[..., None], right)
    clear = torch.exp(-depth / haze_m[:, None])[..., None]
    lit = (albedo * clear)[:, None]
    if bool((scene.ground.paved > 0).any()):
        lit = lit * on_ground(scene.ground, scene.look, x.expand_as(y), y)
    light = (lighting.ground * tint)[..., None, None]
    ground = image[:, :, horizon:]
    torch.addcmul(lit * beam[:, None], lit, light, out=ground)
    ground += far * (1 - clear)[:, None]
    return image.view(batch, 3, -1)


def _headlight(depth: Tensor, right: Tensor) -> Tensor:
    """Illumination by the vehicle's own lamps at `depth` metres, `right` times as far to the side."""
    return torch.exp(-3 * right**2) * 40 / (40 + depth**2)


@lru_cache(maxsize=16)
def _ground_tile(seed: int, device: torch.device) -> Tensor:
    """Periodic texture of unit variance, flat [_TILE * _TILE], coarse and fine grains mixed."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft2(torch.randn((_TILE, _TILE), generator=generator))
    fy = torch.fft.fftfreq(_TILE)[:, None] * _TILE
    fx = torch.fft.rfftfreq(_TILE)[None] * _TILE
    spectrum = spectrum / (1 + torch.hypot(fx, fy)) ** 0.9
    spectrum[0, 0] = 0
    tile: Tensor = torch.fft.irfft2(spectrum, s=(_TILE, _TILE))
    return (tile / tile.std()).reshape(-1).to(device)
