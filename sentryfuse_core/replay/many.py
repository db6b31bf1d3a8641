"""Several recordings at once, each in a process of its own; one that fails does not stop the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.bags.readers import recording_name
from sentryfuse_core.errors import OutputError, SentryFuseError
from sentryfuse_core.replay.junit import Suite
from sentryfuse_core.replay.session import Job, run_job
from sentryfuse_core.text import printable

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

__all__ = ["Outcome", "attempt", "failed", "jobs_for", "run_processes"]

_LOOK_S = 0.2  # how often a stop is looked for
_halt: Event | None = None  # of this worker process


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one recording; `metrics` is empty where `suite.error` says why nothing was measured."""

    bag: Path
    folder: Path
    suite: Suite
    metrics: Mapping[str, Any]
    notes: tuple[str, ...] = ()  # what was special about the run
    missing: tuple[str, ...] = ()  # enabled sensors that it has no topic of

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for summary.json: the figures by which recordings are compared."""
        metrics = self.metrics
        overall = (metrics.get("accuracy") or {}).get("overall") or {}
        return {
            "bag": str(self.bag),
            "folder": self.folder.name,
            "passed": not self.suite.failures,
            "failures": list(self.suite.failures),
            "notes": list(self.notes),
            "missing": list(self.missing),
            "played_s": metrics.get("played_s"),
            "sets": metrics.get("sets"),
            "detections": metrics.get("detections"),
            "output": metrics.get("output"),
            "map": overall.get("map"),
            "relative_map": overall.get("relative_map"),
            "injected": metrics.get("injected"),
            "faults_noticed": sum(item["noticed_after_s"] is not None for item in metrics.get("faults", ())),
            "faults": len(metrics.get("faults", ())),
            "false_alarms": metrics.get("false_alarms", {}).get("count"),
            "infer_ms_p95": metrics.get("latency_ms", {}).get("infer", {}).get("p95"),
        }


def jobs_for(bags: Sequence[Path], common: Job, *, out: Path) -> list[Job]:
    """One job a recording, with a folder of its own name under `out`."""
    paths = [bag.resolve() for bag in bags]  # a worker's folder may be another
    if len(set(paths)) < len(paths):
        raise OutputError("a recording is named twice; name each once")
    stems = [printable(recording_name(path)) for path in paths]
    names = [
        stem if stems.count(stem) == 1 else f"{printable(path.parent.name)}_{stem}"
        for path, stem in zip(paths, stems, strict=True)
    ]
    shared = [str(path) for path, name in zip(paths, names, strict=True) if names.count(name) > 1]
    if shared:
        raise OutputError(f"recordings would share a folder ({', '.join(shared)}); rename one")
    return [
        replace(common, bag=path, out=out.resolve() / name, name=name)
        for path, name in zip(paths, names, strict=True)
    ]


def attempt(job: Job, *, stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Run a job; what it raises becomes the outcome, and a defect's traceback goes to stderr."""
    if stop():
        return failed(job, "interrupted before it was played")
    try:
        done = run_job(job, stop=stop)
    except SentryFuseError as error:
        return failed(job, " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - hours of the others' work do not hang on it
        traceback.print_exc()
        return failed(job, " ".join(f"{type(error).__name__}: {error}".split()))
    result = done.result
    return Outcome(
        bag=job.bag,
        folder=done.folder,
        suite=done.suite,
        metrics=result.metrics,
        notes=result.notes,
        missing=result.selection.missing,
    )


def failed(job: Job, why: str) -> Outcome:
    """The outcome of a job that gave no results."""
    return Outcome(
        bag=job.bag, folder=job.out or Path(), suite=Suite(name=job.name, verdicts=(), error=why), metrics={}
    )


def run_processes(
    jobs: Sequence[Job], *, workers: int, stop: Callable[[], bool] = lambda: False
) -> Iterator[Outcome]:
    """Outcomes as they come; once `stop` says so, what runs closes its files and what waits is left out."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    halt = context.Event()
    with (
        _one_thread_each(),
        ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(halt,)) as pool,
    ):
        others = multiprocessing.active_children()
        with _no_signals():  # they reach the whole group, but when to stop is the parent's word
            waiting = {pool.submit(_attempt, job): job for job in jobs}
        started = [child for child in multiprocessing.active_children() if child not in others]
        while waiting:
            done, _ = wait(waiting, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            if stop() and not halt.is_set():
                halt.set()
                for future in waiting:
                    future.cancel()
            for future in done:
                job = waiting.pop(future)
                if future.cancelled():
                    yield failed(job, "interrupted before it was played")
                    continue
                try:
                    yield future.result()
                except BrokenProcessPool:
                    for worker in started:
                        worker.kill()  # the pool waits for them to end by its SIGTERM, which they never see
                    yield failed(
                        job, "its process, or one beside it, died; give fewer --jobs if memory ran out"
                    )


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes share the cores: more threads in each would only wait for each other."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]


@contextmanager
def _no_signals() -> Iterator[None]:
    """Hold back what asks to stop; processes that begin meanwhile never see it, from their first moment."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(halt: Event) -> None:
    """In a worker, before its first job."""
    global _halt  # noqa: PLW0603 - a pool has no other place for it
    _halt = halt
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A second signal ends the parent at once; nobody would ask a worker for anything again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt(job: Job) -> Outcome:
    return attempt(job, stop=lambda: _halt is not None and _halt.is_set())
