"""Images of every encoding become the same colours, and what a camera sees lands where it is."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from builders import image_message, message
from hypothesis import given, settings
from hypothesis import strategies as st

from sentryfuse_core.convert.image import BYTES_PER_PIXEL, compressed_frame, image_frame
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.camera import (
    CONVERSIONS,
    VirtualCamera,
    Warped,
    decode,
    decode_for,
    fitting,
    joined,
)
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.motion import pose_rotation
from sentryfuse_core.preprocess.tensors import SEEN_STRIDE, UNSEEN
from sentryfuse_core.types import Intrinsics, Pose

FORWARD = pose_rotation(Pose((0.0, 0.0, 0.0), (-0.5, 0.5, -0.5, 0.5)))
RGB = (200, 100, 50)
GREY = 120


def encoded(encoding: str, height: int, width: int, *, big: bool = False) -> np.ndarray:
    """Rows of bytes of an image that is RGB all over, or GREY where there is no colour."""
    name = encoding[:-1] if encoding.endswith("8") else encoding
    if encoding.startswith("bayer"):
        pattern = encoding.split("_")[1][:4]
        values = {"r": RGB[0], "g": RGB[1], "b": RGB[2]}
        tile = np.array([values[letter] for letter in pattern], np.uint8).reshape(2, 2)
        plane = np.tile(tile, (height // 2 + 1, width // 2 + 1))[:height, :width]
        return wide(plane, big=big) if encoding.endswith("16") else plane
    if encoding in ("mono16", "16UC1"):
        return wide(np.full((height, width), GREY, np.uint8), big=big)
    if encoding in ("mono8", "8UC1"):
        return np.full((height, width), GREY, np.uint8)
    if BYTES_PER_PIXEL[encoding] == 2:
        red, green, blue = (value / 255.0 for value in RGB)  # ITU-R BT.601, limited range
        luma = 16 + 65.481 * red + 128.553 * green + 24.966 * blue
        u = 128 - 37.797 * red - 74.203 * green + 112.0 * blue
        v = 128 + 112.0 * red - 93.786 * green - 18.214 * blue
        pair = (u, luma, v, luma) if encoding in ("yuv422", "uyvy") else (luma, u, luma, v)
        return np.tile(np.uint8(np.round(pair)), (height, width // 2))
    order = {"rgb": (0, 1, 2), "bgr": (2, 1, 0), "8UC3": (2, 1, 0), "rgba": (0, 1, 2), "bgra": (2, 1, 0)}
    pixel = [RGB[index] for index in order[encoding if encoding in order else name]]
    return np.tile(np.uint8(pixel + [9] * (BYTES_PER_PIXEL[encoding] - 3)), (height, width))


def wide(plane: np.ndarray, *, big: bool) -> np.ndarray:
    """8-bit values as the high byte of 16-bit ones."""
    return (plane.astype(">u2" if big else "<u2") * 256 + 255).astype(">u2" if big else "<u2").view(np.uint8)


def test_every_encoding_that_is_accepted_has_a_conversion() -> None:
    assert set(CONVERSIONS) == set(BYTES_PER_PIXEL)


@pytest.mark.parametrize("encoding", sorted(BYTES_PER_PIXEL))
@pytest.mark.parametrize(("padding", "big"), [(0, False), (7, False), (3, True)])
def test_decode_gives_the_same_colour_when_the_encoding_differs(
    encoding: str, padding: int, big: bool
) -> None:
    rows = encoded(encoding, 6, 8, big=big)
    frame = image_frame(image_message(encoding, rows, width=8, padding=padding, is_bigendian=big))
    image = decode(frame)
    assert image.shape == (6, 8, 3)
    expected = (GREY,) * 3 if "mono" in encoding or encoding.endswith("UC1") else RGB
    tolerance = 3 if "yuv" in encoding or "yuyv" in encoding or "uyvy" in encoding else 0
    assert np.abs(image.astype(int) - expected).max() <= tolerance


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_decode_reads_every_pixel_in_place_when_rows_are_padded(
    height: int, width: int, padding: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width * 3), dtype=np.uint8)
    frame = image_frame(image_message("rgb8", pixels, width=width, padding=padding))
    image = decode(frame)
    np.testing.assert_array_equal(image.reshape(height, -1), pixels)
    assert np.shares_memory(image, frame.data)
    swapped = decode(image_frame(image_message("bgr8", pixels, width=width, padding=padding)))
    np.testing.assert_array_equal(swapped[..., ::-1], image)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_decode_reads_a_file_and_reports_when_it_is_corrupt(suffix: str) -> None:
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, 48:] = RGB[::-1]
    data = cv2.imencode(suffix, pixels)[1].reshape(-1)
    frame = compressed_frame(message(format="x", data=data))
    image = decode(frame)
    assert image.shape == (64, 96, 3)
    assert np.abs(image[:, 60:].astype(int) - RGB).max() <= 4
    spoilt = data.copy()
    spoilt[8:-16] = 0
    with pytest.raises(InvalidMessageError) as caught:
        decode(compressed_frame(message(format="x", data=spoilt)))
    assert caught.value.reason == "undecodable"


def warp(image: np.ndarray, intrinsics: Intrinsics, to_base: np.ndarray) -> Warped:
    """The picture that the network gets of one camera."""
    return joined([VirtualCamera().look(image, intrinsics, to_base)])


def virtual_as_source(scale: int = 1) -> Intrinsics:
    """Intrinsics of a camera like the virtual one, `scale` times finer; OpenCV's pixel centres."""
    g = GEOMETRY
    return Intrinsics(
        g.image_width * scale,
        g.image_height * scale,
        g.image_fx * scale,
        g.image_fy * scale,
        g.image_cx * scale - 0.5,
        g.image_cy * scale - 0.5,
    )


def test_warp_changes_nothing_when_the_camera_is_the_virtual_one() -> None:
    image = np.random.default_rng(0).integers(
        0, 255, (GEOMETRY.image_height, GEOMETRY.image_width, 3), dtype=np.uint8
    )
    warped = warp(image, virtual_as_source(), FORWARD).image
    assert warped.shape == (1, 3, GEOMETRY.image_height, GEOMETRY.image_width)
    np.testing.assert_allclose(warped[0].permute(1, 2, 0).numpy() * 255.0, image, atol=1.0)


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_warp_averages_when_the_camera_is_finer(scale: int) -> None:
    rows, columns = np.indices((GEOMETRY.image_height * scale, GEOMETRY.image_width * scale))
    checker = np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], 3, axis=-1)
    warped = warp(checker, virtual_as_source(scale), FORWARD).image.numpy()
    assert np.abs(warped - 0.5).max() < 0.1  # sampling without averaging would leave black and white


def seen_at(
    direction: tuple[float, float, float], intrinsics: Intrinsics, rotation: np.ndarray
) -> tuple[float, float]:
    """Virtual pixel coordinates where a bright spot in that direction of the base frame turns up."""
    matrix = np.array([[intrinsics.fx, 0, intrinsics.cx], [0, intrinsics.fy, intrinsics.cy], [0, 0, 1.0]])
    ray = rotation.T @ np.array(direction)
    spot = cv2.projectPoints(
        ray.reshape(1, 1, 3), np.zeros(3), np.zeros(3), matrix, np.array(intrinsics.distortion)
    )
    image = np.zeros((intrinsics.height, intrinsics.width, 3), np.uint8)
    column, row = spot[0].reshape(2)
    cv2.circle(image, (round(column), round(row)), 12, (255, 255, 255), -1)
    light = warp(image, intrinsics, rotation).image[0, 0].numpy()
    rows, columns = np.indices(light.shape)
    light = np.where(light > 0.5, light, 0.0)  # the spot: what is not seen is grey
    assert light.sum() > 1.0
    return float((columns * light).sum() / light.sum()), float((rows * light).sum() / light.sum())


@pytest.mark.parametrize("distortion", [(), (-0.28, 0.07, 0.001, -0.0005, 0.0)])
@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.0, 0.0, 0.3), (0.05, -0.2, -0.1)])
@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (1.0, 0.4, 0.1), (1.0, -0.3, -0.2)])
def test_warp_puts_a_direction_where_it_belongs_when_the_camera_is_turned_and_distorted(
    distortion: tuple[float, ...], turn: tuple[float, ...], direction: tuple[float, float, float]
) -> None:
    intrinsics = Intrinsics(960, 640, 480.0, 470.0, 470.0, 325.0, distortion)
    column, row = seen_at(direction, intrinsics, cv2.Rodrigues(np.array(turn))[0] @ FORWARD)
    forward, left, up = direction
    assert column + 0.5 == pytest.approx(GEOMETRY.image_cx - GEOMETRY.image_fx * left / forward, abs=0.5)
    assert row + 0.5 == pytest.approx(GEOMETRY.image_cy - GEOMETRY.image_fy * up / forward, abs=0.5)


def test_warp_is_grey_outside_the_view_and_reports_when_nothing_is_inside() -> None:
    white = np.full((240, 320, 3), 255, np.uint8)
    narrow = Intrinsics(320, 240, 640.0, 640.0, 160.0, 120.0)
    warped = warp(white, narrow, FORWARD).image[0, 0]
    middle, half = GEOMETRY.image_cx, GEOMETRY.image_fx * 160.0 / 640.0
    above = min(GEOMETRY.image_cy, GEOMETRY.image_fy * 120.0 / 640.0)
    assert float(warped[round(GEOMETRY.image_cy), round(middle)]) == 1.0
    assert (warped[:, : int(middle - half - 2)] == UNSEEN).all()
    below = GEOMETRY.image_fy * 120.0 / 640.0
    assert (warped == 1.0).sum() == pytest.approx(2 * half * (above + below), rel=0.1)
    for angle in (math.pi, 2.0):
        with pytest.raises(InvalidMessageError) as caught:
            warp(white, narrow, cv2.Rodrigues(np.array([0.0, 0.0, angle]))[0] @ FORWARD)
        assert caught.value.reason == "outside_view"


def test_warp_tells_the_share_of_each_block_that_is_seen_when_the_view_is_partial() -> None:
    white = np.full((240, 320, 3), 255, np.uint8)
    narrow = Intrinsics(320, 240, 640.0, 640.0, 160.0, 120.0)
    image, seen = warp(white, narrow, FORWARD)
    assert seen is not None
    assert seen.shape == (1, 1, GEOMETRY.image_height // SEEN_STRIDE, GEOMETRY.image_width // SEEN_STRIDE)
    shown = (image[:, :1] == 1.0).float()
    torch.testing.assert_close(seen, torch.nn.functional.avg_pool2d(shown, SEEN_STRIDE))
    assert 0.0 < float(seen.mean()) < 0.5
    whole = np.full((GEOMETRY.image_height, GEOMETRY.image_width, 3), 255, np.uint8)
    assert warp(whole, virtual_as_source(), FORWARD).seen is None


def test_warp_does_not_fold_back_when_the_distortion_is_strong() -> None:
    white = np.full((240, 320, 3), 255, np.uint8)
    barrel = Intrinsics(320, 240, 300.0, 300.0, 160.0, 120.0, (-0.4, 0.0, 0.0, 0.0, 0.0))
    warped = warp(white, barrel, FORWARD).image[0, 0].numpy()
    # 1 - 3 * 0.4 r^2 = 0: beyond this tangent the model runs backwards
    columns = (np.arange(GEOMETRY.image_width) + 0.5 - GEOMETRY.image_cx) / GEOMETRY.image_fx
    beyond = np.abs(columns) > math.sqrt(1 / 1.2) + 0.02
    assert (warped[round(GEOMETRY.image_cy), beyond] == UNSEEN).all()
    assert warped[round(GEOMETRY.image_cy), np.abs(columns) < 0.6].all()


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.floats(-0.6, 0.6)] * 3),
    st.floats(0.5, 1.2),
    st.sampled_from([(), (-0.28, 0.07, 0.001, -0.0005, 0.0), (0.1, -0.02, 0.0, 0.001, 0.0)]),
)
def test_warp_shows_the_pixels_whose_rays_meet_the_picture_when_the_camera_is_turned(
    turn: tuple[float, float, float], focal: float, distortion: tuple[float, ...]
) -> None:
    g, intrinsics = GEOMETRY, Intrinsics(320, 240, focal * 320, focal * 320, 157.0, 122.0, distortion)
    rotation = cv2.Rodrigues(np.array(turn))[0] @ FORWARD
    rows, columns = np.indices((g.image_height, g.image_width)).astype(float)
    left, up = (g.image_cx - 0.5 - columns) / g.image_fx, (g.image_cy - 0.5 - rows) / g.image_fy
    rays = np.stack([np.ones_like(left), left, up], axis=-1).reshape(-1, 3) @ rotation
    matrix = np.array([[intrinsics.fx, 0, intrinsics.cx], [0, intrinsics.fy, intrinsics.cy], [0, 0, 1.0]])
    ahead = np.where(rays[:, 2:] > 0.1, rays, (0.0, 0.0, 1.0))
    met = cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), matrix, np.array(distortion or (0.0,) * 4))[0]
    margin = np.minimum(met[:, 0] + 0.5, np.array([319.5, 239.5]) - met[:, 0]).min(axis=1)
    margin = margin.reshape(left.shape)
    radius = np.hypot(ahead[:, 0], ahead[:, 1]) / ahead[:, 2]
    judged = ((rays[:, 2] < 0.0) | ((rays[:, 2] > 0.1) & (radius < 1.0))).reshape(left.shape)
    judged &= np.abs(margin) > 0.01  # at the very edge rounding decides; far out the model folds back
    expected = (margin > 0.0) & (rays[:, 2] > 0.0).reshape(left.shape)
    if not (expected & judged).any():
        return
    white = np.full((240, 320, 3), 255, np.uint8)
    warped = warp(white, intrinsics, rotation).image[0, 0].numpy()
    np.testing.assert_array_equal(warped[judged] == 1.0, expected[judged])


def test_virtual_camera_decodes_smaller_when_a_jpeg_is_finer_than_needed() -> None:
    smooth = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8), (0, 0), 9
    )
    data = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].reshape(-1)
    frame = compressed_frame(message(format="jpeg", data=data))
    intrinsics = Intrinsics(640, 480, 480.0, 480.0, 320.0, 240.0)
    small, full = decode_for(frame, intrinsics), decode(frame)
    assert small.shape == (240, 320, 3)
    results: list[Any] = [warp(image, intrinsics, FORWARD).image.numpy() for image in (small, full)]
    assert np.abs(results[0] - results[1]).max() < 0.03


@pytest.mark.parametrize(("width", "height"), [(640, 480), (320, 240), (1280, 960), (0, 0), (640, 488)])
def test_intrinsics_fit_when_the_picture_was_resized_or_binned(width: int, height: int) -> None:
    intrinsics = Intrinsics(640, 480, 480.0, 480.0, 320.0, 240.0)
    assert fitting(intrinsics, width, height) is intrinsics


def test_intrinsics_of_region_or_sensor_hold_whichever_the_picture_shows() -> None:
    whole = Intrinsics(640, 480, 480.0, 480.0, 320.0, 240.0)
    part = Intrinsics(320, 240, 480.0, 480.0, 160.0, 120.0, whole=whole)
    assert fitting(part, 320, 240) is part
    assert fitting(part, 160, 120) is part  # binned
    assert fitting(part, 640, 480) is whole  # the driver sends all of it
