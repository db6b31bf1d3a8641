"""Files in messages: where they end, how large they are, and what their channels mean."""

from __future__ import annotations

import struct
import time
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from builders import image_message, message

from sentryfuse_core.convert.image import compressed_frame, image_frame
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.camera import decode
from sentryfuse_core.types import UInt8Array

RNG = np.random.default_rng(0)
NOISE = cv2.resize(RNG.integers(0, 255, (30, 40, 3), dtype=np.uint8), (160, 120))
COLOUR = np.full((120, 160, 3), (200, 100, 50), np.uint8)  # RGB


def encoded(suffix: str, pixels: Any = NOISE, options: tuple[int, ...] = ()) -> bytes:
    return bytes(cv2.imencode(suffix, pixels, options)[1].tobytes())


def frame(data: bytes, declared: str = "jpeg") -> Any:
    return compressed_frame(message(format=declared, data=data))


def reason(data: bytes, declared: str = "jpeg") -> tuple[str, str]:
    with pytest.raises(InvalidMessageError) as caught:
        decode(frame(data, declared))
    return caught.value.reason, caught.value.detail


JPEG, PNG = encoded(".jpg"), encoded(".png")
THUMBNAIL = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(JPEG) + 8) + b"Exif\0\0" + JPEG + JPEG[2:]


@pytest.mark.parametrize("file", [JPEG, THUMBNAIL, encoded(".jpg", NOISE, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))])
@pytest.mark.parametrize("padding", [0, 1, 4095, 4096, 50_000])
def test_a_jpeg_is_whole_when_anything_follows_its_end_mark(file: bytes, padding: int) -> None:
    whole = decode(frame(file))
    for filling in (bytes(padding), b"\xff" * padding, JPEG):
        np.testing.assert_array_equal(decode(frame(file + filling)), whole)


@pytest.mark.parametrize("file", [JPEG, THUMBNAIL])
@pytest.mark.parametrize("padding", [0, 100, 9000])
def test_a_jpeg_is_truncated_when_only_its_thumbnail_has_an_end_mark(file: bytes, padding: int) -> None:
    for cut in (2, 700, len(JPEG) - 800):
        assert reason(file[:-cut] + bytes(padding))[0] == "truncated"


def test_a_jpeg_without_end_mark_is_whole_when_its_last_restart_interval_came() -> None:
    file = encoded(".jpg", NOISE, (cv2.IMWRITE_JPEG_RST_INTERVAL, 4))
    np.testing.assert_array_equal(decode(frame(file[:-2])), decode(frame(file)))
    np.testing.assert_array_equal(decode(frame(file)), decode(frame(file + bytes(9000))))
    assert reason(file[: len(file) // 2])[0] == "truncated"


@pytest.mark.parametrize("padding", [0, 5000])
def test_a_png_is_whole_when_its_last_chunk_came(padding: int) -> None:
    np.testing.assert_array_equal(decode(frame(PNG + bytes(padding))), decode(frame(PNG)))
    text = b"tEXt" + b"Comment\0IEND\xaeB`\x82"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    spoken = PNG[:33] + chunk + PNG[33:]
    np.testing.assert_array_equal(decode(frame(spoken)), decode(frame(PNG)))
    for file in (PNG, spoken):
        for cut in (12, 16, len(PNG) // 2):
            assert reason(file[:-cut] + bytes(padding))[0] == "truncated"


def huge_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be a picture of this size."""
    bodies = (
        b"IHDR" + struct.pack(">II", width, height) + b"\x08\2\0\0\0",
        b"IDAT" + zlib.compress(bytes(9)),
        b"IEND",
    )
    chunks = [
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in bodies
    ]
    return PNG[:8] + b"".join(chunks)


def test_a_file_is_refused_by_its_header_when_it_unpacks_to_gigabytes() -> None:
    at = JPEG.index(b"\xff\xc0") + 5
    jpeg = JPEG[:at] + struct.pack(">HH", 65_500, 65_500) + JPEG[at + 4 :]
    for data in (jpeg, huge_png(65_500, 65_500), huge_png(2**31 - 1, 2**31 - 1)):
        code, detail = reason(data)
        assert code == "bad_size"
        assert " x " in detail


def mosaic(pattern: str, kind: type = np.uint8) -> Any:
    plane = np.zeros(COLOUR.shape[:2], np.uint8)
    for index, letter in enumerate(pattern):
        plane[index // 2 :: 2, index % 2 :: 2] = COLOUR[index // 2 :: 2, index % 2 :: 2, "rgb".index(letter)]
    return plane if kind is np.uint8 else plane.astype(np.uint16) * 256 + 255


@pytest.mark.parametrize("part", [b"\xff", b"\xff\xe0\x00\x02", b"\xff\xd0"])
def test_damaged_data_is_refused_at_once_when_it_holds_millions_of_segments(part: bytes) -> None:
    data = JPEG[:2] + part * (40_000_000 // len(part))
    began_s = time.process_time()
    with pytest.raises(InvalidMessageError, match="truncated"):
        frame(data)
    assert time.process_time() - began_s < 5.0  # looked through one by one they take 25 s


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_compressed_mosaic_has_the_raw_message_s_colours(pattern: str) -> None:
    plane = mosaic(pattern)
    raw = decode(image_frame(image_message(f"bayer_{pattern}8", plane, width=160)))
    np.testing.assert_array_equal(
        decode(frame(encoded(".png", plane), f"bayer_{pattern}8; png compressed ")), raw
    )
    wide = encoded(".png", mosaic(pattern, np.uint16))
    np.testing.assert_array_equal(decode(frame(wide, f"bayer_{pattern}16; png compressed ")), raw)
    lossy = decode(
        frame(encoded(".jpg", plane, (cv2.IMWRITE_JPEG_QUALITY, 100)), f"bayer_{pattern}8; jpeg compressed ")
    )
    assert np.abs(lossy.astype(int) - raw).mean() < 3


BGR: UInt8Array = np.ascontiguousarray(COLOUR[..., ::-1])


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize(
    ("declared", "pixels"),
    [
        *((name, BGR) for name in ("jpeg", "jpg", "image/jpeg", "PNG", "", "rgb8", "bgr8", "; x")),
        *(
            (f"{name}; jpeg compressed bgr8", BGR)
            for name in ("rgb8", "bgr8", "rgba8", "bgra8", "yuv422", "mono8")
        ),
        *((f"{name}; png compressed bgr8", BGR) for name in ("rgb8", "bayer_rggb8")),
        ("rgb8; jpeg compressed ", COLOUR),  # the channels as they were, which a file takes for b, g, r
        ("rgb8; jpeg compressed rgb8", COLOUR),
        ("bgr8; jpeg compressed rgb8", COLOUR),
        ("bayer_rggb8; jpeg compressed ", BGR),  # the driver made colours of it before
    ],
)
def test_a_file_s_colours_are_right_whatever_format_calls_them(
    declared: str, pixels: Any, suffix: str
) -> None:
    image = decode(frame(encoded(suffix, pixels), declared))
    assert np.abs(image.reshape(-1, 3).mean(axis=0) - COLOUR[0, 0]).max() < 3


def test_a_16_bit_png_is_as_bright_as_the_raw_message() -> None:
    deep = RNG.integers(0, 2**16, (120, 160), dtype=np.uint16)
    raw = decode(image_frame(image_message("mono16", deep.view(np.uint8).reshape(120, 320), width=160)))
    np.testing.assert_array_equal(decode(frame(encoded(".png", deep), "mono16; png compressed ")), raw)


@pytest.mark.parametrize(
    ("declared", "data", "told"),
    [
        ("16UC1; compressedDepth", bytes(12) + PNG, "compressedDepth"),
        ("16UC1; compressedDepth png", PNG, "depth image"),
        ("32FC1; png compressed ", PNG, "depth image"),
        ("yuv422; png compressed ", encoded(".png", NOISE[..., 0]), "yuv422"),
        ("bayer_rgbg8; png compressed ", encoded(".png", NOISE[..., 0]), "bayer_rgbg8"),
        ("h264", b"\0\0\0\1\x67abc", "H.264"),
        ("tiff", b"II*\0" + bytes(99), "TIFF"),
        ("webp", b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        ("avif", b"\0\0\0\x20ftypavif", "AVIF"),
        ("jpeg", b"<html>404", "3c68746d"),
    ],
)
def test_a_file_of_another_kind_is_named(declared: str, data: bytes, told: str) -> None:
    code, detail = reason(data, declared)
    assert code == "unknown_encoding"
    assert told in detail
    assert repr(declared) in detail
