"""What an image file says of itself without being decoded: kind, size, channels, and where it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sentryfuse_core.errors import InvalidMessageError

if TYPE_CHECKING:
    from sentryfuse_core.types import UInt8Array

__all__ = ["LARGEST_PIXELS", "ImageFile", "image_file", "other_kind"]

# 8192 x 8192 is beyond any camera of a robot; a few kB can claim a thousand times more.
LARGEST_PIXELS = 1 << 26

# Of a file's parts that are looked at: pictures have fewer, damaged data can hold millions.
_MOST_SEGMENTS, _MOST_CHUNKS = 2_000, 50_000
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_TAIL_BYTES = 4096  # the end mark is sought here first: most drivers pad little or nothing
_END = b"\xff\xd9"
_STANDALONE = {0x01, 0xD8, *range(0xD0, 0xD8)}  # JPEG markers without a length
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG markers that begin a frame: size and components
_SCAN, _RESTART_INTERVAL = 0xDA, 0xDD
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; a palette decodes to colour
_OTHERS = (
    (b"\0\0\0\1", 0, "an H.264 or H.265 stream"),
    (b"\0\0\1", 0, "an H.264 or H.265 stream"),
    (b"II*\0", 0, "a TIFF file"),
    (b"MM\0*", 0, "a TIFF file"),
    (b"WEBP", 8, "a WebP file"),
    (b"ftypavi", 4, "an AVIF file"),
    (b"ftyphei", 4, "a HEIC file"),
    (b"\0\0\0\x0cjP", 0, "a JPEG 2000 file"),
    (b"\xff\x0a", 0, "a JPEG XL file"),
    (b"GIF8", 0, "a GIF file"),
    (b"BM", 0, "a BMP file"),
    (b"\x89PNG", 12, "a PNG file behind the header of compressedDepth: a depth image"),
)


class ImageFile(NamedTuple):
    """`kind` is jpeg or png; sizes and `channels` are 0 where the header is damaged."""

    kind: str
    width: int
    height: int
    channels: int
    ended: bool = True  # False: the file is whole but for its end mark, as some cameras leave it out


def image_file(data: UInt8Array) -> ImageFile | None:
    """The head of a JPEG or PNG file; None for data of another kind.

    Raises InvalidMessageError: `truncated`, `bad_size` for a size that no camera has, `undecodable` for a
    file without a picture.
    """
    start = data[:8].tobytes()
    if start.startswith(_JPEG):
        found = _jpeg(data)
    elif start == _PNG:
        found = _png(data)
    else:
        return None
    if found.width * found.height > LARGEST_PIXELS:
        detail = (
            f"a {found.kind} of {found.width} x {found.height} pixels; at most {LARGEST_PIXELS} are decoded"
        )
        raise InvalidMessageError("bad_size", detail)
    return found


def other_kind(data: UInt8Array) -> str:
    """What data that is neither JPEG nor PNG looks like, in words."""
    start = data[:20].tobytes()
    for magic, at, name in _OTHERS:
        if start[at:].startswith(magic):
            return name
    return f"data that begins with {start[:4].hex()}"


def _jpeg(data: UInt8Array) -> ImageFile:
    """Walk the segments up to the first scan: thumbnails, with end marks of their own, lie inside them."""
    width = height = channels = interval = cells = 0
    at, size = 2, data.size
    for _ in range(_MOST_SEGMENTS):
        # No segment that is read lies nearer to the end of a picture. Where there is none although one has to
        # be, whether the file can be decoded is for the decoder to say.
        if at + 12 > size or data[at] != 0xFF:
            break
        marker = int(data[at + 1])
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            raise InvalidMessageError("undecodable", "a jpeg that ends before its picture")
        length = int(data[at + 2]) << 8 | int(data[at + 3])
        if marker in _FRAMES and length >= 8:
            segment = data[at + 4 : at + 2 + length].tolist()
            height, width, channels = segment[1] << 8 | segment[2], segment[3] << 8 | segment[4], segment[5]
            cells = _cells(width, height, segment[6:])
        elif marker == _RESTART_INTERVAL and length >= 4:
            interval = int(data[at + 4]) << 8 | int(data[at + 5])
        at += 2 + max(length, 2)
        if marker == _SCAN:
            break
    ended = _has_end(data, min(at, size))
    # The picture of a camera that leaves out the mark is whole when it is down to its last interval.
    if not ended and not (interval and cells and _restarts(data, at) >= -(-cells // interval) - 1):
        raise InvalidMessageError("truncated", f"{size} bytes of a jpeg without its end mark, ff d9")
    return ImageFile("jpeg", width, height, channels, ended)


def _has_end(data: UInt8Array, scan: int) -> bool:
    """Whether the end mark comes after byte `scan`, where coded data begins that cannot hold it."""
    tail = max(scan, data.size - _TAIL_BYTES)
    if _END in data[tail:].tobytes():
        return True
    return _END in data[scan : tail + 1].tobytes()  # padded by more, or cut off


def _cells(width: int, height: int, components: list[int]) -> int:
    """Number of a JPEG's coded blocks, which restart intervals are counted in."""
    factors = components[1::3]
    if not factors:
        return 0
    across = max(1, *(factor >> 4 for factor in factors))
    down = max(1, *(factor & 15 for factor in factors))
    if len(factors) == 1:
        across = down = 1
    return -(-width // (8 * across)) * -(-height // (8 * down))


def _restarts(data: UInt8Array, scan: int) -> int:
    coded = data[scan:]
    marks = coded[1:][coded[:-1] == 0xFF]
    return int(np.count_nonzero((marks >= 0xD0) & (marks <= 0xD7)))


def _png(data: UInt8Array) -> ImageFile:
    """Walk the chunks by their lengths: `IEND` may stand in a text as well."""
    head = data[8:33].tobytes()
    if len(head) < 25:
        raise InvalidMessageError("truncated", f"{data.size} bytes of a png")
    if head[4:8] != b"IHDR":
        raise InvalidMessageError("undecodable", "a png without its header")
    width, height = int.from_bytes(head[8:12], "big"), int.from_bytes(head[12:16], "big")
    at = 33
    for _ in range(_MOST_CHUNKS):
        if at + 12 > data.size:
            break
        length, name = int.from_bytes(data[at : at + 4].tobytes(), "big"), data[at + 4 : at + 8].tobytes()
        at += 12 + length
        if not name.isalpha():
            break  # no chunk
        if name == b"IEND" and at <= data.size:
            return ImageFile("png", width, height, _PNG_CHANNELS.get(head[17], 0))
    raise InvalidMessageError("truncated", f"{data.size} bytes of a png without its end, IEND")
