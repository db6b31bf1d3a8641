"""Section `tracking`: when objects begin, count and end."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt

__all__ = ["TrackingConfig"]


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Which objects are followed, and for how long."""

    enabled: bool = opt(default=True, doc="follow objects and publish ~/tracks", live=True)
    confirm_probability: float = opt(
        0.5, "an object that is this likely to be there is confirmed", low=0.0, high=1.0, live=True
    )
    drop_probability: float = opt(
        0.03, "one that is less likely is followed no longer", low=0.0, high=1.0, live=True
    )
    lifetime_s: float = opt(
        10.0, "mean time until an object leaves without being seen to, in s", low=0.1, high=3600.0, live=True
    )
    birth_score: float = opt(0.1, "detections that score less begin no object", low=0.0, high=1.0, live=True)
    birth_odds: float = opt(
        0.1,
        "how likely a detection where none is expected is a new object, as a factor on its odds",
        low=1e-6,
        high=1e6,
        live=True,
    )
    evidence: float = opt(
        10.0,
        "how much likelier than a false detection a true one is where an object is expected",
        low=1e-6,
        high=1e6,
        live=True,
    )
    gate: float = opt(
        16.0,
        "largest squared distance, in standard deviations, of a detection from its object",
        low=0.1,
        high=1000.0,
        live=True,
    )
    most_unsure_m: float = opt(
        5.0,
        "an object whose place is less sure is followed no longer; standard deviation in m",
        low=0.1,
        high=100.0,
        live=True,
    )
