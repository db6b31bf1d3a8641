"""One sub-network as a function of plain tensors: what compilers, exporters and graphs take."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput, all_seen
from sentryfuse_core.runtime.lean.form import LeanForm
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

__all__ = ["SubNetwork", "input_tensors", "maps_of", "output_from"]

_INPUTS = ("camera", "camera_position", "camera_seen", "lidar", "imu", "tilt", "audio", "quality")
_EVIDENCE = "evidence_"


class SubNetwork(nn.Module):
    """The deploy form at some widths, for the sensors whose tensors are called `inputs`."""

    def __init__(
        self,
        form: LeanForm,
        inputs: tuple[str, ...],
        parts: PartLevels,
        *,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """`precision` is that of products and convolutions; all else stays float32."""
        super().__init__()
        self.form = form
        self.inputs = inputs
        self.parts = parts
        self.precision = precision
        form.prepare(ModalitySet.of(*(item for item in Modality if item.value in inputs)), parts)

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        """Float32 maps by name; `tensors` in the order of `inputs`."""
        given = ModelInput(**dict(zip(self.inputs, tensors, strict=True)))
        reduced = self.precision is not torch.float32
        kind = tensors[0].device.type
        with torch.autocast(kind, self.precision, cache_enabled=False) if reduced else nullcontext():
            output = self.form(given, self.parts)
        maps = maps_of(output)
        return {name: values.float() for name, values in maps.items()} if reduced else maps


def input_tensors(inputs: ModelInput, *, trusting: bool) -> dict[str, Tensor]:
    """The tensors that are present, by name, in a fixed order; of quality where the network is `trusting`.

    An IMU without a tilt is given a level one, and a camera without `camera_seen` one that sees everything:
    a sub-network of fixed inputs has no other way to say so.

    Raises:
        BackendError: more than one sample, or none: fixed sub-networks are made for one set at a time;
            or quality was not measured, which they have no way to say.
    """
    found = {name: getattr(inputs, name) for name in _INPUTS}
    if found["camera"] is not None and found["camera_seen"] is None:
        found["camera_seen"] = all_seen(found["camera"])
    if found["imu"] is not None and found["tilt"] is None:
        found["tilt"] = found["imu"].new_zeros(len(found["imu"]), 2)
    quality = found.pop("quality")
    present = {name: tensor for name, tensor in found.items() if tensor is not None}
    if trusting and present:
        if quality is None:
            raise BackendError(
                "quality is None: these weights trust sensors by it; give what preprocess.quality measures, "
                "or use eager"
            )
        present["quality"] = quality
    sizes = {len(tensor) for tensor in present.values()}
    if sizes != {1}:
        raise BackendError(f"batch sizes {sorted(sizes)}: this backend runs one set at a time; use eager")
    return present


def maps_of(output: HeadOutput) -> dict[str, Tensor]:
    """The head's output as maps by name, see `output_from`."""
    evidence = {f"{_EVIDENCE}{name.value}": logits for name, logits in output.evidence.items()}
    return {"heatmap": output.heatmap, "boxes": output.boxes, **evidence}


def output_from(maps: Mapping[str, Tensor]) -> HeadOutput:
    """Maps by name, as `SubNetwork` gives them, as the head's output."""
    evidence = {
        modality: maps[f"{_EVIDENCE}{modality.value}"]
        for modality in Modality
        if f"{_EVIDENCE}{modality.value}" in maps
    }
    return HeadOutput(maps["heatmap"], maps["boxes"], evidence)
