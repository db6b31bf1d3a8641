"""The messages of a recording in the order they arrive, a scenario's faults applied."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sentryfuse_core import convert
from sentryfuse_core.bags.readers import BagMessage, BagReader, Undecodable
from sentryfuse_core.bags.topics import Selection
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.faults.injector import Delivery, FaultInjector
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.preprocess.fit import FitCheck

__all__ = ["Arrival", "arrivals"]


class Arrival(NamedTuple):
    """A message as it reaches the pipeline, `at_ns` in bag time; sensor None: not a sensor's."""

    at_ns: int
    order: int  # tells messages apart that arrive at the same time
    sensor: str | None  # its name
    topic: str
    type_name: str
    message: Any
    publisher: int = 0  # by number, where the recording keeps those of one topic apart

    def hand_to(self, ingest: Ingest) -> None:
        """Give a sensor's message to the ingest; it is received at the time it arrives."""
        if self.sensor is not None:
            ingest.message(
                self.sensor,
                self.message,
                type_name=self.type_name,
                arrival_ns=self.at_ns,
                received_ns=self.at_ns,
            )

    def tell(
        self, selection: Selection, ingest: Ingest, preprocessor: Preprocessor, fit: FitCheck
    ) -> str | None:
        """Hand over odometry, CameraInfo and AudioInfo; what cannot be used is said, and changes nothing."""
        try:
            if self.type_name == convert.ODOMETRY_TYPE:
                ingest.odometry(self.message)
                return None
            for name in selection.told_by(self.topic):
                if self.type_name == convert.AUDIO_INFO_TYPE:
                    ingest.audio_info(self.message, name)
                    continue
                intrinsics = convert.camera_info(self.message, rectified=name in selection.rectified)
                fit.set_intrinsics(intrinsics, frame_id=self.message.header.frame_id, name=name)
                preprocessor.set_intrinsics(intrinsics, name)
        except InvalidMessageError as error:
            return f"{self.type_name.rpartition('/')[2]} not used: {error}"
        return None


def arrivals(
    reader: BagReader,
    topics: Mapping[tuple[str, str], str | None],  # the sensor by topic and type; None: not a sensor's
    *,
    injector: FaultInjector | None = None,
    seconds: float | None = None,
) -> Iterator[Arrival]:
    """Yield by arrival time, delayed messages in their later place; `seconds` from the start at most.

    What an event holds comes with the first message after the event, or at the end of the recording. What
    is delayed beyond the end never comes: the other sensors would seem to be silent meanwhile.
    """
    stop_ns = None if seconds is None else reader.start_ns + round(seconds * NS_PER_S)
    named = reader.messages({topic for topic, _ in topics})
    messages: Iterator[BagMessage] = (item for item in named if (item.topic, item.type_name) in topics)
    if stop_ns is not None:
        messages = itertools.takewhile(lambda item: item.log_time_ns <= stop_ns, messages)
    if injector is not None:
        end_ns = reader.end_ns if stop_ns is None else min(stop_ns, reader.end_ns)
        yield from _injected(messages, topics, injector, start_ns=reader.start_ns, end_ns=end_ns)
        return
    for order, (topic, type_name, at_ns, message, publisher) in enumerate(messages):
        yield Arrival(at_ns, order, topics[topic, type_name], topic, type_name, message, publisher)


def _injected(
    messages: Iterable[BagMessage],
    topics: Mapping[tuple[str, str], str | None],
    injector: FaultInjector,
    *,
    start_ns: int,
    end_ns: int,
) -> Iterator[Arrival]:
    """What becomes of the messages; faults may hold them back until others have come."""
    last_ns = start_ns
    last: dict[str, BagMessage] = {}  # by topic
    on_their_way: list[Arrival] = []
    order = itertools.count()

    def send(topic: str, delivery: Delivery) -> None:
        at_ns = last_ns + round(delivery.delay_s * NS_PER_S)
        _, type_name, _, _, publisher = last[topic]
        arrival = Arrival(
            at_ns,
            next(order),
            topics[topic, type_name],
            topic,
            type_name,
            delivery.message,
            publisher=publisher,
        )
        heapq.heappush(on_their_way, arrival)

    def due(now_ns: int) -> Iterator[Arrival]:
        while on_their_way and on_their_way[0].at_ns <= now_ns:
            yield heapq.heappop(on_their_way)

    for item in messages:
        last_ns = item.log_time_ns
        yield from due(last_ns)
        last[item.topic] = item
        if isinstance(item.message, Undecodable):
            send(item.topic, Delivery(item.message, 0.0))
        else:
            at_s = (last_ns - start_ns) / NS_PER_S
            for topic, held in injector.flush(at_s):
                send(topic, held)
            sensor = topics[item.topic, item.type_name]
            for delivery in injector.apply(item.topic, sensor, item.message, at_s=at_s):
                send(item.topic, delivery)
        yield from due(last_ns)
    for topic, held in injector.flush():
        send(topic, held)
    yield from due(end_ns)
