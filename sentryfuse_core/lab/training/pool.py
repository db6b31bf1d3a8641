"""SamplePool: world samples are dear to make, so each is used a few times, mirrored half of the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sentryfuse_core.faults.tensors import RawSet
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.mirror import mirror
from sentryfuse_core.preprocess.tensors import ModelInput, all_seen

__all__ = ["SamplePool"]

_FIRST_BATCHES = 12  # made before the first step, so that it is not always the same few samples
_POINT_M = 0.002  # steps of a point's coordinates
_NO_RETURN = -32768
_FIRST_NUMBER = 2**19  # their numbers, counted on from the step: beyond those of any step


class SamplePool:
    """Batches drawn from those made last, `kept` of them; a new batch is made every `reuse` steps.

    All batches must be of one size. The samples stay where they were made, on the CPU or a GPU, and their
    memory is taken at once: 200 kB each, 500 kB with their raw data.
    """

    def __init__(
        self,
        make: Callable[[int], LabelledBatch],
        *,
        reuse: int,
        kept: int = 128,
        first: int = _FIRST_BATCHES,
    ) -> None:
        self._make = make
        self._reuse = reuse
        self._kept = kept
        self._first = first
        self._ring: dict[str, Tensor] = {}  # [kept, B, ...] each
        self._made = 0

    def __call__(self, step: int) -> LabelledBatch:
        """The batch of `step`; an interrupted run starts with a fresh pool."""
        if not self._made:
            for index in range(self._first):
                self._add(_FIRST_NUMBER + step + index)
        if step % self._reuse == 0:
            self._add(step)
        generator = torch.Generator().manual_seed(step)
        size = self._ring["classes"].shape[1]
        there = min(self._made, self._kept) * size
        oldest = max(self._made - self._kept, 0) * size
        chosen = (oldest + torch.randint(there, (size,), generator=generator)) % (self._kept * size)
        turned = torch.rand(size, generator=generator) < 0.5
        device = self._ring["classes"].device
        rows = {name: item.flatten(0, 1)[chosen.to(device)] for name, item in self._ring.items()}
        return mirror(_unpacked(rows), turned.to(device))

    def _add(self, number: int) -> None:
        columns = _packed(self._make(number))
        if not self._ring:
            self._ring = {name: item.new_empty((self._kept, *item.shape)) for name, item in columns.items()}
        for name, item in columns.items():
            self._ring[name][self._made % self._kept] = item
        self._made += 1


def _packed(batch: LabelledBatch) -> dict[str, Tensor]:
    """Columns in a compact form: the image in bytes, lidar and audio in half precision."""
    inputs = batch.inputs
    columns = {
        "camera": inputs.camera,
        "camera_position": inputs.camera_position,
        "lidar": inputs.lidar,
        "imu": inputs.imu,
        "tilt": inputs.tilt,
        "audio": inputs.audio,
    }
    there = {name: item for name, item in columns.items() if item is not None}
    if len(there) < len(columns):
        raise ValueError(f"training needs all four sensors, not {inputs.present}")
    image = there["camera"].mul(255.0).round().clamp(0, 255).to(torch.uint8)
    compact = {"camera": image, "lidar": there["lidar"].half(), "audio": there["audio"].half()}
    seen = all_seen(there["camera"]) if inputs.camera_seen is None else inputs.camera_seen
    compact["camera_seen"] = seen.half()  # of all batches, whichever come first
    truth = {"boxes": batch.boxes, "classes": batch.classes}
    if batch.attitude is not None:
        truth["attitude"] = batch.attitude
    if inputs.quality is not None:
        truth["quality"] = inputs.quality
    return {**there, **compact, **truth, **_packed_raw(batch.raw)}


def _packed_raw(raw: RawSet | None) -> dict[str, Tensor]:
    """What `inputs` do not hold: points in steps of 2 mm, sound in 16 bits, images in bytes."""
    if raw is None:
        return {}
    given = {name: item for name, item in vars(raw).items() if item is not None}
    packed = {}
    for name in ("points", "late_points"):
        points = torch.cat((given[name][..., :3] / _POINT_M, given[name][..., 3:] * 255.0), dim=-1)
        packed[name] = torch.nan_to_num(points, nan=_NO_RETURN).round().clamp(_NO_RETURN, 32767).short()
    packed["late_image"] = given["late_image"].mul(255.0).round().clamp(0, 255).to(torch.uint8)
    packed["pcm"] = (given["pcm"] * 32767.0).round().clamp(-32767, 32767).short()
    return packed


def _unpacked_raw(rows: Mapping[str, Tensor], inputs: ModelInput) -> RawSet | None:
    if "points" not in rows:
        return None
    clouds = {}
    for name in ("points", "late_points"):
        points = rows[name].float()
        points = points * points.new_tensor([_POINT_M, _POINT_M, _POINT_M, 1.0 / 255.0])
        clouds[name] = points.masked_fill(rows[name][..., :1] == _NO_RETURN, torch.nan)
    return RawSet(
        image=inputs.camera,
        motion=inputs.imu,
        tilt=inputs.tilt,
        pcm=rows["pcm"].float() / 32767.0,
        late_image=rows["late_image"].float() / 255.0,
        **clouds,
    )


def _unpacked(rows: Mapping[str, Tensor]) -> LabelledBatch:
    seen = rows["camera_seen"].float()
    inputs = ModelInput(
        camera=rows["camera"].float() / 255.0,
        camera_position=rows["camera_position"],
        camera_seen=seen if bool((seen < 1.0).any()) else None,
        lidar=rows["lidar"].float(),
        imu=rows["imu"],
        tilt=rows["tilt"],
        audio=rows["audio"].float(),
        quality=rows.get("quality"),
    )
    raw = _unpacked_raw(rows, inputs)
    return LabelledBatch(inputs, rows["boxes"], rows["classes"], attitude=rows.get("attitude"), raw=raw)
