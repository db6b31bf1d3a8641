"""Where built sub-networks lie on disk, under names that a stale one cannot have."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

import sentryfuse_core
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import ModalitySet
from sentryfuse_core.whole_files import written_whole

__all__ = ["Store", "sub_networks"]

_CODE = ("model/*.py", "preprocess/geometry.py", "preprocess/tilt.py", "runtime/subnetwork.py")


@dataclass(frozen=True)
class Store:
    """Files of one bank in `folder`.

    Its name is a hash of weights, shape (what a level's number means), torch's version and the code of the
    network: whoever changes one of them finds an empty folder, never an old file.
    """

    folder: Path

    @classmethod
    def of(cls, bank: Bank, root: str) -> Store:
        """The bank's folder in `root`, or in the user's cache where `root` is empty."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sentryfuse"
        base = Path(root).expanduser() if root else cache
        parts = (bank.digest, bank.network.shape, torch.__version__, _code_digest())
        key = hashlib.sha256(" ".join(map(str, parts)).encode())
        return cls(base / key.hexdigest()[:16])

    def path(self, mask: ModalitySet, level: int, ending: str) -> Path:
        """The file of one sub-network, e.g. mask15_level0.float32.onnx."""
        return self.folder / f"mask{mask.bits:02d}_level{level}.{ending}"

    def missing(self, bank: Bank, ending: str) -> list[Path]:
        """Files of loaded sub-networks that have not been built."""
        wanted = (self.path(mask, level, ending) for mask, level in sub_networks(bank))
        return [path for path in wanted if not path.exists()]

    def build(
        self, bank: Bank, ending: str, make: Callable[[ModalitySet, int], bytes], *, anew: bool
    ) -> Iterator[bool]:
        """Write what `make` gives for each loaded sub-network without a file, or all `anew`; yields built."""
        for mask, level in sub_networks(bank):
            path = self.path(mask, level, ending)
            build = anew or not path.exists()
            if build:
                self.write(path, make(mask, level))
            yield build

    def write(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all; raises OutputError."""
        with written_whole(path, remedy="give model.engine_dir another folder", shared=True) as partial:
            partial.write_bytes(content)


def sub_networks(bank: Bank) -> Iterator[tuple[ModalitySet, int]]:
    """Every set of sensors at every loaded level."""
    return ((mask, level) for mask in ModalitySet.subsets() for level in bank.loaded)


def _code_digest() -> str:
    """Hash of the source that says what the weights compute."""
    root = Path(sentryfuse_core.__file__).parent
    found = hashlib.sha256()
    for pattern in _CODE:
        for path in sorted(root.glob(pattern)):
            found.update(path.read_bytes())
    return found.hexdigest()
