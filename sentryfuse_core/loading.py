"""Loading without Python's search for garbage, which would look through all of it again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["loading"]


@contextmanager
def loading() -> Iterator[None]:
    """What is loaded within the block is never looked through, until somebody calls `gc.unfreeze`.

    torch and the network are a quarter of a million objects, and nearly all of them stay: of 200 ms of CPU
    time that looking for garbage takes meanwhile, six thousand small objects are the yield.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if searching:
            gc.enable()
