"""Which backend runs, and why, in one phrase a person can act on."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Choice", "choose"]

_CUDA_ONLY = ("cuda_graph", "tensorrt")


@dataclass(frozen=True)
class Choice:
    """A backend's name, why it was chosen, and what stands in the way of the one that was asked for."""

    backend: str
    reason: str
    fault: str = ""


def choose(wanted: str, *, device: str, onnx_lack: str) -> Choice:
    """The backend for `model.backend` on a kind of device.

    Args:
        wanted: auto, or a backend's name.
        device: kind of device the network runs on, cpu or cuda.
        onnx_lack: what keeps ONNX Runtime from running here; empty when nothing does.
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
    if not onnx_lack:
        return Choice("onnx", "onnx: no CUDA device, and ONNX Runtime is the fastest measured on a CPU")
    return Choice("eager", f"eager: no CUDA device, and for onnx {onnx_lack}")
