"""What of the chosen topics could not be decoded: told, and an error where it is all of a topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from sentryfuse_core.bags.arrivals import Arrival
from sentryfuse_core.bags.readers import Topic, Undecodable
from sentryfuse_core.errors import BagError
from sentryfuse_core.types import Modality

__all__ = ["Undecoded"]


class Undecoded:
    """Counts the messages of each sensor's topic and those without content."""

    def __init__(self, bag: Path, topics: Mapping[Modality, Topic]) -> None:
        self._bag, self._topics = bag, topics
        self._received: Counter[Modality] = Counter()
        self._lost: Counter[Modality] = Counter()
        self._details: dict[Modality, str] = {}  # of the last one

    def note(self, arrival: Arrival) -> None:
        """Enter a message; those of no sensor are not counted."""
        if arrival.modality is None:
            return
        self._received[arrival.modality] += 1
        if isinstance(arrival.message, Undecodable):
            self._lost[arrival.modality] += 1
            self._details[arrival.modality] = arrival.message.detail

    def notes(self) -> Iterator[str]:
        """A line for each sensor that lost some of its messages."""
        for modality, lost in self._lost.items():
            count, topic = self._received[modality], self._topics[modality]
            if lost < count:
                yield (
                    f"{modality.value}: {lost} of the {count} messages of {topic.name} could not be decoded: "
                    f"{self._details[modality]}"
                )

    def error(self) -> BagError | None:
        """The first sensor of whose messages not one could be decoded."""
        for modality, lost in self._lost.items():
            topic = self._topics[modality]
            if lost == self._received[modality]:
                return BagError(
                    f"{self._bag}: none of the {lost} messages of {topic.name} ({topic.type_name}) could be "
                    f"decoded: {self._details[modality]}; record it again, or use another topic with "
                    f"--topic {modality.value}=NAME"
                )
        return None
