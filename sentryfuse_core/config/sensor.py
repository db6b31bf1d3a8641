"""What the section of every sensor has."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt

__all__ = ["SensorConfig"]


@dataclass(frozen=True, kw_only=True)
class SensorConfig:
    """What holds for every sensor."""

    enabled: bool = opt(default=True, doc="subscribe to this sensor at all")
    topic: str = opt("", "topic, relative names go under the node's namespace")
    reliability: str = opt("best_effort", "QoS reliability", choices=("best_effort", "reliable"))
    depth: int = opt(5, "QoS history depth in messages", low=1, high=10_000)
    expected_rate_hz: float = opt(0.0, "expected rate in Hz; 0: learn it", low=0.0, high=10_000.0)
    may_repeat: bool = opt(
        default=False,
        doc="messages may be equal to the bit, as those of a simulator without noise; never found frozen",
    )
    stamp_offset_s: float = opt(0.0, "constant taken off every stamp, in s", low=-10.0, high=10.0)
    frame_id: str = opt("", "frame that overrides the message's; empty: use the message's")
    translation_m: tuple[float, float, float] = opt((0.0, 0.0, 0.0), "sensor in the base frame: x, y, z in m")
    quaternion_xyzw: tuple[float, float, float, float] = opt(
        (0.0, 0.0, 0.0, 1.0), "rotation from the sensor's frame to the base frame, unit quaternion x, y, z, w"
    )
