"""A nested classifier on disk: weights, gate and costs, so that any of its sub-networks can be had again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.model.backbones import ClassifierShape, Stream, make_backbone
from sentryfuse_core.model.units import Shrinkable
from sentryfuse_core.model.weights_files import read_weights, under, write_weights
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import Present, SentryGate
from sentryfuse_core.text import reason_of

__all__ = ["KIND", "NestedCheckpoint", "load_nested", "save_nested"]

KIND = "nested classifier"
_REQUIRED = ("shape", "streams", "classes", "gate", "units", "costs", "modalities")


@dataclass(frozen=True, eq=False)
class NestedCheckpoint:
    """A classifier for inference and the gate that plans on it."""

    path: Path
    manifest: Mapping[str, Any]
    network: Shrinkable
    gate: SentryGate

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes, in the order of the logits."""
        return tuple(self.manifest["classes"])

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the inputs, in the gate's order."""
        return self.gate.modalities

    @property
    def identity(self) -> str:
        """Name and the first 12 digits of the hash."""
        return f"{self.manifest['name']} {self.manifest['sha256'][:12]}"

    def at(self, present: Collection[str], *, ratio: float) -> Shrinkable:
        """The sub-network for `present` without `ratio` of its units' MACs; 0 is the whole network.

        Raises ValueError for a ratio outside 0 <= ratio < 1 and for unknown modalities.
        """
        return self.network.at(self.gate.plan(present, ratio))


def save_nested(
    path: Path,
    network: nn.Module,
    gate: SentryGate,
    *,
    classes: Sequence[str],
    ratios: Sequence[float],
    facts: Mapping[str, Any],
) -> None:
    """Write weights and manifest, each in one move.

    Args:
        path: the weights' file, ending in .safetensors; the manifest goes beside it.
        network: a classifier of `make_backbone`.
        gate: its gate.
        classes: names of the classes.
        ratios: those it was trained for; their widths are listed in the manifest.
        facts: how it was made and how good it is; they join the manifest.

    Raises:
        OutputError: the place cannot be written.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"gate.{name}": value for name, value in gate.state_dict().items()}
    shape: Any = network.shape
    streams: Any = network.streams
    manifest = {
        "kind": KIND,
        "shape": shape.to_mapping(),
        "streams": {
            name: {"tokens": stream.tokens, "features": stream.features} for name, stream in streams.items()
        },
        "modalities": list(gate.modalities),
        "classes": list(classes),
        "gate": {"design": gate.design, "hidden": gate.mix[0].out_features},
        "units": gate.units,
        "costs": [
            {"present": _sorted(present, gate), "macs": dict(costs.macs), "fixed": costs.fixed}
            for present, costs in gate.costs.items()
        ],
        "plans": _plans(gate, ratios),
        **facts,
    }
    write_weights(path, tensors, manifest)


def load_nested(path: Path) -> NestedCheckpoint:
    """Read and check a nested classifier; raises CheckpointError that names the file and the remedy."""
    manifest, tensors = read_weights(
        path, required=_REQUIRED, kind=KIND, remedy="`sentryfuse train OUT --data FILE.npz` makes some"
    )
    try:
        network, gate = _built(manifest)
        network.load_state_dict(under("network.", tensors))
        gate.load_state_dict(under("gate.", tensors))
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not fit its manifest ({reason_of(error)}); "
            "use weights and manifest of one training run"
        ) from error
    return NestedCheckpoint(
        path,
        manifest,
        network.requires_grad_(requires_grad=False).eval(),
        gate.requires_grad_(requires_grad=False).eval(),
    )


def _built(manifest: Mapping[str, Any]) -> tuple[Shrinkable, SentryGate]:
    streams = {name: Stream(item["tokens"], item["features"]) for name, item in manifest["streams"].items()}
    network = make_backbone(ClassifierShape(**manifest["shape"]), streams, len(manifest["classes"]))
    costs: dict[Present, UnitCosts] = {
        frozenset(item["present"]): UnitCosts(item["macs"], manifest["units"], item["fixed"])
        for item in manifest["costs"]
    }
    gate = SentryGate(manifest["modalities"], costs, **manifest["gate"])
    return network, gate


def _plans(gate: SentryGate, ratios: Sequence[float]) -> list[dict[str, Any]]:
    """Widths and MACs of every set of modalities at every ratio, the whole network first."""
    plans = [gate.plan(present, ratio) for present in gate.costs for ratio in (0.0, *ratios)]
    return [
        {
            "present": _sorted(plan.present, gate),
            "ratio": plan.ratio,
            "widths": plan.widths,
            "unit_macs": plan.unit_macs,
            "macs": plan.macs,
        }
        for plan in plans
    ]


def _sorted(present: Present, gate: SentryGate) -> list[str]:
    return [name for name in gate.modalities if name in present]
