"""Quality-of-service profiles, and what to do when two sides do not match."""

from __future__ import annotations

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

__all__ = [
    "COMMANDS",
    "LATCHED",
    "QUIET_PUBLISHER",
    "QUIET_SUBSCRIPTION",
    "RESULTS",
    "latched",
    "mismatch",
    "sensor_profile",
]

# For what is destroyed while an executor spins: rclpy's events executor may call back into a destroyed event
# (rclpy issue 1644), which ends the process, and rclpy makes two events for each entity unless told not to.
QUIET_SUBSCRIPTION = SubscriptionEventCallbacks(use_default_callbacks=False)
QUIET_PUBLISHER = PublisherEventCallbacks(use_default_callbacks=False)

_RELIABILITY = {"best_effort": ReliabilityPolicy.BEST_EFFORT, "reliable": ReliabilityPolicy.RELIABLE}


def latched(*, reliability: str = "reliable", depth: int = 100) -> QoSProfile:
    """Of what holds until it is said anew: who comes late gets it, too."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=_RELIABILITY[reliability],
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def sensor_profile(*, reliability: str, depth: int) -> QoSProfile:
    """Nothing is kept for who comes late, as of sensors."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=_RELIABILITY[reliability],
        durability=DurabilityPolicy.VOLATILE,
    )


LATCHED = latched()
RESULTS = COMMANDS = sensor_profile(reliability="reliable", depth=10)


def mismatch(offer: QoSProfile, wanted: QoSProfile) -> str:
    """Why what a publisher of this offer sends does not reach a subscription; empty where it does."""
    verdict, reason = qos_check_compatible(offer, wanted)
    return reason.removeprefix("ERROR: ").rstrip("; ") if verdict == QoSCompatibility.ERROR else ""
