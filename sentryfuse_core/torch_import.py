"""Importing torch without the part that only its compilers need, which is a quarter of it."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["import_torch"]

# A thousand operators' shapes in Python, which torch imports for what they register. Those that trace or
# compile (`torch.compile`, `torch.export`) read it; running a network, also one that was traced, does not.
_FOR_COMPILERS = "torch._meta_registrations"


def import_torch() -> None:
    """Import torch; the compilers' part comes with the first that may need it.

    That is whatever asks it for something, or any other module of torch that is imported later: so nobody
    has to know. Where torch is there already nothing changes.
    """
    if "torch" in sys.modules:
        return
    sys.modules[_FOR_COMPILERS] = _Later(_FOR_COMPILERS)
    importlib.import_module("torch")
    sys.meta_path.insert(0, _Completing())


def _complete() -> None:
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Completing)]
    if isinstance(sys.modules.get(_FOR_COMPILERS), _Later):
        del sys.modules[_FOR_COMPILERS]
        with contextlib.suppress(ModuleNotFoundError):  # private to torch: another release may not have it
            importlib.import_module(_FOR_COMPILERS)


class _Later(ModuleType):
    """Stands for the compilers' part until somebody wants something of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system and `inspect` ask of all modules alike
            raise AttributeError(name)
        _complete()
        return getattr(importlib.import_module(self.__name__), name)


class _Completing(MetaPathFinder):
    """Finds nothing, but has torch completed before another of its modules is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if not fullname.startswith("torch."):
            return None
        _complete()
        loaded = sys.modules.get(fullname)  # which may be one of those that came along
        return None if loaded is None else _as_it_is(loaded)


def _as_it_is(module: ModuleType) -> ModuleSpec:
    """What has the import system take a module that is loaded already; it asks the module itself."""
    own: Any = module.__spec__
    module.__spec__ = spec = ModuleSpec(own.name, _Loaded(module, own))
    return spec


class _Loaded(Loader):
    """Loads nothing, and puts the module's own spec back."""

    def __init__(self, module: ModuleType, spec: ModuleSpec) -> None:
        self._module, self._spec = module, spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        del spec
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
