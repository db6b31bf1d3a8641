"""A second teacher: a 2-D detector of the user's own bears witness to the boxes of the first one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats, Ints
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.adapting.lessons import Lesson
from sentryfuse_core.lab.training.view_targets import rectangles
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.onnx import OnnxModel

__all__ = ["Flat", "Witness", "open_witness", "parse_classes", "witnessed"]

_LEAST_SCORE = 0.3  # of a 2-D box, to say anything
_SAME = 0.4  # IoU of a 2-D box and a projected 3-D one that are of one object
_NEAR_M = 25.0  # what is nearer and in the image, a 2-D detector is expected to find
_WHOLE = 0.8  # of a projected box lies in the image, to be called in it


@dataclass(frozen=True, eq=False)
class Flat:
    """K boxes in the image of the virtual camera."""

    corners: Floats  # [K, 4] left, top, right, bottom in pixels
    classes: Ints  # [K] index into the labels, -1 for what is none of them
    scores: Floats  # [K]


Witness = Callable[[NDArray[np.uint8]], Flat]  # of an image [H, W, 3] RGB


def witnessed(inputs: ModelInput, lesson: Lesson, witness: Witness) -> Lesson:
    """The lesson of one frame where both teachers have their say; what the image does not show stays.

    A box that the witness has too, as the same class, is sure. One that is near and in the image, and that
    the witness does not have, is not.
    """
    if inputs.camera is None or inputs.camera_position is None or not len(lesson.sure):
        return lesson
    pixels = (inputs.camera[0] * 255.0).round().clamp(0, 255).to(torch.uint8)
    flat = witness(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
    boxes = torch.from_numpy(lesson.boxes.boxes).float()[None]
    tilt = torch.zeros(1, 2) if inputs.tilt is None else inputs.tilt
    low, high, ahead = rectangles(boxes, inputs.camera_position, tilt)
    drawn = torch.cat((low, high), dim=-1)[0].double().numpy()  # [N, 4]
    size = np.array([GEOMETRY.image_width, GEOMETRY.image_height])
    cut = np.concatenate((np.clip(drawn[:, :2], 0, size), np.clip(drawn[:, 2:], 0, size)), axis=1)
    shown = (_area(cut) >= _WHOLE * _area(drawn)) & (ahead[0].numpy() > 0.0)
    same = lesson.boxes.classes[:, None] == flat.classes[None]
    near = np.hypot(*lesson.boxes.boxes[:, :2].T) < _NEAR_M
    overlap = _iou(cut, flat.corners) * same * (flat.scores >= _LEAST_SCORE)
    confirmed = shown & (overlap.max(axis=1, initial=0.0) >= _SAME)
    return replace(lesson, sure=confirmed | (lesson.sure & ~(shown & near)))


def _area(corners: Floats) -> Floats:
    sides = np.clip(corners[..., 2:] - corners[..., :2], 0.0, None)
    area: Floats = sides[..., 0] * sides[..., 1]
    return area


def _iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes [N, 4] and [K, 4]: [N, K]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = _area(np.concatenate((low, high), axis=-1))
    iou: Floats = shared / np.maximum(_area(first)[:, None] + _area(second)[None] - shared, 1e-9)
    return iou


def parse_classes(text: str, labels: Sequence[str]) -> dict[int, int]:
    """The detector's classes as ours: 'car=2,pedestrian=0' is {2: 0, 0: 1}. Raises ConfigError."""
    known: dict[int, int] = {}
    for part in text.split(","):
        label, _, number = part.partition("=")
        if label.strip() not in labels or not number.strip().isdecimal():
            raise ConfigError(
                f"--detector-classes {text}: give NAME=NUMBER of the file's classes, the names being "
                f"{', '.join(labels)}, e.g. car=2,pedestrian=0"
            )
        known[int(number)] = labels.index(label.strip())
    return known


def open_witness(path: Path, classes: Mapping[int, int]) -> Witness:
    """The 2-D detector of an ONNX file, its `classes` by their numbers.

    Input: one image, uint8 [1, H, W, 3] or float32 [1, 3, H, W] of 0..1, RGB; the picture is stretched to H
    and W where these are fixed. Outputs: `boxes` [N, 4] (left, top, right, bottom; pixels of the input, or
    0..1 of its sides), `classes` [N] and `scores` [N], each with or without a leading 1. Raises BackendError
    for a file that is none.
    """
    model = OnnxModel(path, outputs=("boxes", "classes", "scores"))
    deep = len(model.input_shape) == 4 and model.input_shape[1] == 3
    height, width = model.input_shape[2:] if deep else model.input_shape[1:3]

    def find(image: NDArray[np.uint8]) -> Flat:
        own = (width or image.shape[1], height or image.shape[0])
        scaled = cv2.resize(image, own, interpolation=cv2.INTER_LINEAR)
        given = scaled.transpose(2, 0, 1).astype(np.float32) / 255.0 if deep else scaled
        found = model(np.ascontiguousarray(given[None]))
        corners = found["boxes"].reshape(-1, 4).astype(np.float64)
        if corners.max(initial=0.0) <= 1.5:  # shares of the sides
            corners = corners * (own * 2)
        corners = corners * (np.array(image.shape[1::-1] * 2) / (own * 2))
        numbers = found["classes"].reshape(-1).astype(np.int64)
        mine = np.array([classes.get(int(number), -1) for number in numbers], np.int64)
        return Flat(corners, mine, found["scores"].reshape(-1).astype(np.float64))

    return find
