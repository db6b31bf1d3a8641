"""Compressed chunks, messages and files unpacked, never to more than they claim or a recording can need."""

from __future__ import annotations

import bz2
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["MOST_CHUNK_BYTES", "PACKINGS", "ZSTD_MAGIC", "unpack", "unpack_file", "unpack_message"]

MOST_CHUNK_BYTES = 1 << 30  # writers make chunks of 1 to 64 MB
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no CDR message begins so: its first byte is 0
_MOST_MESSAGE_BYTES = 1 << 29
_MOST_RATIO = 1000  # recordings are packed 2 to 20 times; zeros 30,000 times
_BLOCK = 1 << 20

_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "zstd": zstd.ZstdDecompressor,
    "lz4": LZ4FrameDecompressor,
    "bz2": bz2.BZ2Decompressor,
}

PACKINGS = ("", "none", *_DECOMPRESSORS)


def unpack(data: bytes, compression: str, size: int | None) -> bytes:
    """`data` unpacked, which must have `size` bytes (None: at most the most a chunk may have).

    `compression` is one of PACKINGS. Raises ValueError for another size, and what the library raises.
    """
    most = MOST_CHUNK_BYTES if size is None else size
    if most > MOST_CHUNK_BYTES:
        raise ValueError(f"a chunk claims {most:,} bytes, more than the {MOST_CHUNK_BYTES:,} allowed")
    make = _DECOMPRESSORS.get(compression)
    found = data if make is None else _bounded(data, make, most)
    if len(found) > most or (size is not None and len(found) < most):
        raise ValueError(f"a chunk does not unpack to the {most:,} bytes that it claims")
    return found


def unpack_message(data: bytes) -> bytes:
    """A message of a recording with `--compression-mode message`; raises what zstd raises, and ValueError."""
    found = _bounded(data, zstd.ZstdDecompressor, _MOST_MESSAGE_BYTES)
    if len(found) > _MOST_MESSAGE_BYTES:
        raise ValueError(f"the message unpacks to more than {_MOST_MESSAGE_BYTES:,} bytes")
    return found


def _bounded(data: bytes, make: Callable[[], Any], most: int) -> bytes:
    """All frames in `data`, at most one byte more than `most`."""
    parts: list[bytes] = []
    left = most + 1
    while data and left > 0:
        stage = make()
        part = stage.decompress(data, max_length=left)
        parts.append(part)
        left -= len(part)
        if left > 0 and not stage.eof:
            raise ValueError("packed data end too early")
        data = stage.unused_data or b""
    return parts[0] if len(parts) == 1 else b"".join(parts)


def unpack_file(source: Path, target: Path) -> None:
    """A .zstd file unpacked; raises ValueError where it unpacks to absurdly more than it holds."""
    size = source.stat().st_size
    written = 0
    with zstd.open(source, "rb") as packed, target.open("wb") as plain:
        while block := packed.read(_BLOCK):
            written += len(block)
            if written > 64 * _BLOCK and written > _MOST_RATIO * size:
                raise ValueError(f"it unpacks to more than {_MOST_RATIO:,} times its size; no recording does")
            plain.write(block)
