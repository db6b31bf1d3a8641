"""Weights on disk: safetensors plus a JSON manifest that says what they are; nothing else is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.safe_files import check_regular

__all__ = [
    "FORMAT_VERSION",
    "Checkpoint",
    "check_digest",
    "load_checkpoint",
    "manifest_path",
    "save_checkpoint",
]

FORMAT_VERSION = 1


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
        net = SentryFuseNet(self.shape)
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


def manifest_path(weights: Path) -> Path:
    """Where the manifest of a weights file lies: beside it, ending in .json."""
    return weights.with_suffix(".json")


def save_checkpoint(path: Path, net: SentryFuseNet, facts: Mapping[str, Any]) -> None:
    """Write weights and manifest; `facts` (how it was made, how good it is) join the manifest."""
    data = save_tensors(
        {name: tensor.detach().contiguous().cpu() for name, tensor in net.state_dict().items()}
    )
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": path.stem,
        "sha256": hashlib.sha256(data).hexdigest(),
        "shape": net.shape.to_mapping(),
        "geometry": asdict(net.geometry),
        **facts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    manifest_path(path).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check weights and manifest; raises CheckpointError that names the file and the remedy."""
    try:
        check_regular(path)
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"no weights at {path} ({error.strerror}); give another (model.checkpoint, --weights, --init)"
        ) from error
    manifest = _read_manifest(manifest_path(path))
    check_digest(path, data, manifest)
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file ({error}); copy it again") from error
    return Checkpoint(path, manifest, ModelShape.from_mapping(manifest["shape"]), tensors)


def check_digest(path: Path, data: bytes, manifest: Mapping[str, Any]) -> None:
    """Raises CheckpointError when the weights at `path` are not those that the manifest was written with."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != manifest["sha256"]:
        raise CheckpointError(
            f"{path} has sha256 {digest[:12]}..., its manifest says {str(manifest['sha256'])[:12]}...: "
            f"the file is altered or truncated; copy it again"
        )


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        check_regular(path)
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"no manifest at {path} ({error.strerror}); weights need the .json that was written with them"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); copy it again") from error
    if not isinstance(manifest, dict):
        raise CheckpointError(f"{path} holds no JSON object; copy it again")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version!r}, this release reads {FORMAT_VERSION}; "
            f"use weights made for it or train anew"
        )
    missing = [key for key in ("name", "sha256", "shape", "geometry", "labels") if key not in manifest]
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}; copy it again")
    if manifest["geometry"] != asdict(GEOMETRY):
        raise CheckpointError(
            f"{path} was made for another geometry than this release's; use its own weights or train anew"
        )
    return manifest
