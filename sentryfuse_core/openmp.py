"""How torch's threads wait for each other: asleep, unless the user says otherwise."""

from __future__ import annotations

import os

__all__ = ["wait_asleep"]

_POLICY = "OMP_WAIT_POLICY"  # of the OpenMP standard: GNU's, LLVM's and Intel's runtimes all read it
_OTHERS = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # the same by the runtimes' own names


def wait_asleep() -> None:
    """Let OpenMP's threads sleep while they wait; call it before torch is imported, which loads the runtime.

    By default they spin. On a busy machine a thread then spins away the very time that the thread it waits
    for would need, and an inference on two threads takes tens to hundreds of times as long. What the user's
    environment says stays, and processes started from this one inherit what holds here.
    """
    if not any(name in os.environ for name in (_POLICY, *_OTHERS)):
        os.environ[_POLICY] = "PASSIVE"
