"""Which backend runs, and why, in one phrase a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Choice", "choose"]

_CUDA_ONLY = ("cuda_graph", "tensorrt")


@dataclass(frozen=True)
class Choice:
    """A backend's name, why it was chosen, and what stands in the way of the one that was asked for."""

    backend: str
    reason: str
    fault: str = ""


def choose(wanted: str, *, device: str, lacks: Mapping[str, str], times_ms: Mapping[str, float]) -> Choice:
    """The backend for `model.backend` on a kind of device.

    Args:
        wanted: auto, or a backend's name.
        device: kind of device the network runs on, cpu or cuda.
        lacks: what keeps each optional backend of the CPU from running here; empty when nothing does.
        times_ms: how long a set takes in each backend that was measured on this machine, eager among them.
    """
    if wanted in _CUDA_ONLY and device != "cuda":
        fault = (
            f"{wanted} was asked for but there is no CUDA device; set model.device = cuda where there is one"
        )
        return Choice("eager", f"eager: {fault}", fault)
    if wanted != "auto":
        return Choice(wanted, f"{wanted}: asked for by model.backend")
    if device == "cuda":
        return Choice(
            "cuda_graph", "cuda_graph: there is a CUDA device, and launches are most of the time on it"
        )
    ready = {name: time_ms for name, time_ms in times_ms.items() if not lacks.get(name)}
    if len(ready) < 2:
        lack = "; ".join(f"for {name} {why}" for name, why in lacks.items() if why)
        return Choice("eager", f"eager: {lack}")
    best, second = sorted(ready, key=lambda name: ready[name])[:2]
    other = second if best == "eager" else "eager"
    return Choice(
        best, f"{best}: {ready[other] / ready[best]:.2f} times as fast as {other} when measured here"
    )
