"""Where built parts of the network lie on disk, under names that a stale one cannot have."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

import sentryfuse_core
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.lean.form import Part, parts_of
from sentryfuse_core.whole_files import written_whole

__all__ = ["Store", "all_parts"]

_CODE = (
    *("model/*.py", "preprocess/geometry.py", "preprocess/tilt.py", "runtime/lean/*.py"),
    *("runtime/engines.py", "runtime/export.py", "runtime/openvino.py"),  # how parts become files
)


def all_parts(bank: Bank) -> list[Part]:
    """Each part that any loaded sub-network runs, once."""
    return sorted({part for plan in bank.sub_networks for part in parts_of(plan.mask, plan.parts)})


@dataclass(frozen=True)
class Store:
    """Files of one bank in `folder`.

    Its name is a hash of weights, shape (what a part's level means), torch's version and the code of the
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

    def path(self, part: Part, ending: str) -> Path:
        """The file of one part, e.g. camera0_tilted.float32.onnx."""
        return self.folder / f"{part}.{ending}"

    def missing(self, bank: Bank, ending: str) -> list[Path]:
        """Files of loaded parts that have not been built."""
        return [path for path in (self.path(part, ending) for part in all_parts(bank)) if not path.exists()]

    def build(self, bank: Bank, ending: str, make: Callable[[Part], bytes], *, anew: bool) -> Iterator[bool]:
        """Write what `make` gives for each loaded part without a file, or all `anew`; yields built."""
        for part in all_parts(bank):
            path = self.path(part, ending)
            build = anew or not path.exists()
            if build:
                self.write(path, make(part))
            yield build

    def write(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all; raises OutputError."""
        with written_whole(path, remedy="give model.engine_dir another folder", shared=True) as partial:
            partial.write_bytes(content)


def _code_digest() -> str:
    """Hash of the source that says what the weights compute."""
    root = Path(sentryfuse_core.__file__).parent
    found = hashlib.sha256()
    for pattern in _CODE:
        for path in sorted(root.glob(pattern)):
            found.update(path.read_bytes())
    return found.hexdigest()
