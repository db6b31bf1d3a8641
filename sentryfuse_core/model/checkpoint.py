"""A detector's weights on disk: tensors, shape, geometry and what is known of how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.model.weights_files import manifest_path, read_weights, write_weights
from sentryfuse_core.preprocess.geometry import GEOMETRY

__all__ = ["SHIPPED", "Checkpoint", "load_checkpoint", "manifest_path", "save_checkpoint"]

# The weights that come with the package, their manifest beside them.
SHIPPED = Path(__file__).parents[1] / "weights" / "world_v3.safetensors"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights that have passed every check."""

    path: Path
    manifest: Mapping[str, Any]
    shape: ModelShape
    tensors: Mapping[str, Tensor]

    @property
    def identity(self) -> str:
        """Name and the first 12 digits of the hash."""
        return f"{self.manifest['name']} {self.manifest['sha256'][:12]}"

    def network(self) -> SentryFuseNet:
        """A network with these weights, for inference; raises CheckpointError if they do not fit."""
        net = SentryFuseNet(self.shape, labels=self.manifest["labels"])
        expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise CheckpointError(
                    f"{self.path}: tensor {name} is {_size(found.get(name))}, the manifest's shape needs "
                    f"{_size(expected.get(name))}; use weights of one run by this version"
                )
        net.load_state_dict(dict(self.tensors))
        return net.requires_grad_(requires_grad=False).eval()


def _size(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else f"{list(shape)}"


def save_checkpoint(path: Path, net: SentryFuseNet, facts: Mapping[str, Any]) -> None:
    """Write weights and manifest; `facts` (how it was made, how good it is) join the manifest.

    Raises:
        OutputError: the place cannot be written.
    """
    shape = {"shape": net.shape.to_mapping(), "geometry": asdict(net.geometry)}
    write_weights(path, net.state_dict(), {**shape, **facts})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check weights and manifest; raises CheckpointError that names the file and the remedy."""
    manifest, tensors = read_weights(
        path,
        required=("shape", "geometry", "labels"),
        kind=None,
        remedy="give another (model.checkpoint, --weights, --init)",
    )
    if manifest["geometry"] != asdict(GEOMETRY):
        raise CheckpointError(
            f"{manifest_path(path)} was made for another geometry than this release's; "
            "use its own weights or train anew"
        )
    return Checkpoint(path, manifest, ModelShape.from_mapping(manifest["shape"]), tensors)
