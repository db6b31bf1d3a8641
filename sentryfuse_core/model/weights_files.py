"""Weights on disk: safetensors and the JSON manifest beside them; nothing else is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.safe_files import check_regular
from sentryfuse_core.whole_files import written_whole

__all__ = ["FORMAT_VERSION", "check_digest", "manifest_path", "read_weights", "under", "write_weights"]

FORMAT_VERSION = 1
MOST_WEIGHTS_BYTES = 4_000_000_000
MOST_MANIFEST_BYTES = 100_000_000


def manifest_path(weights: Path) -> Path:
    """Where the manifest of a weights file lies: beside it, ending in .json."""
    return weights.with_suffix(".json")


def write_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write weights and manifest, each in one move; `facts` join what every manifest says.

    Raises:
        OutputError: the place cannot be written.
    """
    data = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    manifest = {"format_version": FORMAT_VERSION, "name": path.stem, "sha256": digest, **facts}
    text = json.dumps(manifest, indent=2) + "\n"
    for place, content in ((path, data), (manifest_path(path), text.encode())):
        with written_whole(place, remedy="choose another place") as partial:
            partial.write_bytes(content)


def read_weights(
    path: Path, *, required: Iterable[str], kind: str | None, remedy: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Manifest and tensors of a weights file, once they belong together.

    Args:
        path: the weights.
        required: keys the manifest must have beside its version.
        kind: what the manifest must say under `kind`; None: nothing.
        remedy: how to get weights, told when there are none.

    Raises:
        CheckpointError: names the file, what is wrong with it and the remedy.
    """
    data = _read(path, MOST_WEIGHTS_BYTES, "weights", remedy)
    manifest = _read_manifest(manifest_path(path), required, kind)
    check_digest(path, data, manifest)
    try:
        return manifest, load_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file ({error}); copy it again") from error


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def check_digest(path: Path, data: bytes, manifest: Mapping[str, Any]) -> None:
    """Raises CheckpointError when the weights at `path` are not those that the manifest was written with."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != manifest["sha256"]:
        raise CheckpointError(
            f"{path} has sha256 {digest[:12]}..., its manifest says {str(manifest['sha256'])[:12]}...: "
            f"the file is altered or truncated; copy it again"
        )


def _read(path: Path, most_bytes: int, what: str, remedy: str) -> bytes:
    try:
        check_regular(path, most_bytes=most_bytes)
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"no {what} at {path} ({error.strerror}); {remedy}") from error


def _read_manifest(path: Path, required: Iterable[str], kind: str | None) -> dict[str, Any]:
    data = _read(path, MOST_MANIFEST_BYTES, "manifest", "weights need the .json that was written with them")
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); copy it again") from error
    if not isinstance(manifest, dict):
        raise CheckpointError(f"{path} holds no JSON object; copy it again")
    if manifest.get("kind") != kind:
        raise CheckpointError(
            f"{path} describes a {manifest.get('kind') or 'detector'}, not a {kind or 'detector'}; "
            "give weights of the right kind"
        )
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version!r}, this release reads {FORMAT_VERSION}; "
            f"use weights made for it or train anew"
        )
    missing = [key for key in ("name", "sha256", *required) if key not in manifest]
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}; copy it again")
    return manifest
