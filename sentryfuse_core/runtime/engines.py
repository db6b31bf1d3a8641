"""Engines of built parts, which some backends share: what they are fed, and one set through them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import time_all
from sentryfuse_core.runtime.bank import Bank, blank_input
from sentryfuse_core.runtime.lean.form import LeanForm, Part, Runner, parts_of, put_together
from sentryfuse_core.runtime.store import all_parts
from sentryfuse_core.runtime.subnetwork import input_tensors
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import ModalitySet, Plan

__all__ = ["FUSE_INPUTS", "Engine", "EngineBackend", "Engines", "examples", "run_parts", "told"]

FUSE_INPUTS = ("placed", "tokens", "counts", "pool", "fine")  # of `LeanFuse.forward`

Engine = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


class Engines:
    """A runner of parts, each opened on first use; or by a thread, and eager runs what is not open yet."""

    def __init__(self, bank: Bank, open_part: Callable[[Part], Engine]) -> None:
        """`open_part` raises BackendError where it cannot."""
        self._bank = bank
        self._open = open_part
        self._engines: dict[Part, Engine] = {}
        self._waiting: list[Part] = []  # for the thread, which takes them from the front
        self._eager: LeanForm | None = None

    def __call__(self, key: Part, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What a part gives; raises BackendError."""
        waits = key in self._waiting  # asked first: what no longer waits is open
        engine = self._engines.get(key)
        if engine is None:
            if waits and self._eager is not None:
                return self._eager.run(key, tensors)
            engine = self._engines[key] = self._open(key)
        return engine(tensors)

    @property
    def opening(self) -> bool:
        """Whether the thread has parts left."""
        return bool(self._waiting)

    def open_beside(self) -> None:
        """Open all parts in a thread, those of all sensors first."""
        if self._waiting:
            return
        plans = [self._bank.plan(ModalitySet.all(), level, "opening") for level in self._bank.loaded]
        first = [part for plan in plans for part in parts_of(plan.mask, plan.parts)]
        self._eager = LeanForm(self._bank.network)
        self._waiting = [
            part for part in dict.fromkeys([*first, *all_parts(self._bank)]) if part not in self._engines
        ]
        threading.Thread(target=self._open_waiting, name="opens engines").start()

    def _open_waiting(self) -> None:
        """Ends early with the program: a library that is unloaded while it compiles would crash it."""
        while self._waiting and threading.main_thread().is_alive():
            key = self._waiting[0]
            with contextlib.suppress(BackendError):  # whoever needs the part will be told
                self._engines[key] = self._open(key)
            del self._waiting[0]


class EngineBackend:
    """What backends whose parts a node may begin without have in common; each says how a part is opened."""

    batches = False

    def __init__(self, bank: Bank, open_part: Callable[[Part], Engine], *, reason: str) -> None:
        self.faults: tuple[str, ...] = ()
        self.reason = reason
        self._bank = bank
        self._parts = Engines(bank, open_part)

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU; raises BackendError when a part cannot be opened or fails."""
        return run_parts(self._bank, self._parts, inputs, plan)

    @property
    def opening(self) -> bool:
        """Whether eager still runs some parts."""
        return self._parts.opening

    def open_beside(self) -> bool:
        """Yes: eager runs the parts that are not open yet."""
        self._parts.open_beside()
        return True

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Open and run every part; median milliseconds by (mask bits, level)."""
        return time_all(self.run, self._bank)


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Whatever a library's bindings raise within, as a BackendError that begins with `what`."""
    try:
        yield
    except Exception as error:
        raise BackendError(f"{what}: {reason_of(error)}; model.backend = eager") from error


def run_parts(bank: Bank, run: Runner, inputs: ModelInput, plan: Plan) -> HeadOutput:
    """One set through the parts of `plan`; raises BackendError for anything but one set."""
    given = ModelInput(**input_tensors(inputs, trusting=bank.trusting))
    with torch.inference_mode():
        return put_together(bank.network, run, given, plan.parts)


def examples(bank: Bank) -> dict[Part, tuple[Tensor, ...]]:
    """What each loaded part is fed, of a blank set; how many tokens fuse is fed hangs on the sensors."""
    form = LeanForm(bank.network)
    found: dict[Part, tuple[Tensor, ...]] = {}

    def note(key: Part, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        found.setdefault(key, tensors)
        maps: tuple[Tensor, ...] = form.part(key)(*tensors)
        return maps

    blank = blank_input()
    with torch.no_grad():
        for plan in bank.sub_networks:
            if not found.keys() >= set(parts_of(plan.mask, plan.parts)):
                tensors = input_tensors(blank.only(plan.mask), trusting=bank.trusting)
                put_together(bank.network, note, ModelInput(**tensors), plan.parts)
    return found
