"""`sentryfuse world`: record the synthetic world as a bag with ground truth, or look at one moment of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.commands.options import MOST_SEED, check_numbers
from sentryfuse_core.commands.signals import interrupt, noted_signals
from sentryfuse_core.config import Config, load_yaml
from sentryfuse_core.errors import ConfigError, OutputError
from sentryfuse_core.lab.world.config import WEATHERS, WORLDS, with_weather, world_v2
from sentryfuse_core.whole_files import make_folder

if TYPE_CHECKING:
    import argparse

    from sentryfuse_core.lab.world.record import Recorder

__all__ = ["add_arguments", "run"]

BAG_NAME = "world.mcap"
LABELS_NAME = "labels.jsonl"
_LIGHT = {"noon": 0.95, "dusk": 0.5, "night": 0.08, "auto": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    record = actions.add_parser(
        "record", help=f"write OUT/{BAG_NAME} and OUT/{LABELS_NAME}; the same options give the same bytes"
    )
    record.add_argument("--seconds", type=float, default=30.0, metavar="S", help="length in s (default 30)")
    record.add_argument(
        "--image", choices=("jpeg", "raw"), default="jpeg", help="CompressedImage (default) or Image"
    )
    record.add_argument(
        "--rig",
        type=Path,
        metavar="FILE",
        help="sensors and their places: a parameter file as the node takes (default: one of each)",
    )
    record.add_argument("out", type=Path, metavar="OUT", help="folder; made if it does not exist")
    picture = actions.add_parser("picture", help="draw one moment as every sensor has it")
    picture.add_argument("out", type=Path, metavar="OUT", help="file, .png or .jpg")
    picture.add_argument(
        "--world",
        choices=tuple(WORLDS),
        default="v2",
        help="v3: six moments of the world that detectors are trained in, lidar and camera; v2: one of the "
        "plain world that recordings drive in (default %(default)s)",
    )
    for action in (record, picture):
        action.add_argument("--seed", type=int, default=0, metavar="N", help="which world (default 0)")
        action.add_argument(
            "--weather",
            choices=WEATHERS,
            default="auto",
            help="what camera and lidar have to look through (default: by seed)",
        )
        action.add_argument(
            "--light", choices=tuple(_LIGHT), default="auto", help="time of day (default: by seed)"
        )


def run(args: argparse.Namespace) -> int:
    """Record, or draw."""
    from sentryfuse_core.lab.world.picture import draw, draw_moments
    from sentryfuse_core.lab.world.record import Recorder

    if args.action == "picture" and args.world != "v2":
        _check_moments(args)
        draw_moments(with_weather(WORLDS[args.world](), args.weather), args.out, seed=args.seed)
        print(args.out)
        return 0
    recorder = Recorder(
        seed=args.seed,
        seconds=args.seconds if args.action == "record" else 1.0,
        light=_LIGHT[args.light],
        raw_images=args.action == "record" and args.image == "raw",
        world=with_weather(world_v2(), args.weather),
        rig=load_yaml(args.rig) if args.action == "record" and args.rig else Config(),
    )
    if args.action == "record":
        return _record(recorder, args.out)
    draw(recorder, args.out)
    print(args.out)
    return 0


def _check_moments(args: argparse.Namespace) -> None:
    """Raises ConfigError for what the moments of training do not take."""
    if args.light != "auto":
        raise ConfigError(f"--light {args.light}: moments of world {args.world} draw their own; leave it out")
    check_numbers(args, seed=(0, MOST_SEED))


def _record(recorder: Recorder, out: Path) -> int:
    from sentryfuse_core.lab.world.labels import write_labels

    if (out / LABELS_NAME).exists():  # of the bag its writer says the same
        raise OutputError(f"{out / LABELS_NAME} exists already; remove it or write to another place")
    make_folder(out, remedy="choose a folder you may write to")
    scenes = recorder.drive()
    with (
        BagWriter(out / BAG_NAME) as bag,
        Progress(console=Console(stderr=True), transient=True) as bar,
        noted_signals() as caught,
    ):
        # First: an interrupted recording is closed and readable, and so has its labels.
        lines = write_labels(out / LABELS_NAME, scenes, recorder.world, seconds=recorder.seconds)
        task = bar.add_task("recording", total=1.0)

        def progress(share: float) -> None:
            bar.update(task, completed=share)
            if caught:  # between two messages, so that none is half in the bag
                interrupt(caught[0])

        count = recorder.write(scenes, bag, poses=True, progress=progress)
    print(f"{out / BAG_NAME}: {recorder.seconds:g} s, {count} messages")
    print(f"{out / LABELS_NAME}: {lines} labelled moments")
    return 0
