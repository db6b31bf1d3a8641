"""Quality-of-service profiles, and what to do when two sides do not match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, TypeVar

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.text import reason_of

__all__ = [
    "COMMANDS",
    "LATCHED",
    "QUIET_PUBLISHER",
    "QUIET_SUBSCRIPTION",
    "RESULTS",
    "latched",
    "made",
    "mismatch",
    "one_type",
    "sensor_profile",
]

_T = TypeVar("_T")

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


def made(create: Callable[..., _T], kind: Any, topic: str, profile: QoSProfile, **options: Any) -> _T:
    """What a node's `create` makes with this profile, which the parameters `qos_overrides.` may change.

    rclpy writes what they say into the profile that it is given, and others share this one: it gets a copy.
    Raises ConfigError where they say what is no QoS, and where the node has the topic with another type.
    """
    overriding = QoSOverridingOptions.with_default_policies()
    try:
        with one_type(kind, topic):
            return create(
                kind, topic, qos_profile=copy(profile), qos_overriding_options=overriding, **options
            )
    except (ParameterException, RuntimeError) as error:  # rclpy's own for what is no policy, and for a depth
        reason = reason_of(error).partition(", at /")[0]
        raise ConfigError(
            f"no QoS for {topic}: {reason}; give its qos_overrides as reliability: reliable or best_effort, "
            "history: keep_last or keep_all, depth: 0 or more"
        ) from error


@contextmanager
def one_type(kind: Any, topic: str) -> Iterator[None]:
    """Raises ConfigError where the node has the topic with another type, which is no matter of QoS."""
    try:
        yield
    except RuntimeError as error:
        if "incompatible type" not in str(error):  # the middleware's words; nothing else tells
            raise
        wanted = f"{kind.__module__.partition('.')[0]}/{kind.__name__}"
        raise ConfigError(
            f"no {wanted} on {topic}: this node has that topic with another type; remap one of the two"
        ) from error


def mismatch(offer: QoSProfile, wanted: QoSProfile) -> str:
    """Why what a publisher of this offer sends does not reach a subscription; empty where it does."""
    verdict, reason = qos_check_compatible(offer, wanted)
    return reason.removeprefix("ERROR: ").rstrip("; ") if verdict == QoSCompatibility.ERROR else ""
