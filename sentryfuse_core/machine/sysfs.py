"""One value from one file of sysfs, or a ReadingError that says what to do."""

from __future__ import annotations

from pathlib import Path

from sentryfuse_core.errors import ReadingError

__all__ = ["read_number", "read_text"]


def read_text(path: Path) -> str:
    """The file's text without the line's end."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except PermissionError as error:
        raise ReadingError(f"{path} is not for this user; allow it: sudo chmod a+r {path}") from error
    except OSError as error:  # gone, or a sensor that sleeps
        raise ReadingError(f"cannot read {path}: {error.strerror}; is the sensor's driver loaded?") from error


def read_number(path: Path) -> int:
    """The file's whole number."""
    text = read_text(path)
    try:
        return int(text)
    except ValueError as error:
        raise ReadingError(
            f"{path} says {text[:40]!r}, not a number; is the sensor's driver loaded?"
        ) from error
