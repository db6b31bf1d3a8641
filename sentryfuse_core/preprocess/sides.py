"""The picture of one sector, from the camera or the cameras that see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.camera import VirtualCamera, joined, seen_share

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sentryfuse_core.rotation import Rotation
    from sentryfuse_core.types import Intrinsics, UInt8Array

__all__ = ["Shot", "Side"]

_LEAST_OF_ONE = 0.02  # share of a sector's picture that a camera has to see to add to it
_LEAST_SHARE = 0.2  # of a sector's picture: less is not worth running the camera's encoder


@dataclass(frozen=True, eq=False)
class Shot:
    """The picture of one camera, and where that was when it was taken."""

    image: UInt8Array  # [H, W, 3] RGB
    intrinsics: Intrinsics
    mount: Rotation  # turns its optical axes into the base frame of that moment
    turned: Rotation  # and that into the base frame at the set's stamp
    position_m: NDArray[np.floating[Any]]  # [3] of the camera in the base frame at the set's stamp


class Side:
    """The virtual camera that looks along one sector; it keeps its maps while cameras stay in place."""

    def __init__(self, axes: Rotation, *, alone: bool) -> None:
        """`axes` turn base axes into the sector's; `alone`: one sector, one camera, and any view will do."""
        self._axes = axes
        self._alone = alone
        self._cameras: dict[str, VirtualCamera] = {}
        self._shares: dict[str, tuple[tuple[Intrinsics, bytes], float]] = {}

    def wants(self, name: str, intrinsics: Intrinsics, mount: Rotation) -> bool:
        """Whether a camera with this `mount` sees any of the sector, or is the only one there is."""
        return self._alone or self._share(name, intrinsics, mount) >= _LEAST_OF_ONE

    def show(self, shots: Mapping[str, Shot]) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
        """Tensors by their name in ModelInput and the cameras they are of; nothing where too little is seen.

        Where several see the same, the one that looks straighter is taken. The camera's position is that of
        the one that sees most of the sector. Raises InvalidMessageError `outside_view` where the only camera
        of the only sector looks elsewhere.
        """
        looks = {}
        for name in shots if self._alone else self._seeing(shots):
            shot = shots[name]
            virtual = self._cameras.setdefault(name, VirtualCamera())
            to_sector = self._axes @ (shot.turned @ shot.mount)
            try:
                looks[name] = virtual.look(shot.image, shot.intrinsics, to_sector)
            except InvalidMessageError as error:
                if self._alone or error.reason != "outside_view":
                    raise  # else the robot has turned meanwhile, and what little it saw is gone
        if not looks:
            return {}, ()
        names, warped = tuple(looks), joined(list(looks.values()))
        position = (self._axes @ shots[names[0]].position_m).astype(np.float32)
        part = {"camera": warped.image, "camera_position": torch.from_numpy(position)[None]}
        if warped.seen is not None:
            part["camera_seen"] = warped.seen
        return part, names

    def _seeing(self, shots: Mapping[str, Shot]) -> tuple[str, ...]:
        """The cameras that see enough of the sector, most first; none where all together do not."""
        every = {name: self._share(name, shot.intrinsics, shot.mount) for name, shot in shots.items()}
        shares = {name: share for name, share in every.items() if share >= _LEAST_OF_ONE}
        if sum(shares.values()) < _LEAST_SHARE:
            return ()
        return tuple(sorted(shares, key=lambda name: -shares[name]))

    def _share(self, name: str, intrinsics: Intrinsics, mount: Rotation) -> float:
        """How much of this sector a camera sees where the robot does not turn meanwhile."""
        key = (intrinsics, mount.tobytes())
        if name not in self._shares or self._shares[name][0] != key:
            self._shares[name] = (key, seen_share(intrinsics, self._axes @ mount))
        return self._shares[name][1]
