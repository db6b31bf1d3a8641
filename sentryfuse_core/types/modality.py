"""Kinds of sensors, and sets of them.

A sensor's name is a text. Where nobody names the sensors, each is called like its kind, and a kind is a text
of the same value: what is kept by name can be looked up by kind there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = ["NO_SENSORS", "Modality", "ModalitySet"]


class Modality(str, Enum):
    """A kind of sensor; the order of definition is the order of everything that lists kinds."""

    CAMERA = "camera"
    LIDAR = "lidar"
    IMU = "imu"
    AUDIO = "audio"

    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]  # typeshed names its argument otherwise
    __hash__ = str.__hash__  # the one Enum gives runs in Python, and every message looks up its sensor

    @property
    def bit(self) -> int:
        """The kind's bit in a mask: camera 1, lidar 2, imu 4, audio 8."""
        return 1 << _ORDER[self]


_ORDER: dict[str, int] = {modality: index for index, modality in enumerate(Modality)}
_MEMBERS = tuple(  # by mask: sets are gone through for every message and, at a start, for every plan
    tuple(modality for modality, index in zip(Modality, _ORDER.values(), strict=True) if bits >> index & 1)
    for bits in range(1 << len(Modality))
)


@dataclass(frozen=True, order=True)
class ModalitySet:
    """An immutable set of kinds of sensors, kept as a bit mask; iterates in the order of `Modality`."""

    bits: int = 0

    @classmethod
    def of(cls, *modalities: Modality) -> ModalitySet:
        """The set of the given kinds."""
        return cls(sum({modality.bit for modality in modalities}))

    @classmethod
    def all(cls) -> ModalitySet:
        """All four kinds."""
        return cls.of(*Modality)

    @classmethod
    def subsets(cls) -> tuple[ModalitySet, ...]:
        """The 15 non-empty sets, by rising mask."""
        return tuple(cls(bits) for bits in range(1, 1 << len(Modality)))

    def __contains__(self, modality: object) -> bool:
        return isinstance(modality, str) and modality in _ORDER and bool(self.bits >> _ORDER[modality] & 1)

    def __iter__(self) -> Iterator[Modality]:
        return iter(_MEMBERS[self.bits % len(_MEMBERS)])  # what a foreign message has beyond is no kind

    def __len__(self) -> int:
        return bin(self.bits).count("1")

    def __and__(self, other: ModalitySet) -> ModalitySet:
        return ModalitySet(self.bits & other.bits)

    def __or__(self, other: ModalitySet) -> ModalitySet:
        return ModalitySet(self.bits | other.bits)

    def __sub__(self, other: ModalitySet) -> ModalitySet:
        return ModalitySet(self.bits & ~other.bits)

    def __str__(self) -> str:
        return "+".join(modality.value for modality in self) or "none"


NO_SENSORS = ModalitySet()
