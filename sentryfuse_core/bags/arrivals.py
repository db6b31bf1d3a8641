"""The messages of a recording in the order they arrive, a scenario's faults applied."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sentryfuse_core.bags.readers import BagReader, Undecodable
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.faults.injector import Delivery, FaultInjector
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
    """Yield by arrival time, delayed messages in their later place; `seconds` from the start at most.

    What an event holds comes with the first message after the event, or at the end of the recording.
    """
    start_ns = reader.start_ns
    stop_ns = None if seconds is None else start_ns + round(seconds * NS_PER_S)
    waiting = _Waiting(topics)
    last_ns = start_ns
    for item in reader.messages(topics):
        if stop_ns is not None and item.log_time_ns > stop_ns:
            break
        last_ns = item.log_time_ns
        yield from waiting.until(last_ns)
        if injector is None or isinstance(item.message, Undecodable):
            deliveries = [Delivery(item.message, 0.0)]
        else:
            at_s = (last_ns - start_ns) / NS_PER_S
            for topic, held in injector.flush(at_s):
                waiting.add(topic, held, last_ns)
            deliveries = injector.apply(item.topic, topics[item.topic], item.message, at_s=at_s)
        waiting.types[item.topic] = item.type_name
        for delivery in deliveries:
            waiting.add(item.topic, delivery, last_ns)
        yield from waiting.until(last_ns)
    for topic, held in () if injector is None else injector.flush():
        waiting.add(topic, held, last_ns)
    yield from waiting.until(stop_ns)


class _Waiting:
    """Messages on their way, by arrival time and then in the order they were sent."""

    def __init__(self, topics: Mapping[str, Modality | None]) -> None:
        self.types: dict[str, str] = {}
        self._topics = topics
        self._queue: list[Arrival] = []
        self._sent = 0

    def add(self, topic: str, delivery: Delivery, now_ns: int) -> None:
        self._sent += 1
        at_ns = now_ns + round(delivery.delay_s * NS_PER_S)
        arrival = Arrival(at_ns, self._sent, self._topics[topic], topic, self.types[topic], delivery.message)
        heapq.heappush(self._queue, arrival)

    def until(self, now_ns: int | None) -> Iterator[Arrival]:
        while self._queue and (now_ns is None or self._queue[0].at_ns <= now_ns):
            yield heapq.heappop(self._queue)
