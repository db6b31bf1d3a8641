"""Section `model`: which network runs, on what and with which backend."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt

__all__ = ["ModelConfig"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network, on what."""

    checkpoint: str = opt("", "safetensors file with its manifest beside it; empty: the shipped weights")
    device: str = opt("auto", "auto, cpu, cuda or cuda:N")
    backend: str = opt(
        "auto",
        "what runs the network; auto: CUDA graphs on a CUDA device, else the fastest of those built",
        choices=("auto", "eager", "compiled", "cuda_graph", "onnx", "openvino", "tensorrt"),
    )
    precision: str = opt(
        "auto",
        "numbers to multiply; auto: float16 on CUDA, bfloat16 in openvino where near enough, else float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    max_level: int = opt(
        0, "widest pruning level that is loaded; 0: all; wider ones cannot run then", low=0, high=15
    )
    engine_dir: str = opt("", "folder of what `sentryfuse build-engines` builds; empty: ~/.cache/sentryfuse")
    threads: int = opt(
        1, "CPU threads of the network; more help on idle cores only; 0: leave it to torch", low=0, high=256
    )
    score_threshold: float = opt(
        0.0,
        "detections below this score are not published; 0: the checkpoint's own for the sensors in use",
        low=0.0,
        high=1.0,
        live=True,
    )
    max_detections: int = opt(50, "at most this many detections a set", low=1, high=1000, live=True)
