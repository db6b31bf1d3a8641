"""What is asked of `sentryfuse eval`, in words: sets of sensors, levels, and the command that asks it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.types import Modality, ModalitySet

if TYPE_CHECKING:
    import argparse

__all__ = ["command_of", "levels_of", "masks_of"]


def command_of(args: argparse.Namespace, same: Sequence[str], first: Sequence[str] = ()) -> str:
    """The command that gives the same figures elsewhere, without this machine's folders.

    `same` are the options that the figures depend on, `first` the words before them.
    """
    words = list(first) or (["--policies"] if args.policies else [])
    words += [f"--{name.replace('_', '-')} {getattr(args, name)}" for name in same]
    words += [f"--{name} {getattr(args, name)}" for name in ("masks", "levels") if getattr(args, name)]
    singles = (text.partition("=") for text in args.single)
    words += [f"--single {sensor}={Path(path).name}" for sensor, _, path in singles]
    words += [] if args.references else ["--no-references"]
    words += [f"--weights {args.weights.name}"] if args.weights else []
    words += [f"--out {args.out.name}"] if args.out else []
    return " ".join(["sentryfuse eval", *words])


def masks_of(text: str | None) -> list[ModalitySet]:
    """The sets that --masks names, all 16 where it is not given; raises ConfigError for no set."""
    if text is None:
        return [ModalitySet(), *ModalitySet.subsets()]
    masks = []
    for name in text.split(","):
        sensors = [] if name.strip() == "none" else name.split("+")
        try:
            masks.append(ModalitySet.of(*(Modality(sensor.strip()) for sensor in sensors)))
        except ValueError as error:
            raise ConfigError(
                f"--masks {name!r:.60} is no set of sensors; give e.g. camera+lidar,lidar,none"
            ) from error
    return masks


def levels_of(text: str | None, known: int) -> list[int]:
    """The levels that --levels names, all `known` where it is not given; raises ConfigError for another."""
    if text is None:
        return list(range(known))
    try:
        levels = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--levels {text!r:.60}: give whole numbers separated by commas") from error
    if any(not 0 <= level < known for level in levels):
        raise ConfigError(f"--levels {text:.60}: these weights have the levels 0 to {known - 1}; give those")
    return levels
