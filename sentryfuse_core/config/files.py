"""Parameter files: plain sections, or a ROS file that may hold other nodes' parameters, too."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentryfuse_core.config.sensors import KINDS, Kinds
from sentryfuse_core.config.whole import Config, kinds_of, options, override, section_names
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.safe_files import read_yaml

__all__ = ["foreign", "from_mapping", "load_yaml"]

_PARAMETERS = "ros__parameters"
_NODE, _ALL = "sentryfuse", ("*", "**")  # names in a ROS file


def load_yaml(path: Path, *, tell: Callable[[str], None] = lambda _note: None) -> Config:
    """Read a configuration; raises ConfigError as `read_values`, and for unknown keys and bad values."""
    return override(Config(), read_values(path, tell=tell))


def read_values(path: Path, *, tell: Callable[[str], None] = lambda _note: None) -> dict[str, Any]:
    """The options that a file gives: plain sections, or a ROS parameter file (`node: ros__parameters: ...`).

    Raises ConfigError for a file that is missing or not YAML. In a ROS file,
    which other nodes may share, names in no section of `Config` are left alone, as the node does; `tell`
    gets those that look misspelt.
    """
    import yaml

    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"cannot read the parameter file {path}: {reason}; mend it, or give another"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise ConfigError(f"the parameter file {path} holds no mapping of sections")
    nodes = list(_nodes(content))
    for name, body in nodes:
        if not isinstance(body, Mapping):
            raise ConfigError(f"{path}: {_PARAMETERS} of {name} = {body!r:.40}: give a mapping of sections")
    values: dict[str, Any] = {}
    for body in _of_ours(nodes) if nodes else [content]:
        values.update(_flatten(body))
    if nodes:
        for name, likely in foreign(values, kinds_of(values)).items():
            if likely:
                tell(f"parameter {name} in {path} is not used; did you mean {likely}?")
            del values[name]
    return values


def from_mapping(values: Mapping[str, Any]) -> Config:
    """The configuration of nested plain values, as `to_mapping` makes them; ConfigError as `override`."""
    return override(Config(), dict(_flatten(values)))


def _nodes(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Last part of the name, and parameters, of every node of a ROS file, whatever namespaces they lie in."""
    for name, body in content.items():
        if isinstance(body, Mapping):
            if _PARAMETERS in body:
                own = body[_PARAMETERS]
                yield str(name).rpartition("/")[2], {} if own is None else own
            yield from _nodes({key: value for key, value in body.items() if key != _PARAMETERS})


def _of_ours(nodes: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """The parameters for all nodes and for the fusion node; if none is called so, for those that know any."""
    known = {option.path for option in options()}
    is_named = any(name == _NODE for name, _ in nodes)
    found = [
        body
        for name, body in nodes
        if name in _ALL or (name == _NODE if is_named else not known.isdisjoint(dict(_flatten(body))))
    ]
    return found or [body for _, body in nodes]


def foreign(names: Iterable[str], kinds: Kinds = KINDS) -> dict[str, str]:
    """The names that lie in no section of `Config`, each with the parameter it may be meant for, or "".

    `kinds` are the sensors by name.

    A parameter file that many nodes share gives each of them the others' parameters, too.
    """
    paths = [option.path for option in options(kinds)]
    sections = section_names(kinds)
    by_name = {path.rpartition(".")[2]: path for path in reversed(paths)}
    found: dict[str, str] = {}
    for name in names:
        section, dot, rest = name.partition(".")
        if section in sections or name == "sensors":
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
