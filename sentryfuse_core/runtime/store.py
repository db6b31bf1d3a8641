"""Where built parts of the network lie on disk, under names that a stale one cannot have."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

import sentryfuse_core
from sentryfuse_core.errors import BackendError
from sentryfuse_core.home import out_of_home
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.lean.form import Part, parts_of
from sentryfuse_core.whole_files import written_whole

__all__ = ["Store", "all_parts"]

_CODE = (
    *("model/*.py", "preprocess/geometry.py", "preprocess/tilt.py", "runtime/lean/*.py"),
    *("runtime/engines.py", "runtime/export.py", "runtime/openvino.py", "runtime/store.py"),  # parts as files
)
_HASH_BYTES = hashlib.sha256().digest_size  # at the end of each part's file


def all_parts(bank: Bank) -> list[Part]:
    """Each part that any loaded sub-network runs, once."""
    return sorted({part for plan in bank.sub_networks for part in parts_of(plan.mask, plan.parts)})


@dataclass(frozen=True)
class Store:
    """Files of one bank in `folder`.

    Its name is a hash of weights, shape (what a part's level means), torch's version and the code of the
    network: whoever changes one of them finds an empty folder, never an old file. Each part's file ends with
    its own hash: libraries run most damaged ones without a word, and then the robot sees what is not there.
    """

    folder: Path

    @classmethod
    def of(cls, bank: Bank, root: str) -> Store:
        """The bank's folder in `root`, or in the user's cache where `root` is empty; raises ConfigError."""
        base = out_of_home(root or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/sentryfuse")
        parts = (bank.digest, bank.network.shape, torch.__version__, _code_digest())
        key = hashlib.sha256(" ".join(map(str, parts)).encode())
        return cls(base / key.hexdigest()[:16])

    def path(self, part: Part, ending: str) -> Path:
        """The file of one part, e.g. camera0_tilted.float32.onnx."""
        return self.folder / f"{part}.{ending}"

    def missing(self, bank: Bank, ending: str) -> list[Path]:
        """Files of loaded parts that have not been built, or lie where nobody may look."""
        paths = (self.path(part, ending) for part in all_parts(bank))
        return [path for path in paths if not os.path.exists(path)]  # noqa: PTH110 - Path.exists raises there

    def build(self, bank: Bank, ending: str, make: Callable[[Part], bytes], *, anew: bool) -> Iterator[bool]:
        """Write what `make` gives for each loaded part without a whole file, or all `anew`; yields built."""
        for part in all_parts(bank):
            build = anew or not self._has(part, ending)
            if build:
                content = make(part)
                self.write(self.path(part, ending), content + _hash(content))
            yield build

    def read(self, part: Part, ending: str) -> bytes:
        """What was built of a part; raises BackendError where the file is gone, or not as it was written."""
        path = self.path(part, ending)
        try:
            content = path.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise BackendError(f"cannot read {path}: {reason}; run `sentryfuse build-engines`") from error
        content, written = content[:-_HASH_BYTES], content[-_HASH_BYTES:]
        if _hash(content) != written:
            raise BackendError(f"{path} is damaged; run `sentryfuse build-engines`, which makes it anew")
        return content

    def _has(self, part: Part, ending: str) -> bool:
        try:
            self.read(part, ending)
        except BackendError:
            return False
        return True

    def write(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all; raises OutputError."""
        with written_whole(path, remedy="give model.engine_dir another folder", shared=True) as partial:
            partial.write_bytes(content)


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _code_digest() -> str:
    """Hash of the source that says what the weights compute."""
    root = Path(sentryfuse_core.__file__).parent
    found = hashlib.sha256()
    for pattern in _CODE:
        for path in sorted(root.glob(pattern)):
            found.update(path.read_bytes())
    return found.hexdigest()
