"""Any supported message to a checked, stamped sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import AudioConfig, SensorConfig
from sentryfuse_core.convert.audio import AUDIO_READERS, audio_block
from sentryfuse_core.convert.cloud import point_cloud
from sentryfuse_core.convert.fields import fingerprint, stamp_ns, text
from sentryfuse_core.convert.image import compressed_frame, image_frame
from sentryfuse_core.convert.imu import imu_reading
from sentryfuse_core.convert.type_names import full_type_name
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import AudioBlock, ImuReading, Modality, Payload, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["READERS", "SUPPORTED_TYPES", "to_sample", "type_modality"]

READERS: Mapping[str, tuple[Modality, Callable[[Any], Payload]]] = {
    "sensor_msgs/msg/Image": (Modality.CAMERA, image_frame),
    "sensor_msgs/msg/CompressedImage": (Modality.CAMERA, compressed_frame),
    "sensor_msgs/msg/PointCloud2": (Modality.LIDAR, point_cloud),
    "sensor_msgs/msg/Imu": (Modality.IMU, imu_reading),
}
SUPPORTED_TYPES: Mapping[str, Modality] = {
    **{name: modality for name, (modality, _) in READERS.items()},
    **dict.fromkeys(AUDIO_READERS, Modality.AUDIO),
}


def type_modality(type_name: str) -> Modality | None:
    """The sensor that messages of this type come from; None for a type no sensor understands."""
    return SUPPORTED_TYPES.get(full_type_name(type_name))


def to_sample(
    modality: Modality,
    message: Any,
    *,
    type_name: str,
    config: SensorConfig,
    received_ns: int,
    arrival_ns: int,
    sensor: str = "",
) -> Sample:
    """Check and stamp `message` of a sensor, by default one that is called like its kind.

    Its arrays stay views of the message. Raises InvalidMessageError, nothing else.
    """
    if isinstance(message, InvalidMessageError):  # whoever read it knows why it has no fields
        raise message
    name = full_type_name(type_name)
    understood = SUPPORTED_TYPES.get(name)
    if understood is not modality:
        if modality is Modality.AUDIO and understood is None:
            raise InvalidMessageError("unknown_audio_type", f"{name!r:.80} is no audio type")
        raise InvalidMessageError("wrong_type", f"{modality.value} does not understand {name!r:.80}")
    if isinstance(config, AudioConfig):
        payload: Payload = audio_block(message, type_name=name, config=config)
    else:
        payload = READERS[name][1](message)
    stamped = not isinstance(payload, AudioBlock) or payload.stamped
    return Sample(
        modality=modality,
        stamp_ns=_sensor_time_ns(message, stamped=stamped, config=config, received_ns=received_ns),
        received_ns=received_ns,
        arrival_ns=arrival_ns,
        frame_id=config.frame_id or (text(message, "header.frame_id") if stamped else ""),
        payload=payload,
        fingerprint=fingerprint(_content(payload)),
        name=sensor,
    )


def _content(payload: Payload) -> NDArray[Any]:
    """All that a live sensor does not repeat."""
    if isinstance(payload, AudioBlock):
        return np.ascontiguousarray(payload.pcm)
    if isinstance(payload, ImuReading):
        vectors = (payload.angular_velocity, payload.linear_acceleration)
        return np.concatenate([vector for vector in vectors if vector is not None])
    return payload.data


def _sensor_time_ns(message: Any, *, stamped: bool, config: SensorConfig, received_ns: int) -> int:
    """The stamp less the stream's constant offset; headerless audio: reception less capture latency."""
    if stamped:
        taken_ns = stamp_ns(message)
    else:
        latency_s = config.latency_s if isinstance(config, AudioConfig) else 0.0
        taken_ns = received_ns - round(latency_s * NS_PER_S)
        if received_ns <= 0 or taken_ns < 0:
            detail = "audio without a header came before the clock began; it is used as soon as /clock runs"
            raise InvalidMessageError("no_clock", detail)
    if taken_ns >= NS_PER_S:  # a stamp that was never set stays what it is, and is told as that
        taken_ns -= round(config.stamp_offset_s * NS_PER_S)
    if taken_ns < 0:
        raise InvalidMessageError("negative_stamp", f"{taken_ns} ns with {config.stamp_offset_s} s taken off")
    return taken_ns
