"""Spoils the content of one message: a function per fault, which returns a copy.

Every function takes the message, the fault's options and a seeded generator. A message of a kind that
a fault does not know, or one already too short to hold what it announces, keeps its content.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sentryfuse_core.faults.corruption.audio import clipped, gapped, noisy_audio, silent
from sentryfuse_core.faults.corruption.cloud import blocked, empty, missing_points, noisy_cloud
from sentryfuse_core.faults.corruption.image import black, covered, noisy_image, white
from sentryfuse_core.faults.corruption.imu import altered, saturated, stuck
from sentryfuse_core.faults.corruption.malformed import malformed
from sentryfuse_core.faults.corruption.payload import Options, is_cloud, is_image, is_imu, truncate

__all__ = ["CORRUPTIONS", "stuck"]


def _not_a_number(message: Any, options: Options, random: np.random.Generator) -> Any:
    """Make a `share` of a cloud's points, or of IMU messages, NaN."""
    if is_imu(message):
        return altered(message, lambda *_: math.nan) if random.random() < options["share"] else message
    return missing_points(message, options["share"], random)


def _noise(message: Any, options: Options, random: np.random.Generator) -> Any:
    """Add white noise of `sigma`: of full scale for images and audio, in SI units for clouds and IMU."""
    sigma = options["sigma"]
    if is_imu(message):
        return altered(message, lambda _, value: value + sigma * random.standard_normal())
    if is_cloud(message):
        return noisy_cloud(message, sigma, random)
    if is_image(message):
        return noisy_image(message, sigma, random)
    return noisy_audio(message, sigma, random)


CORRUPTIONS: Mapping[str, Callable[[Any, Options, np.random.Generator], Any]] = {
    "truncate": truncate,
    "black": black,
    "white": white,
    "covered": covered,
    "empty": empty,
    "blocked": blocked,
    "nan": _not_a_number,
    "noise": _noise,
    "saturated": saturated,
    "silent": silent,
    "clipped": clipped,
    "gapped": gapped,
    "malformed": malformed,
}
