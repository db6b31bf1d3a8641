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
_NODE, _ALL = "sentryfuse", ("*", "**")  # last parts of names in a ROS file


def load_yaml(path: Path, *, node: str = "", tell: Callable[[str], None] = lambda _note: None) -> Config:
    """Read a configuration; raises ConfigError as `read_values`, and for unknown keys and bad values."""
    return override(Config(), read_values(path, node=node, tell=tell))


def read_values(
    path: Path, *, node: str = "", tell: Callable[[str], None] = lambda _note: None
) -> dict[str, Any]:
    """The options that a file gives: plain sections, or a ROS parameter file (`node: ros__parameters: ...`).

    Of a ROS file it is what the fusion node of the full name `node` gets; unless one is named, the file must
    be for one alone. Raises ConfigError for a file that is missing, not YAML, or for several. In a ROS file,
    which other nodes may share, names in no section of `Config` are left alone, as the node does; `tell` gets
    those that look misspelt, that the file has nothing for `node`, and that it calls the node otherwise.
    """
    content = _content(path)
    nodes = list(_nodes(content))
    if not nodes:
        return dict(_flatten(content))
    for name, body in nodes:
        if not isinstance(body, Mapping):
            raise ConfigError(f"{path}: {_PARAMETERS} of {name} = {body!r:.40}: give a mapping of sections")
    named = f"/{node.strip('/')}" if node else _only_node(path, nodes)
    if named.rpartition("/")[2] != _NODE and not node:
        tell(f"{path}: {named} is taken for the fusion node, which is called {_NODE} unless it is renamed")
    ours = [body for name, body in nodes if _is_for(name, named)]
    if not ours:
        tell(f"{path} has nothing for {named}; it is for {', '.join(name for name, _ in nodes)}")
    values: dict[str, Any] = {}
    for body in ours:
        values.update(_flatten(body))
    for name, likely in foreign(values, kinds_of(values)).items():
        if likely:
            tell(f"parameter {name} in {path} is not used; did you mean {likely}?")
        del values[name]
    return values


def _content(path: Path) -> Mapping[str, Any]:
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
    return content


def from_mapping(values: Mapping[str, Any]) -> Config:
    """The configuration of nested plain values, as `to_mapping` makes them; ConfigError as `override`."""
    return override(Config(), dict(_flatten(values)))


def _nodes(content: Mapping[str, Any], namespace: str = "") -> Iterator[tuple[str, Any]]:
    """Full name, or pattern of such, and parameters of every node of a ROS file, in its order."""
    for name, body in content.items():
        if isinstance(body, Mapping):
            full = f"{namespace}/{str(name).strip('/')}"
            if _PARAMETERS in body:
                own = body[_PARAMETERS]
                yield full, {} if own is None else own
            yield from _nodes({key: value for key, value in body.items() if key != _PARAMETERS}, full)


def _is_for(name: str, node: str) -> bool:
    """Whether a ROS file's name is this node's: `*` stands for any part, `**` for any number of parts."""
    parts = node.split("/")[1:]
    counts = {0}  # of the parts that what was read of the name may stand for
    for part in name.split("/")[1:]:
        if part == "**":
            counts = set(range(min(counts, default=len(parts) + 1), len(parts) + 1))
        else:
            counts = {count + 1 for count in counts if part in ("*", *parts[count : count + 1])}
    return len(parts) in counts


def _only_node(path: Path, nodes: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The node that a file is for: called as the fusion node is or, if none is, with an option of its own.

    A pattern with options is for one node more where it is for none of the others.
    """
    known = {option.path for option in options()}
    split = {name: name.rpartition("/")[::2] for name, _ in nodes}
    names = [name for name, body in nodes if not known.isdisjoint(dict(_flatten(body)))]
    if called := [name for name, (_, last) in split.items() if last == _NODE]:
        names = [*called, *(name for name in names if split[name][1] in _ALL)]
    found: dict[str, str] = {}  # a node, and how the file names it
    for name in sorted(names or split, key=lambda name: ["*" in part for part in split[name]]):
        if not any(_is_for(name, other) for other in found):
            namespace, last = split[name]
            parts = ["any" if part == "*" else part for part in namespace.split("/") if part != "**"]
            found["/".join([*parts, _NODE if last in _ALL else last])] = name
    if len(found) > 1:
        raise ConfigError(
            f"{path} is for several nodes, {', '.join(found.values())}: say whose parameters are meant, "
            "by --node (of the fault injector: sensors_of), or give a file for one"
        )
    return next(iter(found))


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
