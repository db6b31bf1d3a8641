"""What is asked of `sentryfuse eval`: the options of --data, sets of sensors, levels, and the command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.commands.options import add_config_arguments
from sentryfuse_core.errors import ConfigError, OutputError
from sentryfuse_core.lab.commands.data_options import add_data_arguments, add_frame_arguments
from sentryfuse_core.types import Modality, ModalitySet

if TYPE_CHECKING:
    import argparse

__all__ = ["DRAWINGS", "add_real_arguments", "check_fresh", "command_of", "levels_of", "masks_of"]

DRAWINGS = 12  # of --draw


def add_real_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of --data."""
    data = parser.add_argument_group("on real data, --data")
    data.add_argument(
        "--data", type=Path, nargs="+", metavar="PATH", help="driving sets' folders or labelled recordings"
    )
    add_frame_arguments(data)
    data.add_argument(
        "--corrupt",
        action="store_true",
        help="also spoil one sensor at a time by every fault of content, slightly, clearly and severely (as "
        "MultiCorrupt and KITTI-C do), and compare with the sensor's absence",
    )
    data.add_argument(
        "--draw",
        type=Path,
        metavar="DIR",
        help="folder for pictures: camera and lidar from above with the boxes a robot would publish, the "
        "sets of --masks side by side (default: each sensor and all); recordings need no labels for it",
    )
    data.add_argument("--drawings", type=int, metavar="N", help=f"with --draw: how many (default {DRAWINGS})")
    add_data_arguments(data)
    add_config_arguments(parser)


def check_fresh(args: argparse.Namespace) -> None:
    """Raises OutputError where results of another run lie: they are never replaced."""
    kinds = {"eval_data": args.data is not None, "gate": args.policies, "tracks": args.tracks, "eval": True}
    written = f"{next(name for name, asked in kinds.items() if asked)}.json"
    for option, folder, files in (("--out", args.out, written), ("--draw", args.draw, "frame_*.png")):
        found = next(folder.glob(files), None) if folder is not None else None
        if found is not None:
            raise OutputError(f"{found} is of another run; give a new folder to {option}, or remove it")


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
