"""Audio messages of every family to blocks of PCM [samples, channels]."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sentryfuse_core.convert.fields import array_view, integer, read, text
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import AudioBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from sentryfuse_core.config import AudioConfig

__all__ = ["AUDIO_INFO_TYPE", "AUDIO_READERS", "audio_block", "informed"]

AUDIO_INFO_TYPE = "audio_common_msgs/msg/AudioInfo"

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 384_000
_ENCODINGS = {"S16LE": "<i2", "F32LE": "<f4"}
_SAMPLE_FORMATS = {"S16": "S16LE", "S16_LE": "S16LE", "F32": "F32LE", "FLOAT_LE": "F32LE"}
_PLAIN = ("", "wave", "wav", "pcm", "raw")  # coding formats of AudioInfo that are PCM
_MAGIC = {
    b"OggS": "an Ogg stream (Opus or Vorbis)",
    b"fLaC": "a FLAC stream",
    b"ID3\2": "MP3",
    b"ID3\3": "MP3",
    b"ID3\4": "MP3",
    b"\x1aE\xdf\xa3": "a WebM stream",
}
_CODED_REMEDY = (
    "let the driver send PCM (audio_capture: format wave), "
    "and set audio.sample_rate_hz, audio.channels and audio.encoding to it"
)
_NOISE_LEVEL = 10_000.0  # of 32768; white noise at full scale has a mean of half of that
# Sample formats of PortAudio, which the family with typed arrays uses, and the array that holds each.
_TYPED_ARRAYS = {
    1: ("float32_data", np.float32),
    2: ("int32_data", np.int32),
    4: ("int24_data", np.int32),
    8: ("int16_data", np.int16),
    16: ("int8_data", np.int8),
    32: ("uint8_data", np.uint8),
}


def audio_block(message: Any, *, type_name: str, config: AudioConfig) -> AudioBlock:
    """The PCM of a message of a type in `AUDIO_READERS`; what it does not say comes from `config`."""
    reader = AUDIO_READERS.get(type_name)
    if reader is None:
        raise InvalidMessageError("unknown_audio_type", f"{type_name!r:.80} is no audio type")
    pcm, rate_hz = reader(message, config)
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise InvalidMessageError("bad_rate", f"{rate_hz} samples a second")
    if pcm.dtype.kind == "f" and not np.isfinite(pcm).all():
        raise InvalidMessageError("non_finite", "a sample is not finite")
    return AudioBlock(pcm, rate_hz, hasattr(message, "header"))


def informed(config: AudioConfig, message: Any) -> AudioConfig:
    """`config` with what an audio_common_msgs/AudioInfo says of messages that do not say it themselves.

    Coded sound keeps the name of its code as the encoding, so that each block is refused by that name.
    """
    rate_hz, channels = integer(message, "sample_rate"), integer(message, "channels")
    coding, form = (text(message, name).strip() for name in ("coding_format", "sample_format"))
    encoding = config.encoding
    if coding.lower() not in _PLAIN:
        encoding = coding
    elif form:
        encoding = _SAMPLE_FORMATS.get(form.upper(), form)
    return replace(
        config,
        sample_rate_hz=rate_hz or config.sample_rate_hz,
        channels=channels or config.channels,
        encoding=encoding,
    )


def _coded(data: NDArray[np.uint8]) -> str:
    """What sound that is no PCM is, by how a block of it begins; empty: nothing speaks against PCM."""
    start = data[:12].tobytes()
    if start.startswith(b"RIFF") and start[8:] == b"WAVE":
        return "a wave file"
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return name
    if len(start) < 4 or start[0] != 0xFF or start[1] & 0xE0 != 0xE0:
        return ""
    layer, rate = start[1] >> 1 & 3, start[2] >> 4
    name = "AAC" if start[1] & 0xF6 == 0xF0 else "MP3" if layer and 0 < rate < 15 else ""
    # PCM may begin with those bits by chance, but what is packed is as loud as noise at full scale.
    levels = data[: data.size // 2 * 2].view("<i2").astype(np.float32)
    return name if name and float(np.abs(levels).mean()) > _NOISE_LEVEL else ""


def _interleaved(flat: NDArray[Any], channels: int) -> NDArray[Any]:
    """Flat interleaved samples as [samples, channels], without a copy."""
    if channels <= 0:
        raise InvalidMessageError("bad_size", f"{channels} channels")
    if flat.size == 0:
        raise InvalidMessageError("empty", "a block of 0 samples")
    if flat.size % channels:
        raise InvalidMessageError("truncated", f"{flat.size} samples are no multiple of {channels} channels")
    return flat.reshape(-1, channels)


def _encoded(data: NDArray[np.uint8], encoding: str) -> NDArray[Any]:
    """Raw bytes as samples, without a copy."""
    coded = _coded(data)
    if coded:
        raise InvalidMessageError("unknown_audio_encoding", f"{coded}, not PCM; {_CODED_REMEDY}")
    dtype = _ENCODINGS.get(encoding)
    if dtype is None:
        raise InvalidMessageError(
            "unknown_audio_encoding", f"{encoding!r:.40} is not {' or '.join(_ENCODINGS)}; {_CODED_REMEDY}"
        )
    if data.size % np.dtype(dtype).itemsize:
        raise InvalidMessageError("truncated", f"{data.size} bytes are no multiple of a {encoding} sample")
    return data.view(dtype)


def _chunk(message: Any, _config: AudioConfig) -> tuple[NDArray[Any], int]:
    samples = _encoded(array_view(message, "data", np.uint8), text(message, "encoding"))
    return _interleaved(samples, integer(message, "channels")), integer(message, "sample_rate_hz")


def _audio_data(message: Any, config: AudioConfig) -> tuple[NDArray[Any], int]:
    """Both families call a type AudioData: raw bytes in one, typed arrays in the other."""
    if not hasattr(message, "data"):
        return _interleaved(_typed(message, 0), config.channels), config.sample_rate_hz
    samples = _encoded(array_view(message, "data", np.uint8), config.encoding)
    return _interleaved(samples, config.channels), config.sample_rate_hz


def _audio(message: Any, _config: AudioConfig) -> tuple[NDArray[Any], int]:
    info = read(message, "info")
    data = read(message, "audio_data" if hasattr(message, "audio_data") else "audio")
    return _interleaved(_typed(data, integer(info, "format")), integer(info, "channels")), integer(
        info, "rate"
    )


def _typed(data: Any, code: int) -> NDArray[Any]:
    """The one array that holds samples; where several do, the format `code` decides."""
    found = {
        key: array_view(data, name, dtype)
        for key, (name, dtype) in _TYPED_ARRAYS.items()
        if hasattr(data, name)
    }
    if not found:
        raise InvalidMessageError("wrong_type", f"{type(data).__name__} has no array of samples")
    filled = {key: samples for key, samples in found.items() if samples.size}
    if not filled:
        raise InvalidMessageError("empty", "a block of 0 samples")
    if len(filled) > 1 and code not in filled:
        raise InvalidMessageError("unknown_audio_encoding", f"format {code} is none of the arrays filled")
    key = code if code in filled else next(iter(filled))
    return filled[key] << 8 if key == 4 else filled[key]  # 24 bits lie in the low end of 32


def _multi_array(message: Any, config: AudioConfig) -> tuple[NDArray[Any], int]:
    """std_msgs/Int16MultiArray: dimensions may be labelled; a first one called channels means planar."""
    samples = array_view(message, "data", np.int16)[max(integer(message, "layout.data_offset"), 0) :]
    declared = read(message, "layout.dim")
    if not isinstance(declared, (list, tuple)):
        raise InvalidMessageError("wrong_type", f"layout.dim is a {type(declared).__name__}, not a list")
    dimensions = [(text(item, "label").lower(), integer(item, "size")) for item in declared]
    for index, (label, size) in enumerate(dimensions):
        if label in ("channel", "channels"):
            block = _interleaved(samples, size)
            if index == 0 and len(dimensions) > 1:
                return block.reshape(size, -1).T, config.sample_rate_hz
            return block, config.sample_rate_hz
    return _interleaved(samples, config.channels), config.sample_rate_hz


AUDIO_READERS: Mapping[str, Callable[[Any, AudioConfig], tuple[NDArray[Any], int]]] = {
    "sentryfuse/msg/AudioChunk": _chunk,
    "audio_common_msgs/msg/AudioData": _audio_data,
    "audio_common_msgs/msg/AudioDataStamped": lambda message, config: _audio_data(
        read(message, "audio"), config
    ),
    "audio_common_msgs/msg/Audio": _audio,
    "audio_common_msgs/msg/AudioStamped": lambda message, config: _audio(read(message, "audio"), config),
    "std_msgs/msg/Int16MultiArray": _multi_array,
}
