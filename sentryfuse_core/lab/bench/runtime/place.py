"""Where and how a measurement runs: on a few processors only, and without looking for garbage."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sentryfuse_core.errors import ConfigError

__all__ = ["pinned", "undisturbed"]


@contextmanager
def pinned(count: int) -> Iterator[tuple[int, ...]]:
    """Keep this thread, and all that it starts, on the first `count` processors it may use; yields them.

    To be entered before torch makes its threads: those that exist stay where they are.

    Raises ConfigError when there are not so many.
    """
    before = os.sched_getaffinity(0)
    if not 1 <= count <= len(before):
        raise ConfigError(f"--threads {count}: this process may use {len(before)} processors; give 1 to that")
    chosen = tuple(sorted(before)[:count])
    os.sched_setaffinity(0, chosen)
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is loaded by now is not looked through for garbage meanwhile, as the node does once it is warm."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
