"""sensor_msgs/Image and CompressedImage to frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from sentryfuse_core.convert.fields import array_view, flag, integer, row_step, text
from sentryfuse_core.convert.image_file import ImageFile, image_file, other_kind
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import CompressedFrame, ImageFrame

__all__ = ["BYTES_PER_PIXEL", "compressed_frame", "image_frame"]

_BAYER = ("bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")
BYTES_PER_PIXEL = {
    "rgb8": 3,
    "bgr8": 3,
    "8UC3": 3,
    "rgba8": 4,
    "bgra8": 4,
    "mono8": 1,
    "8UC1": 1,
    "mono16": 2,
    "16UC1": 2,
    "yuv422": 2,
    "uyvy": 2,
    "yuv422_yuy2": 2,
    "yuyv": 2,
    **{f"{pattern}8": 1 for pattern in _BAYER},
    **{f"{pattern}16": 2 for pattern in _BAYER},
}
PACKED_422 = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")  # two pixels share their colour

_COLOURS = ("rgb8", "bgr8", "rgba8", "bgra8", "rgb16", "bgr16", "rgba16", "bgra16")
_END_MARK = np.array([0xFF, 0xD9], np.uint8)


def image_frame(message: Any) -> ImageFrame:
    """A sensor_msgs/Image as a frame whose rows are known to lie inside its data."""
    encoding = text(message, "encoding")
    pixel_bytes = BYTES_PER_PIXEL.get(encoding)
    if pixel_bytes is None:
        raise InvalidMessageError("unknown_encoding", f"encoding {encoding!r:.60} {_why_not(encoding)}")
    height, width, declared_step = (integer(message, name) for name in ("height", "width", "step"))
    if height < 0 or width < 0 or (encoding in PACKED_422 and width % 2):
        raise InvalidMessageError("bad_size", f"{width} x {height} {encoding}")
    data = array_view(message, "data", np.uint8)
    if height == 0 or width == 0 or data.size == 0:
        raise InvalidMessageError("empty", f"{width} x {height} with {data.size} bytes")
    row_bytes = width * pixel_bytes
    shape = f"height {height} x width {width} in {encoding}"
    step = row_step(declared_step, name="step", rows=height, row_bytes=row_bytes, size=data.size, shape=shape)
    return ImageFrame(height, width, step, encoding, flag(message, "is_bigendian"), data)


def compressed_frame(message: Any) -> CompressedFrame:
    """A sensor_msgs/CompressedImage as a frame that begins and ends like a JPEG or PNG file.

    The bytes say which of the two it is, `format` what its channels mean.
    """
    data, declared = array_view(message, "data", np.uint8), text(message, "format")
    if data.size == 0:
        raise InvalidMessageError("empty", "an image file of 0 bytes")
    found = image_file(data)
    if found is None:
        kind = other_kind(data)
        raise InvalidMessageError(
            "unknown_encoding", f"format {declared!r:.60} is {kind}; JPEG and PNG are understood"
        )
    if not found.ended:
        data = np.concatenate([data, _END_MARK])
    return CompressedFrame(found.kind, data, _channels(declared, found), found.width, found.height)


def _channels(declared: str, found: ImageFile) -> str:
    """What the file's channels are by `format`, '<encoding>; <file> compressed <channels>'; '': as ever.

    As compressed_image_transport defines it: a file holds the channels of its message as they are, unless
    it says `compressed bgr8`: that is a file like any other. A mosaic has one channel and no colours yet.
    """
    encoding, semicolon, packing = (part.strip() for part in declared.partition(";"))
    if not semicolon:
        return ""
    if "compressedDepth" in packing or encoding == "32FC1":
        detail = f"format {declared!r:.60} is a depth image; choose the camera's picture"
        raise InvalidMessageError("unknown_encoding", detail)
    one = found.channels == 1
    if encoding.startswith("bayer_"):
        if one and encoding not in BYTES_PER_PIXEL:
            raise InvalidMessageError(
                "unknown_encoding", f"format {declared!r:.60} is no mosaic that is known"
            )
        return encoding if one else ""
    if one and encoding in PACKED_422:
        detail = f"format {declared!r:.60} holds the bytes of {encoding}, not a picture; send rgb8"
        raise InvalidMessageError("unknown_encoding", detail)
    return "rgb8" if encoding in _COLOURS and not one and "compressed bgr" not in packing else ""


def _why_not(encoding: str) -> str:
    if encoding in ("32FC1", "64FC1"):
        return "is a depth or confidence image: choose the camera's picture"
    return "is not supported: let the driver send rgb8, bgr8, mono8, yuv422 or a Bayer mosaic"
