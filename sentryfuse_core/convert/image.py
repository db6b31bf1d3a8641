"""sensor_msgs/Image and CompressedImage to frames."""

from __future__ import annotations

from typing import Any

from sentryfuse_core.convert.fields import byte_view, flag, integer, text
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

# First bytes of a file, its name, and the mark that its last bytes hold when it is complete.
_FILES = ((b"\xff\xd8", "jpeg", b"\xff\xd9"), (b"\x89PNG", "png", b"IEND"))
_TAIL_BYTES = 4096  # some drivers pad the end


def image_frame(message: Any) -> ImageFrame:
    """A sensor_msgs/Image as a frame whose rows are known to lie inside its data."""
    encoding = text(message, "encoding")
    pixel_bytes = BYTES_PER_PIXEL.get(encoding)
    if pixel_bytes is None:
        raise InvalidMessageError("unknown_encoding", f"encoding {encoding!r:.60} is not supported")
    height, width, step = (integer(message, name) for name in ("height", "width", "step"))
    if height < 0 or width < 0 or (encoding in PACKED_422 and width % 2):
        raise InvalidMessageError("bad_size", f"{width} x {height} {encoding}")
    data = byte_view(message, "data")
    if height == 0 or width == 0 or data.size == 0:
        raise InvalidMessageError("empty", f"{width} x {height} with {data.size} bytes")
    row_bytes = width * pixel_bytes
    if step < row_bytes:
        raise InvalidMessageError("step_too_small", f"step {step} for rows of {row_bytes} bytes")
    needed = (height - 1) * step + row_bytes
    if data.size < needed:
        raise InvalidMessageError("truncated", f"{data.size} bytes of {needed}")
    return ImageFrame(height, width, step, encoding, flag(message, "is_bigendian"), data)


def compressed_frame(message: Any) -> CompressedFrame:
    """A sensor_msgs/CompressedImage as a frame that begins and ends like a JPEG or PNG file."""
    data = byte_view(message, "data")
    if data.size == 0:
        raise InvalidMessageError("empty", "an image file of 0 bytes")
    head = data[:4].tobytes()
    for start, name, end in _FILES:
        if head.startswith(start):
            if end not in data[-_TAIL_BYTES:].tobytes():
                raise InvalidMessageError("truncated", f"{data.size} bytes of a {name} without its end")
            return CompressedFrame(name, data)
    declared = text(message, "format")
    raise InvalidMessageError(
        "unknown_encoding", f"{declared!r:.60} begins with {head.hex()}: no JPEG or PNG"
    )
