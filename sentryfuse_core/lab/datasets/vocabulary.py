"""Vocabulary: the detector's classes, and which of a set's names mean which of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sentryfuse_core.errors import ConfigError

__all__ = ["LABELS", "NONE", "USUAL", "Vocabulary", "parse_map"]

LABELS = ("car", "pedestrian", "cyclist")  # the shipped detector's classes, in the order of their numbers
NONE = "none"  # of --map: the name is no class


@dataclass(frozen=True)
class Vocabulary:
    """`labels` are the classes by their numbers, `named` says what a set's own name means of them."""

    labels: tuple[str, ...] = LABELS
    named: Mapping[str, str] = field(default_factory=dict)  # by name: a label or NONE

    def knows(self, name: str) -> bool:
        """Whether it is told what `name` means."""
        return name in self.named or name in self.labels

    def of(self, name: str, usual: str | None) -> str | None:
        """The label of a set's `name`, which without a map is `usual`; None: no class of the detector."""
        label = self.named.get(name, usual)
        return label if label in self.labels else None


USUAL = Vocabulary()


def parse_map(texts: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """What each NAME=CLASS of --map says; raises ConfigError for a class that is none of `labels` or NONE."""
    found = {}
    for text in texts:
        name, _, label = text.partition("=")
        if not name or label not in (*labels, NONE):
            raise ConfigError(
                f"--map {text!r:.60}: give NAME=CLASS with one of {', '.join(labels)} or {NONE}"
            )
        found[name] = label
    return found
