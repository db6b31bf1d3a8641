"""message_filters.ApproximateTimeSynchronizer on the same arrivals, where it can be imported."""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

from benchmarks.sync_streams import NS
from sentryfuse_core.types import Modality, Sample

__all__ = ["QUOTED", "Rival", "load", "survives_callback"]

SLOP_S = 0.05  # what its users commonly choose at 10 Hz

# Measured earlier on message_filters of ROS 2 Jazzy and quoted where it cannot be imported.
QUOTED = {
    "one_lost": "0 % (quoted)",
    "offset": "99 of 99 wrong (quoted)",
    "loop": "4 % (quoted)",
    "poison": "9 % (quoted)",
    "add": "mean 33 us (queue 10), 212 us (queue 60), worst 4.9 s (quoted)",
    "raises": "deadlock (quoted)",
}


def load() -> Any:
    """The module, or None where it or rclpy is missing."""
    try:
        return importlib.import_module("message_filters")
    except ImportError:
        return None


class Rival:
    """The approximate synchroniser of some streams, without a node: filters are signalled directly."""

    def __init__(
        self,
        module: Any,
        streams: Sequence[Modality],
        *,
        queue: int = 10,
        slop_s: float = SLOP_S,
        callback: Callable[..., None] | None = None,
    ) -> None:
        from builtin_interfaces.msg import Time

        self.sets: list[tuple[Sample, ...]] = []
        self._time = Time
        self._filters = {modality: module.SimpleFilter() for modality in streams}
        self._ats = module.ApproximateTimeSynchronizer(list(self._filters.values()), queue, slop_s)
        self._ats.registerCallback(callback or self._take)

    def message(self, item: Sample) -> Any:
        """What a subscription would hand over; a stamp that no message can carry gives None."""
        if item.stamp_ns < 0:
            return None
        stamp = self._time(sec=min(item.stamp_ns // NS, 2**31 - 1), nanosec=item.stamp_ns % NS)
        return SimpleNamespace(header=SimpleNamespace(stamp=stamp), sample=item)

    def signal(self, modality: Modality, message: Any) -> None:
        """Hand a message over."""
        self._filters[modality].signalMessage(message)

    def play(self, items: Iterable[Sample], *, limit_s: float = 60.0) -> Rival:
        """Take in what belongs to its streams, until `limit_s` of wall time are over."""
        until_s = time.monotonic() + limit_s
        for item in items:
            if item.modality in self._filters:
                message = self.message(item)
                if message is not None:
                    self.signal(item.modality, message)
            if time.monotonic() > until_s:
                break
        return self

    def _take(self, *messages: Any) -> None:
        self.sets.append(tuple(message.sample for message in messages))


def survives_callback(module: Any, items: Sequence[Sample], streams: Sequence[Modality]) -> bool:
    """Whether a set comes after one whose callback raised; a thread that hangs is left behind."""
    calls: list[int] = []

    def callback(*_messages: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("the user's callback raised")

    rival = Rival(module, streams, callback=callback)

    def run() -> None:
        for item in items:
            with contextlib.suppress(RuntimeError):
                rival.play([item])

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(timeout=5.0)
    return len(calls) > 1
