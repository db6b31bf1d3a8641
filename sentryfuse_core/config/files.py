"""Parameter files: plain sections, or a ROS file that may hold other nodes' parameters, too."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sentryfuse_core.config.whole import Config, options, override
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.safe_files import read_yaml

__all__ = ["foreign", "load_yaml"]


def load_yaml(path: Path) -> Config:
    """Read a configuration: plain sections, or a ROS parameter file (`node: ros__parameters: ...`).

    Raises ConfigError for a file that is missing or not YAML, unknown keys and bad values.
    """
    import yaml

    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"cannot read the parameter file {path}: {reason}") from error
    if content is None:
        return Config()
    if not isinstance(content, Mapping):
        raise ConfigError(f"the parameter file {path} holds no mapping of sections")
    nodes = [
        body["ros__parameters"]
        for body in content.values()
        if isinstance(body, Mapping) and "ros__parameters" in body
    ]
    values: dict[str, Any] = {}
    for section in nodes or [content]:
        values.update(_flatten(section))
    if nodes:  # a file that other nodes may share
        for name, likely in foreign(values).items():
            if likely and "." in name:
                raise ConfigError(f"unknown parameter {name!r} in {path}; did you mean {likely!r}?")
            del values[name]
    return override(Config(), values)


def foreign(names: Iterable[str]) -> dict[str, str]:
    """The names that lie in no section of `Config`, each with the parameter it may be meant for, or "".

    A parameter file that many nodes share gives each of them the others' parameters, too.
    """
    paths = [option.path for option in options()]
    sections = list(dict.fromkeys(path.split(".")[0] for path in paths))
    by_name = {path.split(".")[1]: path for path in reversed(paths)}
    found: dict[str, str] = {}
    for name in names:
        section, dot, rest = name.partition(".")
        if section in sections:
            continue
        if dot:
            close = difflib.get_close_matches(section.lower(), sections, n=1, cutoff=0.75)
            wanted = difflib.get_close_matches(f"{close[0]}.{rest}", paths, n=1) if close else []
        else:
            close = difflib.get_close_matches(name, by_name, n=1, cutoff=0.85)
            wanted = [by_name[item] for item in close]
        found[name] = wanted[0] if wanted else ""
    return found


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}.")
        else:
            yield path, value
