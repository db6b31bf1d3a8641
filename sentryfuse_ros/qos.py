"""Quality-of-service profiles, and what to do when two sides do not match."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)

__all__ = ["COMMANDS", "LATCHED", "RESULTS", "incompatible_qos", "sensor_profile"]

RESULTS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
COMMANDS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(  # of static transforms: who comes late gets them too
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

_RELIABILITY = {"best_effort": ReliabilityPolicy.BEST_EFFORT, "reliable": ReliabilityPolicy.RELIABLE}


def sensor_profile(*, reliability: str, depth: int) -> QoSProfile:
    """The sensor-data profile with the configured reliability and depth."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=_RELIABILITY[reliability],
        durability=DurabilityPolicy.VOLATILE,
    )


def incompatible_qos(option: str, report: Callable[[str, str], None]) -> SubscriptionEventCallbacks:
    """Event callbacks that call `report(reason, remedy)` for a publisher whose offer does not match.

    `option` is the parameter that makes it match.
    """

    def on_event(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        if policy == "RELIABILITY":
            remedy = f"set {option} to best_effort"
        else:
            remedy = f"give the publisher the {policy} of {option}"
        report(f"incompatible QoS: a publisher offers another {policy}", remedy)

    return SubscriptionEventCallbacks(incompatible_qos=on_event)
