"""Section `odometry`: the robot's own motion, where something tells it."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt

__all__ = ["OdometryConfig"]


@dataclass(frozen=True, kw_only=True)
class OdometryConfig:
    """Where odometry comes from; nothing is missed where it does not come."""

    enabled: bool = opt(default=True, doc="subscribe to odometry where somebody publishes it")
    topic: str = opt("odometry", "nav_msgs/Odometry topic, relative names go under the node's namespace")
    frame_id: str = opt("", "frame that overrides the message's child_frame_id; empty: use the message's")
    stamp_offset_s: float = opt(0.0, "constant taken off every stamp, in s", low=-10.0, high=10.0)
    timeout_s: float = opt(
        0.3,
        "silence after which it is not used; until then the last speed goes on, in s",
        low=0.02,
        high=2.0,
    )
