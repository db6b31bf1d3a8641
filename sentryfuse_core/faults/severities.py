"""Three severities of every fault that changes content: one definition for messages and for tensors."""

from __future__ import annotations

from collections.abc import Mapping

from sentryfuse_core.types import Modality

__all__ = ["SEVERITIES", "SEVERITY_NAMES", "Cases"]

Cases = tuple[Mapping[str, float], Mapping[str, float], Mapping[str, float]]

_SAME: Cases = ({}, {}, {})  # a fault that knows no degrees

SEVERITY_NAMES = ("slight", "clear", "severe")

# What `freeze` repeats is `age_s` old; `turned` is a pose that is wrong by an angle.
SEVERITIES: Mapping[tuple[Modality, str], Cases] = {
    (Modality.CAMERA, "black"): _SAME,
    (Modality.CAMERA, "white"): _SAME,
    (Modality.CAMERA, "covered"): ({"left": 0.3}, {"left": 0.6}, {}),
    (Modality.CAMERA, "noise"): ({"sigma": 0.05}, {"sigma": 0.15}, {"sigma": 0.4}),
    (Modality.CAMERA, "truncate"): ({"keep": 0.75}, {"keep": 0.5}, {"keep": 0.25}),
    (Modality.CAMERA, "dim"): ({"gain": 0.3}, {"gain": 0.1}, {"gain": 0.03}),
    (Modality.CAMERA, "blurred"): ({"sigma_px": 1.0}, {"sigma_px": 2.5}, {"sigma_px": 6.0}),
    (Modality.CAMERA, "dirty"): ({"share": 0.15}, {"share": 0.35}, {"share": 0.6}),
    (Modality.CAMERA, "turned"): ({"yaw_deg": 2.0}, {"yaw_deg": 5.0}, {"yaw_deg": 10.0}),
    (Modality.CAMERA, "freeze"): ({"age_s": 0.2}, {"age_s": 0.5}, {"age_s": 1.0}),
    (Modality.LIDAR, "blocked"): (
        {"from_deg": -15.0, "to_deg": 15.0},
        {"from_deg": -30.0, "to_deg": 30.0},
        {"from_deg": -60.0, "to_deg": 60.0},
    ),
    (Modality.LIDAR, "nan"): ({"share": 0.5}, {"share": 0.8}, {"share": 0.95}),
    (Modality.LIDAR, "noise"): ({"sigma": 0.1}, {"sigma": 0.3}, {"sigma": 1.0}),
    (Modality.LIDAR, "truncate"): ({"keep": 0.75}, {"keep": 0.5}, {"keep": 0.25}),
    (Modality.LIDAR, "empty"): _SAME,
    (Modality.LIDAR, "turned"): ({"yaw_deg": 2.0}, {"yaw_deg": 5.0}, {"yaw_deg": 10.0}),
    (Modality.LIDAR, "freeze"): ({"age_s": 0.2}, {"age_s": 0.5}, {"age_s": 1.0}),
    (Modality.IMU, "noise"): ({"sigma": 0.05}, {"sigma": 0.2}, {"sigma": 1.0}),
    (Modality.IMU, "stuck"): _SAME,
    (Modality.IMU, "saturated"): _SAME,
    (Modality.AUDIO, "silent"): _SAME,
    (Modality.AUDIO, "clipped"): ({"gain": 10.0}, {"gain": 30.0}, {"gain": 100.0}),
    (Modality.AUDIO, "gapped"): ({"share": 0.1}, {"share": 0.25}, {"share": 0.5}),
    (Modality.AUDIO, "noise"): ({"sigma": 0.01}, {"sigma": 0.05}, {"sigma": 0.2}),
}
