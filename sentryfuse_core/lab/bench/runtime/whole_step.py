"""A whole step at the sensors' pace, from a set to boxes, alone on the machine and beside busy processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sentryfuse_core.config import Config
from sentryfuse_core.lab.bench.runtime.context import Context, steps
from sentryfuse_core.lab.bench.runtime.latency import ranks
from sentryfuse_core.pipeline import Pipeline

__all__ = ["step_part"]

_PERIOD_S = 0.1  # of the lidar, which anchors sets
_BUSY = 4  # processes
_TURNS = 2  # quiet and busy
_WARM_UP = 5  # sets


def step_part(context: Context, backend: str) -> dict[str, Any]:
    """Milliseconds of a step on one thread of `backend`; waiting between sets is not counted."""
    setting = replace(context.setting, threads=1)
    pipeline = Pipeline.build(replace(Config(), model=setting.model(backend)), clock=context.heard.clock)
    pipeline.ingest = context.heard.ingest
    pipeline.warm_up()
    found: dict[str, list[float]] = {"quiet_ms": [], "busy_ms": []}
    with steps(context, "whole steps", 2 * _TURNS) as step:
        for _ in range(_TURNS):
            found["quiet_ms"] += _paced(pipeline, context)
            step()
            with _busy():
                found["busy_ms"] += _paced(pipeline, context)
            step()
    return {
        "backend": backend,
        "busy_processes": _BUSY,
        "sets": len(found["quiet_ms"]),
        **{name: ranks(times) for name, times in found.items()},
    }


def _paced(pipeline: Pipeline, context: Context) -> list[float]:
    """A set every period, those of the recording in turn."""
    sets, took_ms = context.heard.sets, []
    due_s = time.perf_counter()
    for index in range(_WARM_UP + context.setting.paced):
        due_s = max(due_s + _PERIOD_S, time.perf_counter())
        time.sleep(max(0.0, due_s - time.perf_counter()))
        began_s = time.perf_counter()
        pipeline.step(sets[index % len(sets)])
        took_ms.append((time.perf_counter() - began_s) * 1e3)
    return took_ms[_WARM_UP:]


@contextmanager
def _busy() -> Iterator[None]:
    """Processes that compute without an end, on the processors of this one."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(_BUSY)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
