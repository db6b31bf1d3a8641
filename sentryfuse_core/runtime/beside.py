"""Runs the network in a process or thread beside, so that another core prepares what comes next meanwhile."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import Backend, RanBy, ran_by
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.engines import EngineBackend
from sentryfuse_core.runtime.fallback import FallbackBackend
from sentryfuse_core.runtime.subnetwork import maps_of, output_from
from sentryfuse_core.types import Plan

__all__ = ["DEPTH", "Answer", "Beside", "beside", "can_run_beside", "spare_cores"]

DEPTH = 2  # sets that may be on their way at once: one that runs and one that waits for it
_SLOT_BYTES = 8 << 20  # inputs take 0.7 MB of one sector, of which there are 8 at most; outputs 0.1
_ALIGN = 64  # as torch aligns its own tensors: kernels may depend on it
# A thread that comes back from a library waits this long for Python, which the other holds, many times a set.
_SWITCH_S = 2e-4

Runs: TypeAlias = Sequence[tuple[ModelInput, Plan]]  # of one set


class Answer(NamedTuple):
    """What the network made of a set, and what ran it."""

    outputs: tuple[HeadOutput, ...]
    infer_ms: float
    faults: tuple[str, ...]
    by: RanBy


class Beside(Protocol):
    """The near end: inputs go in, answers come back in the same order, at most DEPTH on their way."""

    def send(self, runs: Runs) -> None:
        """Let the network run on these as soon as it has done with what went before."""
        ...

    def receive(self) -> Answer:
        """The answer to the first set that is not back; raises BackendError as the backend does."""
        ...


class _Placed(NamedTuple):
    """Where a tensor lies in a slot."""

    dtype: torch.dtype
    offset: int  # bytes
    span: int  # elements from the first to the last
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Slot:
    """Memory that both processes see. Tensors keep their strides in it: results depend on them to the bit."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOT_BYTES)

    def put(self, groups: Sequence[Mapping[str, Tensor]]) -> list[dict[str, _Placed]]:
        """Copy tensors in, from the slot's begin."""
        placed: list[dict[str, _Placed]] = []
        offset = 0
        for tensors in groups:
            placed.append({})
            for name, tensor in tensors.items():
                span = 1 + sum(
                    (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
                )
                where = _Placed(tensor.dtype, offset, span, tuple(tensor.shape), tensor.stride())
                self._view(where).copy_(tensor)
                offset += -(-span * tensor.element_size() // _ALIGN) * _ALIGN
                placed[-1][name] = where
        return placed

    def get(self, groups: Sequence[Mapping[str, _Placed]]) -> list[dict[str, Tensor]]:
        """Copies of what was put in."""
        found: list[dict[str, Tensor]] = []
        for placed in groups:
            found.append({})
            for name, where in placed.items():
                found[-1][name] = torch.empty_strided(where.size, where.stride, dtype=where.dtype)
                found[-1][name].copy_(self._view(where))
        return found

    def _view(self, where: _Placed) -> Tensor:
        flat = torch.frombuffer(self._memory, dtype=where.dtype, count=where.span, offset=where.offset)
        return flat.as_strided(where.size, where.stride)


class _InProcess:
    """By a connection to a process; the tensors lie in memory that both see."""

    def __init__(self, connection: Connection, slots: tuple[_Slot, ...], backend: Backend) -> None:
        self._connection = connection
        self._slots = slots
        self._backend = backend
        self._sent = self._received = 0

    def send(self, runs: Runs) -> None:
        _check_room(self._sent - self._received)
        given = [
            {name: tensor for name, tensor in vars(inputs).items() if tensor is not None}
            for inputs, _ in runs
        ]
        slot = self._sent % DEPTH
        self._tell((slot, self._slots[slot].put(given), [plan for _, plan in runs]))
        self._sent += 1

    def receive(self) -> Answer:
        """Raises BackendError also where the other process died."""
        slot = self._received % DEPTH
        self._received += 1
        try:
            answer, infer_ms = self._connection.recv()
        except (EOFError, OSError) as error:
            raise _died() from error
        if isinstance(answer, str):
            raise BackendError(answer)
        outputs = tuple(map(output_from, self._slots[slot].get(answer)))
        return Answer(outputs, infer_ms, self._backend.faults, ran_by(self._backend))

    def _tell(self, words: object) -> None:
        try:
            self._connection.send(words)
        except OSError as error:
            raise _died() from error


class _InThread:
    """By a thread of this process, for libraries that let others run Python while they compute."""

    def __init__(self, pool: ThreadPoolExecutor, backend: Backend) -> None:
        self._pool = pool
        self._backend = backend
        self._under_way: deque[Future[Answer]] = deque()

    def send(self, runs: Runs) -> None:
        _check_room(len(self._under_way))
        self._under_way.append(self._pool.submit(_answer, self._backend, runs))

    def receive(self) -> Answer:
        return self._under_way.popleft().result()


def can_run_beside(backend: Backend, *, threads: int) -> bool:
    """Whether it gains by that: engines, or eager on one thread of the CPU, on Linux.

    Eager is Python for the most part, so it needs a process, a fork of this one: other threads do not survive
    that, and other systems' libraries do not take it well.
    """
    if _of_engines(backend):
        return True
    own = isinstance(backend, EagerBackend) and backend.device == "cpu"
    return own and threads == 1 and sys.platform == "linux"


def spare_cores(processes: int) -> bool:
    """Whether each of so many processes, all at once, has a second core for its network."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores >= 2 * processes


@contextmanager
def beside(backend: Backend) -> Iterator[Beside]:
    """Something that runs `backend` until this ends: a thread where it has engines, else a process."""
    with _thread(backend) if _of_engines(backend) else _process(backend) as near:
        yield near


def _of_engines(backend: Backend) -> bool:
    first = backend.first if isinstance(backend, FallbackBackend) else backend
    return isinstance(first, EngineBackend)


@contextmanager
def _thread(backend: Backend) -> Iterator[Beside]:
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    pool = ThreadPoolExecutor(1, thread_name_prefix="network")
    try:
        yield _InThread(pool, backend)
    finally:
        pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(before_s)


@contextmanager
def _process(backend: Backend) -> Iterator[Beside]:
    """It shares the weights' memory with this one."""
    context = multiprocessing.get_context("fork")
    slots = tuple(_Slot() for _ in range(DEPTH))
    near, far = context.Pipe()
    process = context.Process(target=_run, args=(backend, near, far, slots), daemon=True)
    process.start()
    far.close()
    try:
        yield _InProcess(near, slots, backend)
    finally:
        near.close()  # which ends it
        process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join()


def _run(backend: Backend, near: Connection, far: Connection, slots: tuple[_Slot, ...]) -> None:
    """The far end, until the near one is closed or dies, also while an answer to it is on its way."""
    # Signals reach the whole group, but when to end is the near one's word.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    near.close()
    with suppress(EOFError, ConnectionError):
        while True:
            slot, placed, plans = far.recv()
            inputs = [ModelInput(**tensors) for tensors in slots[slot].get(placed)]
            try:
                answer = _answer(backend, list(zip(inputs, plans, strict=True)))
            except BackendError as error:
                far.send((str(error), 0.0))
                continue
            far.send((slots[slot].put([maps_of(output) for output in answer.outputs]), answer.infer_ms))


def _answer(backend: Backend, runs: Runs) -> Answer:
    began_s = time.perf_counter()
    outputs = tuple(backend.run(inputs, plan) for inputs, plan in runs)
    return Answer(outputs, (time.perf_counter() - began_s) * 1e3, backend.faults, ran_by(backend))


def _check_room(under_way: int) -> None:
    if under_way >= DEPTH:
        raise ValueError(f"{DEPTH} sets are on their way already")


def _died() -> BackendError:
    return BackendError("the process that runs the network died; if memory ran out, free some and run again")
