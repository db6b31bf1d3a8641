"""Every exception SentryFuse raises on purpose, under one base class."""

from __future__ import annotations

from sentryfuse_core.text import bounded

__all__ = [
    "BackendError",
    "BagError",
    "BenchError",
    "CheckpointError",
    "ConfigError",
    "CriteriaError",
    "DatasetError",
    "EvaluationError",
    "InvalidMessageError",
    "NotInstalledError",
    "OutputError",
    "ReadingError",
    "ScenarioError",
    "SentryFuseError",
    "TopicError",
]


class SentryFuseError(Exception):
    """Base of all; `str()` is one line that names the offending value and the remedy."""


class ConfigError(SentryFuseError):
    """An unknown key, or a value out of range, in a parameter file or on the command line."""


class InvalidMessageError(SentryFuseError):
    """A message that cannot be used.

    `reason` is a stable snake_case code that counters are kept under (for example `truncated`),
    `detail` says what was found, in one line of bounded length, whatever the message held.
    """

    def __init__(self, reason: str, detail: str) -> None:
        detail = bounded(detail, 300)
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class BagError(SentryFuseError):
    """A recording that is missing, truncated, corrupt or without usable topics."""


class BenchError(SentryFuseError):
    """A measurement that cannot be made, or that a process of its own did not come back from."""


class DatasetError(SentryFuseError):
    """A data set to learn from that is missing, damaged or contradicts itself."""


class EvaluationError(SentryFuseError):
    """Boxes, scores or frames that no metric can be computed of."""


class TopicError(SentryFuseError):
    """A topic that does not exist or has a type no sensor understands."""


class ScenarioError(SentryFuseError):
    """A fault scenario that names an unknown stream, fault or option."""


class CriteriaError(SentryFuseError):
    """Pass criteria that name what cannot be judged, or a limit that is no number."""


class CheckpointError(SentryFuseError):
    """Weights that are missing, altered, of another version or of another shape."""


class BackendError(SentryFuseError):
    """A runtime or device that cannot run the network."""


class ReadingError(SentryFuseError):
    """A sensor of the machine itself, of power or heat, that is not there or cannot be read."""


class NotInstalledError(SentryFuseError):
    """A file that comes with the package, a part of ROS or an extra that this installation lacks."""


class OutputError(SentryFuseError):
    """A place where results cannot be written."""
