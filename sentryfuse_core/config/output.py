"""Section `output`: what is published, in which frame and how often."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt

__all__ = ["OutputConfig"]


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is published."""

    base_frame: str = opt(
        "base_link",
        "frame of the detections: x forward, y left, z up, origin on the ground (often base_footprint)",
    )
    extrinsics: str = opt(
        "auto",
        "auto: from tf2, or the transforms of a recording, where they know the frame; else from parameters",
        choices=("auto", "parameters"),
    )
    sectors: str = opt(
        "front",
        "sides that the network looks to: front, all_around, or several of front, left, back, right and yaws "
        "in degrees (positive to the left), separated by commas",
    )
    max_output_age_s: float = opt(
        0.5, "results older than this are counted, not published, in s", low=0.01, high=60.0
    )
    markers: bool = opt(default=True, doc="publish ~/markers", live=True)
    coverage: bool = opt(default=True, doc="publish ~/coverage: what watches which direction", live=True)
    latency_window_s: float = opt(30.0, "latency percentiles are over this time, in s", low=1.0, high=3600.0)
    diagnostics_period_s: float = opt(1.0, "period of /diagnostics in s", low=0.1, high=60.0)
