"""Paths that begin with a home folder."""

from __future__ import annotations

from pathlib import Path

from sentryfuse_core.errors import ConfigError

__all__ = ["out_of_home"]


def out_of_home(text: str | Path) -> Path:
    """The path with its ~ written out; raises ConfigError where nobody knows that home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # of a user that is not there, or of one without a name and HOME
        raise ConfigError(f"{text}: no such home folder is known; set HOME or write the path out") from error
