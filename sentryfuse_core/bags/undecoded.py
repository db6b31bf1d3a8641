"""What of the chosen topics could not be decoded: told, and an error where it is all of a topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from sentryfuse_core.bags.arrivals import Arrival
from sentryfuse_core.bags.readers import Topic, Undecodable
from sentryfuse_core.errors import BagError

__all__ = ["Undecoded"]


class Undecoded:
    """Counts the messages of each sensor's topic and those without content."""

    def __init__(self, bag: Path, topics: Mapping[str, Topic]) -> None:
        self._bag, self._topics = bag, topics
        self._received: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._details: dict[str, str] = {}  # of the last one

    def note(self, arrival: Arrival) -> None:
        """Enter a message; those of no sensor are not counted."""
        if arrival.sensor is None:
            return
        self._received[arrival.sensor] += 1
        if isinstance(arrival.message, Undecodable):
            self._lost[arrival.sensor] += 1
            self._details[arrival.sensor] = arrival.message.detail

    def notes(self) -> Iterator[str]:
        """A line for each sensor that lost some of its messages."""
        for name, lost in self._lost.items():
            count, topic = self._received[name], self._topics[name]
            if lost < count:
                yield (
                    f"{name}: {lost} of the {count} messages of {topic.name} could not be decoded: "
                    f"{self._details[name]}"
                )

    def error(self) -> BagError | None:
        """The first sensor of whose messages not one could be decoded."""
        for name, lost in self._lost.items():
            topic = self._topics[name]
            if lost == self._received[name]:
                return BagError(
                    f"{self._bag}: none of the {lost} messages of {topic.name} ({topic.type_name}) could be "
                    f"decoded: {self._details[name]}; record it again, or use another topic with "
                    f"--topic {name}=NAME"
                )
        return None
