"""Camera: an image of any encoding to RGB, and from there to the network's virtual camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch

from sentryfuse_core.convert.image import BYTES_PER_PIXEL
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.fisheye import along, fisheye_maps
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.tensors import SEEN_STRIDE, UNSEEN
from sentryfuse_core.types import CompressedFrame, ImageFrame, Intrinsics, UInt8Array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sentryfuse_core.config import CameraConfig
    from sentryfuse_core.preprocess.motion import Rotation

__all__ = [
    "CONVERSIONS",
    "Look",
    "VirtualCamera",
    "Warped",
    "decode",
    "decode_for",
    "fitting",
    "joined",
    "parameter_intrinsics",
    "reduction",
    "same_shape",
    "seen_share",
    "shrunk",
]

# Columns: base axes of the virtual camera's right, down and forward.
_OPTICAL_TO_BASE = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

# OpenCV conversion to RGB by encoding; None: it is RGB.
CONVERSIONS: dict[str, int | None] = {
    "rgb8": None,
    "bgr8": cv2.COLOR_BGR2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
    "mono16": cv2.COLOR_GRAY2RGB,
    "16UC1": cv2.COLOR_GRAY2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUYV,
    "yuyv": cv2.COLOR_YUV2RGB_YUYV,
    **{
        f"bayer_{pattern}{bits}": getattr(cv2, f"COLOR_Bayer{pattern.upper()}2RGB")
        for pattern in ("rggb", "bggr", "gbrg", "grbg")
        for bits in (8, 16)
    },
}
_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
_REDUCED[8] = cv2.IMREAD_REDUCED_COLOR_8
LARGEST_SIDE = 32_766  # of OpenCV's remap
_IN_FRONT = 1e-3  # least forward part of a ray: with less it points beside the camera or behind it
_CLEARLY = 1.05  # times straighter: of cameras that look nearly the same way one should show it all
_SAME_SHAPE = 0.03  # by how much the sides' ratio may differ: encoders pad to blocks of pixels
_DEPTH_16 = ("mono16", "16UC1")


def parameter_intrinsics(config: CameraConfig) -> Intrinsics:
    """The intrinsics that the parameters of a camera give."""
    return Intrinsics(config.image_width, config.image_height, config.fx, config.fy, config.cx, config.cy)


def decode(frame: ImageFrame | CompressedFrame, *, reduce: int = 1) -> UInt8Array:
    """RGB uint8 [H, W, 3]; a view of the message for rgb8.

    `reduce` 2, 4 or 8 asks for an image that many times smaller; only a file can be decoded so, and it
    is faster that way. Raises InvalidMessageError `undecodable`.
    """
    try:
        if isinstance(frame, CompressedFrame):
            return _file(frame, reduce)
        return _rgb(_rows(frame), CONVERSIONS[frame.encoding])
    except cv2.error as error:
        raise InvalidMessageError("undecodable", f"{frame.data.size} bytes: {error.err}") from error


def _file(frame: CompressedFrame, reduce: int) -> UInt8Array:
    """The picture in a file; the pixels of a mosaic are no picture before they are turned to colours."""
    mosaic = frame.channels.startswith("bayer_")
    # The sensor's pixels are wanted: a rotation written into the file is for human eyes.
    flags = cv2.IMREAD_GRAYSCALE if mosaic else _REDUCED[reduce]
    pixels = cv2.imdecode(frame.data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise InvalidMessageError("undecodable", f"{frame.data.size} bytes of {frame.format}")
    conversion = CONVERSIONS[frame.channels or "bgr8"]
    return _rgb(np.asarray(pixels, np.uint8), conversion)


def _rgb(pixels: UInt8Array, conversion: int | None) -> UInt8Array:
    return pixels if conversion is None else np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)


def _rows(frame: ImageFrame) -> UInt8Array:
    """The pixels [H, W] or [H, W, C] of 8 bits, as a view: of 16-bit ones the high byte alone."""
    pixel_bytes = BYTES_PER_PIXEL[frame.encoding]
    shape = (frame.height, frame.width, pixel_bytes)
    pixels: UInt8Array = np.ndarray(shape, np.uint8, frame.data, 0, (frame.step, pixel_bytes, 1))
    if frame.encoding in _DEPTH_16 or frame.encoding.endswith("16"):
        return np.ascontiguousarray(pixels[..., 0 if frame.is_bigendian else 1])
    return pixels[..., 0] if pixel_bytes == 1 else pixels


def fitting(intrinsics: Intrinsics, width: int, height: int) -> Intrinsics:
    """The intrinsics of a picture of this size: of the region or of the whole sensor, whichever it shows.

    A picture of the same shape is one that was resized or binned. Where neither fits, or the size is 0 for
    not known, the region's are handed back.
    """
    candidates = [item for item in (intrinsics, intrinsics.whole) if item is not None]
    for item in candidates:
        if (item.width, item.height) == (width, height):
            return item
    return next((item for item in candidates if same_shape(item, width, height)), intrinsics)


def same_shape(intrinsics: Intrinsics, width: int, height: int, *, tolerance: float = _SAME_SHAPE) -> bool:
    """Whether the sides of a picture have the ratio that the intrinsics hold for."""
    return abs(width * intrinsics.height - height * intrinsics.width) <= tolerance * height * intrinsics.width


def reduction(width: int, intrinsics: Intrinsics) -> float:
    """How many pixels of an image of `width` fall on one of the virtual camera, along its finer axis."""
    scale = width / intrinsics.width
    return min(intrinsics.fx * scale / GEOMETRY.image_fx, intrinsics.fy * scale / GEOMETRY.image_fy)


class Warped(NamedTuple):
    """An image of the virtual camera."""

    image: Tensor  # [1, 3, 128, 384] RGB 0..1, mid grey where nothing is seen
    seen: Tensor | None  # [1, 1, 32, 96] share of each block of 4 x 4 pixels that is seen; None: all of it


class Look(NamedTuple):
    """What one camera shows of the virtual one's view, [128, 384] pixels."""

    pixels: UInt8Array  # [128, 384, 3] RGB
    straight: NDArray[np.float32]  # how straight it looks there: larger is straighter; -inf: not seen


class _Maps(NamedTuple):
    """Where each virtual pixel lies in the source, [128, 384] in pixels; `straight` as `Look` has it."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    straight: NDArray[np.float32]


class VirtualCamera:
    """Warps images to the network's camera; remembers its maps while the geometry stays the same."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._maps: _Maps | None = None

    def look(self, image: UInt8Array, intrinsics: Intrinsics, to_base: Rotation) -> Look:
        """What RGB uint8 [H, W, 3] shows of the virtual camera's view.

        `to_base` turns the camera's optical axes (z forward) into the base frame. Raises
        InvalidMessageError `outside_view` if the camera does not look where the virtual one does.
        """
        height, width, _ = image.shape
        image = shrunk(image, intrinsics)
        if max(image.shape) > LARGEST_SIDE:
            raise InvalidMessageError("bad_size", f"{width} x {height} pixels at this focal length")
        key = (image.shape, intrinsics, to_base.tobytes())
        if self._maps is None or key != self._key:
            self._maps, self._key = _build_maps(image.shape[:2], intrinsics, to_base), key
        x, y, straight = self._maps
        pixels = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return Look(np.asarray(pixels, np.uint8), straight)


def decode_for(frame: ImageFrame | CompressedFrame, intrinsics: Intrinsics) -> UInt8Array:
    """RGB uint8 [H, W, 3], smaller than the file where that is cheaper and still fine enough.

    Where the file's header does not tell the size, the intrinsics' is taken; where they differ, this
    costs sharpness or time, nothing else.
    """
    if isinstance(frame, ImageFrame) or frame.format != "jpeg":
        return decode(frame)
    ratio = reduction(frame.width or intrinsics.width, intrinsics)
    return decode(frame, reduce=max(step for step in _REDUCED if step <= max(ratio, 1.0)))


def shrunk(image: UInt8Array, intrinsics: Intrinsics) -> UInt8Array:
    """[H, W, 3], smaller by averaging blocks of pixels where it is much finer than the virtual camera's.

    Bilinear sampling alone would alias.
    """
    height, width, _ = image.shape
    shrink = int(reduction(width, intrinsics))
    if shrink <= 1:
        return image
    size = (max(width // shrink, 1), max(height // shrink, 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def joined(looks: Sequence[Look]) -> Warped:
    """One picture of what several cameras show: each pixel by the one that looks straightest at it."""
    pixels, straight = looks[0]
    for other in looks[1:]:
        better = other.straight > _CLEARLY * straight
        pixels = np.where(better[..., None], other.pixels, pixels)
        straight = np.maximum(straight, other.straight)
    seen = straight > -np.inf
    image = np.divide(pixels, np.float32(255.0), dtype=np.float32)
    share = _share(seen)
    if share is not None:
        image[~seen] = UNSEEN
    return Warped(torch.from_numpy(image).permute(2, 0, 1)[None], share)


def seen_share(intrinsics: Intrinsics, to_base: Rotation) -> float:
    """How much of the virtual camera's view a camera with these axes shows, 0..1."""
    try:
        maps = _build_maps((intrinsics.height, intrinsics.width), intrinsics, to_base)
    except InvalidMessageError:
        return 0.0
    return float(np.mean(maps.straight > -np.inf))


def _build_maps(size: tuple[int, ...], intrinsics: Intrinsics, to_base: Rotation) -> _Maps:
    """The maps for a picture of `size` (rows, columns)."""
    height, width = size
    turn = to_base.T @ _OPTICAL_TO_BASE  # virtual optical axes to the camera's
    # World and network put pixel centres at + 0.5, OpenCV at integers.
    g = GEOMETRY
    virtual = _matrix(g.image_fx, g.image_fy, g.image_cx - 0.5, g.image_cy - 0.5)
    scale_x, scale_y = width / intrinsics.width, height / intrinsics.height
    source = _matrix(
        intrinsics.fx * scale_x,
        intrinsics.fy * scale_y,
        (intrinsics.cx + 0.5) * scale_x - 0.5,
        (intrinsics.cy + 0.5) * scale_y - 0.5,
    )
    shape = (GEOMETRY.image_width, GEOMETRY.image_height)
    axes = (turn @ np.linalg.inv(virtual)).astype(np.float32)
    if intrinsics.fisheye:
        map_x, map_y, depth, seen = fisheye_maps(axes, shape, source, intrinsics.distortion)
    else:
        distortion = np.array(intrinsics.distortion) if intrinsics.distortion else None
        maps = cv2.initUndistortRectifyMap(source, distortion, turn.T, virtual, shape, cv2.CV_32FC1)
        map_x, map_y = (np.asarray(values, np.float32) for values in maps)
        # OpenCV does not ask whether a ray lies in front of the camera, or where distortion folds back.
        depth = along(axes[2], shape)
        seen = depth > _IN_FRONT
        largest = np.float32(_largest_radius(intrinsics.distortion))
        if largest < np.inf:
            x, y = along(axes[0], shape), along(axes[1], shape)
            seen &= x * x + y * y < (largest * depth) ** 2  # of rays behind the camera none is left
    seen &= (map_x >= -0.5) & (map_x <= width - 0.5) & (map_y >= -0.5) & (map_y <= height - 0.5)
    if not seen.any():
        raise InvalidMessageError(
            "outside_view", "the camera does not look along the base frame's x axis: check its transform"
        )
    straight = np.where(seen, depth, np.float32(-np.inf))
    return _Maps(map_x, map_y, straight)


def _share(seen: NDArray[np.bool_]) -> Tensor | None:
    """`Warped.seen` of pixels [H, W]."""
    if seen.all():
        return None
    counts = seen.view(np.uint8)
    for _ in range(2):  # along columns, then along rows, which are the columns of what is turned
        counts = sum((counts[start::SEEN_STRIDE] for start in range(1, SEEN_STRIDE)), counts[::SEEN_STRIDE]).T
    return torch.from_numpy(np.ascontiguousarray(counts, np.float32) / np.float32(SEEN_STRIDE**2))[None, None]


def _matrix(fx: float, fy: float, cx: float, cy: float) -> NDArray[np.float64]:
    """The pinhole camera's matrix, in pixels."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _largest_radius(distortion: tuple[float, ...]) -> float:
    """The tangent of the view angle up to which radial distortion still grows with the angle."""
    if not distortion:
        return float("inf")
    k1, k2, _, _, k3, k4, k5, k6 = (*distortion, *(0.0,) * 8)[:8]
    radius = np.linspace(0.0, 10.0, 2001)
    square = radius * radius
    top = 1.0 + square * (k1 + square * (k2 + square * k3))
    bottom = 1.0 + square * (k4 + square * (k5 + square * k6))
    with np.errstate(divide="ignore", invalid="ignore"):
        falling = np.flatnonzero(~(np.diff(radius * top / bottom) > 0.0))
    return float(radius[falling[0]]) if falling.size else float("inf")
