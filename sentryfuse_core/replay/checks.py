"""Does a recording fit the parameters: image size against intrinsics, audio rate against its stamps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess import camera
from sentryfuse_core.types import (
    AudioBlock,
    CompressedFrame,
    ImageFrame,
    Intrinsics,
    Modality,
    ModalitySet,
    Sample,
    SyncedSet,
)

__all__ = ["FitCheck", "audio_misfit", "camera_misfit"]

_TOLERANCE = 0.1  # share by which shape or length may differ
_MIN_BLOCKS = 3


class FitCheck:
    """Looks once at the first set of each kind; `intrinsics` are those in force."""

    def __init__(self, intrinsics: Intrinsics) -> None:
        self.intrinsics = intrinsics
        self._unchecked = ModalitySet.of(Modality.CAMERA, Modality.AUDIO)

    def look(self, synced: SyncedSet) -> list[str]:
        """What to set where this set shows that the recording does not fit the parameters."""
        notes = []
        for modality in self._unchecked & synced.present:
            samples = synced.samples[modality]
            if modality is Modality.CAMERA:
                misfit = camera_misfit(samples[-1], self.intrinsics)
            elif len(samples) >= _MIN_BLOCKS:
                misfit = audio_misfit(samples)
            else:
                continue
            self._unchecked -= ModalitySet.of(modality)
            if misfit is not None:
                notes.append(misfit)
        return notes


def camera_misfit(sample: Sample, intrinsics: Intrinsics) -> str | None:
    """What to set where the picture is not of the shape that the intrinsics hold for; None: it is."""
    if not isinstance(sample.payload, (ImageFrame, CompressedFrame)):
        return None
    try:
        height, width = camera.decode(sample.payload).shape[:2]
    except InvalidMessageError:
        return None
    ratio = (width / height) / (intrinsics.width / intrinsics.height)
    if abs(ratio - 1.0) <= _TOLERANCE:
        return None
    return (
        f"camera: the pictures are {width} x {height} pixels, the intrinsics hold for "
        f"{intrinsics.width} x {intrinsics.height}: set camera.image_width, image_height, fx, fy, cx and cy"
    )


def audio_misfit(samples: Sequence[Sample]) -> str | None:
    """What to set where blocks last longer or shorter than the time between their stamps; None: they fit."""
    blocks = [sample.payload for sample in samples if isinstance(sample.payload, AudioBlock)]
    if len(blocks) < _MIN_BLOCKS or not all(block.stamped for block in blocks):
        return None
    apart_s = float(np.median(np.diff([sample.stamp_ns for sample in samples]))) / NS_PER_S
    block = blocks[-1]
    length_s = block.pcm.shape[0] / block.sample_rate_hz
    if apart_s <= 0.0 or abs(length_s / apart_s - 1.0) <= _TOLERANCE:
        return None
    values_hz = block.pcm.size / apart_s
    return (
        f"audio: blocks of {length_s * 1e3:.1f} ms every {apart_s * 1e3:.1f} ms: set audio.sample_rate_hz "
        f"and audio.channels, whose product looks like {round(values_hz, -2):.0f} Hz"
    )
