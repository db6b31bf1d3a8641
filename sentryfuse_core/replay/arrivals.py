"""The messages of a recording in the order they arrive, a scenario's faults applied."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.replay.faults import FaultInjector
from sentryfuse_core.replay.readers import BagReader, Undecodable
from sentryfuse_core.types import Modality

__all__ = ["Arrival", "arrivals"]


class Arrival(NamedTuple):
    """A message as it reaches the pipeline, `at_ns` in bag time; modality None: not a sensor's."""

    at_ns: int
    order: int  # tells messages apart that arrive at the same time
    modality: Modality | None
    topic: str
    type_name: str
    message: Any


def arrivals(
    reader: BagReader,
    topics: Mapping[str, Modality | None],
    *,
    injector: FaultInjector | None = None,
    seconds: float | None = None,
) -> Iterator[Arrival]:
    """Yield by arrival time, delayed messages in their later place; `seconds` from the start at most."""
    start_ns = reader.start_ns
    stop_ns = None if seconds is None else start_ns + round(seconds * NS_PER_S)
    delayed: list[Arrival] = []
    order = 0
    for item in reader.messages(topics):
        if stop_ns is not None and item.log_time_ns > stop_ns:
            break
        while delayed and delayed[0].at_ns <= item.log_time_ns:
            yield heapq.heappop(delayed)
        modality = topics[item.topic]
        order += 1
        if injector is None or isinstance(item.message, Undecodable):
            yield Arrival(item.log_time_ns, order, modality, item.topic, item.type_name, item.message)
            continue
        at_s = (item.log_time_ns - start_ns) / NS_PER_S
        for delivery in injector.apply(item.topic, modality, item.message, at_s=at_s):
            at_ns = item.log_time_ns + round(delivery.delay_s * NS_PER_S)
            order += 1
            arrival = Arrival(at_ns, order, modality, item.topic, item.type_name, delivery.message)
            if at_ns > item.log_time_ns:
                heapq.heappush(delayed, arrival)
            else:
                yield arrival
    while delayed and (stop_ns is None or delayed[0].at_ns <= stop_ns):
        yield heapq.heappop(delayed)
