"""Memory of every level that is loaded alone, tensors and whole processes, beside the dense network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sentryfuse_core.lab.bench.runtime.context import Context, steps
from sentryfuse_core.lab.bench.runtime.dense import KINDS
from sentryfuse_core.lab.bench.runtime.memory import (
    Process,
    peak_activation_bytes,
    process_memory,
    stored_bytes,
)
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.load import load_bank
from sentryfuse_core.types import ModalitySet

__all__ = ["memory_part"]


def memory_part(context: Context, backends: Iterable[str]) -> dict[str, Any]:
    """Bytes of weights and activations by set of sensors and level, and MB of fresh processes."""
    whole = context.inputs[0].to(context.setting.device)
    dense = context.dense[KINDS[0]]
    rows = [
        {
            "name": KINDS[0],
            "mask": mask.bits,
            "level": 0,
            "weights": stored_bytes((*dense.parameters(), *dense.buffers())),
            "activations": _activations(dense, whole.only(mask), 0),
        }
        for mask in ModalitySet.subsets()
    ]
    with steps(context, "memory", 2 * len(context.levels) + 1) as step:
        for level in context.levels:
            bank = load_bank(context.setting.model(max_level=level))
            network = bank.network.to(context.setting.device)
            rows += [
                {
                    "name": "eager",
                    "mask": mask.bits,
                    "level": level,
                    "weights": bank.weight_bytes,
                    "activations": _activations(network, whole.only(mask), level),
                }
                for mask in ModalitySet.subsets()
            ]
            step()
        processes = []
        if context.setting.device == "cpu":
            request = Process(config=context.setting.model(), level=0, inputs=context.inputs[0], dense=True)
            processes.append({"name": "dense", "level": 0, **process_memory(request)})
            step()
            for name in backends:
                for level in context.levels:
                    config = context.setting.model(name, max_level=level)
                    request = Process(config=config, level=level, inputs=context.inputs[0])
                    processes.append({"name": name, "level": level, **process_memory(request)})
                    step()
    return {"tensors": rows, "processes": processes}


def _activations(network: SentryFuseNet, inputs: ModelInput, level: int) -> int:
    given = (getattr(inputs, name) for name in ("camera", "camera_position", "lidar", "imu", "tilt", "audio"))
    known = [*network.parameters(), *network.buffers(), *(item for item in given if item is not None)]
    return peak_activation_bytes(lambda: network(inputs, parts=network.shape.uniform(level)), known)
