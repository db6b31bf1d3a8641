"""Section `audio`: topic, window, pose and format of the pair of microphones."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt
from sentryfuse_core.config.sensor import SensorConfig

__all__ = ["AudioConfig"]


@dataclass(frozen=True, kw_only=True)
class AudioConfig(SensorConfig):
    """Pair of microphones, left then right, along the base frame's y axis."""

    topic: str = opt("audio", "AudioChunk, audio_common (both families) or Int16MultiArray topic")
    depth: int = opt(50, "QoS history depth in messages", low=1, high=10_000)
    info_topic: str = opt(
        "audio_info", "audio_common_msgs/AudioInfo; replaces sample_rate_hz, channels and encoding below"
    )
    window_s: float = opt(
        0.2, "blocks that reach into (stamp - window, stamp] go into a set, in s", low=0.01, high=5.0
    )
    translation_m: tuple[float, float, float] = opt(
        (0.2, 0.0, 1.2), "middle of the pair in the base frame, in m"
    )
    spacing_m: float = opt(0.4, "distance between the two microphones in m", low=0.01, high=5.0)
    latency_s: float = opt(0.05, "capture latency of blocks without a header, in s", low=0.0, high=5.0)
    sample_rate_hz: int = opt(
        16_000, "rate of messages that do not say theirs, in Hz", low=1_000, high=384_000
    )
    channels: int = opt(2, "channels of messages that do not say theirs", low=1, high=64)
    encoding: str = opt("S16LE", "encoding of messages that do not say theirs", choices=("S16LE", "F32LE"))
