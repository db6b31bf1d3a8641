"""Torch's threads: how many there are to be, and that they wait asleep unless the user says otherwise."""

from __future__ import annotations

import os

__all__ = ["idle_cores", "wait_asleep"]

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


def idle_cores() -> int:
    """The cores that nothing else has used for the last minute, at least 1.

    A thread too many costs more than it brings: on two busy cores a step of training with two threads takes
    35 to 54 s, with one 3 to 6 s.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - round(os.getloadavg()[0]))
