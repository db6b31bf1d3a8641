"""The ground: a road with kerbs and what lies beside it, or an open place; its height and how it reflects."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from sentryfuse_core.lab.world.variety import Variety

__all__ = ["Ground", "draw_ground", "flat_ground"]

_FAR = 1e4  # m: an edge that is nowhere
_LEVELLED_M = 8.0  # how far beside the road the ground goes on to rise


@dataclass(frozen=True, eq=False)
class Ground:
    """The ground of B moments, [B] each; directions and lengths in the vehicle's frame, m."""

    cos: Tensor  # of the road's direction
    sin: Tensor
    middle: Tensor  # how far left of the road's middle the vehicle is
    left: Tensor  # from the middle to the kerb on the left
    right: Tensor
    kerb_left: Tensor  # height
    kerb_right: Tensor
    rise_left: Tensor  # slope of what lies beyond
    rise_right: Tensor
    grade: Tensor  # change of slope ahead
    grade_from: Tensor
    road: Tensor  # reflectivity
    beside: Tensor
    paved: Tensor  # 1: a street, 0: no road

    def at(self, index: slice | Tensor) -> Ground:
        """That of the moments `index` selects."""
        return Ground(**{item.name: getattr(self, item.name)[index] for item in fields(self)})

    def expand(self, count: int) -> Ground:
        """That of one moment, `count` times."""
        return Ground(**{item.name: getattr(self, item.name).expand(count) for item in fields(self)})

    def across(self, x: Tensor, y: Tensor) -> Tensor:
        """How far left of the road's middle points [B, N] are."""
        return self.middle[:, None] + y * self.cos[:, None] - x * self.sin[:, None]

    def lift(self, x: Tensor, y: Tensor) -> Tensor:
        """Height of the ground at points [B, N]."""
        across = self.across(x, y)
        height = self.grade[:, None] * (x - self.grade_from[:, None]).clamp_min(0.0)
        for over, kerb, rise in (
            (across - self.left[:, None], self.kerb_left, self.rise_left),
            (-across - self.right[:, None], self.kerb_right, self.rise_right),
        ):
            beyond = kerb[:, None] + rise[:, None] * over.clamp(0.0, _LEVELLED_M)
            height = height + torch.where(over > 0.0, beyond, torch.zeros_like(over))
        return height

    def shine(self, x: Tensor, y: Tensor) -> Tensor:
        """Reflectivity of the ground at points [B, N]."""
        across = self.across(x, y)
        on_road = (across < self.left[:, None]) & (across > -self.right[:, None])
        return torch.where(on_road, self.road[:, None], self.beside[:, None])


def flat_ground(reflectivity: Tensor) -> Ground:
    """A level place of one reflectivity [B] without a road."""
    nothing = torch.zeros_like(reflectivity)
    given = {item.name: nothing for item in fields(Ground)}
    far = torch.full_like(nothing, _FAR)
    given |= {"cos": nothing + 1, "left": far, "right": far, "grade_from": far}
    return Ground(**{**given, "road": reflectivity, "beside": reflectivity})


def draw_ground(model: Variety, *, course: Tensor, generator: torch.Generator) -> Ground:
    """Streets and open places; the vehicle moves along `course` [B] rad and is anywhere across the road."""
    batch = len(course)
    u = torch.rand((16, batch), generator=generator, device=generator.device)
    normal = torch.randn((2, batch), generator=generator, device=generator.device)

    def between(span: tuple[float, float], draw: Tensor) -> Tensor:
        return span[0] + (span[1] - span[0]) * draw

    other = torch.where(u[0] < model.across, (u[1] - 0.5) * 2 * math.pi, 0.0)
    yaw = course + torch.deg2rad(model.along_deg * normal[0]) + other
    crossing = (other.sin().abs() > 0.5) & (yaw.sin().abs() > 0.5)
    half = between(model.half_width, u[2])
    middle = (2 * u[3] - 1) * (half - 1.2)
    # A road across the way lies ahead.
    middle = torch.where(crossing, yaw.sin().sign() * (6 + 24 * u[3]), middle)
    paved = (u[4] < model.streets).float()
    far = torch.full_like(half, _FAR)
    street = paved > 0
    return Ground(
        cos=yaw.cos(),
        sin=yaw.sin(),
        middle=torch.where(street, middle, torch.zeros_like(middle)),
        left=torch.where(street, half, far),
        right=torch.where(street, half, far),
        kerb_left=torch.where(u[5] < 0.3, torch.zeros_like(half), between(model.kerb, u[6])),
        kerb_right=torch.where(u[5] > 0.7, torch.zeros_like(half), between(model.kerb, u[7])),
        rise_left=(2 * u[8] - 0.7) * model.rise,
        rise_right=(2 * u[9] - 0.7) * model.rise,
        grade=model.grade * normal[1] * (u[10] < 0.5),
        grade_from=between((4.0, 24.0), u[11]),
        road=between(model.ground, u[12]),
        beside=between(model.ground, u[13]),
        paved=paved,
    )
