"""The options of training a detector, declared without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.commands.options import add_config_arguments
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.commands.data_options import add_data_arguments, add_frame_arguments

if TYPE_CHECKING:
    import argparse

__all__ = ["DRIVING", "LENGTH", "add_arguments", "check_length"]

LENGTH = {
    "minutes": 60.0,
    "steps": 0,
    "batch": 32,
    "learning_rate": 3e-3,
    "evaluate": 512,
}
"""Of both detectors, and what stands for an option that was not given."""
DRIVING = (
    "format",
    "labels",
    "topic",
    "map",
    "lidar_height",
    "classes",
    "only_frames",
    "around",
    "cache",
    "params",
    "node",
    "set",
)


def check_length(args: argparse.Namespace) -> None:
    """Raises ConfigError where two options say how long to train."""
    if args.minutes is not None and args.steps:
        raise ConfigError(
            f"--minutes {args.minutes:g} and --steps {args.steps} both say how long to train; give one"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what a classifier's training has not."""
    own = parser.add_argument_group("the detector on driving sets and recordings, --data FOLDER or BAG")
    add_data_arguments(own)
    add_frame_arguments(own)
    own.add_argument(
        "--classes",
        metavar="A,B",
        help="the classes to learn (default: those of the weights it starts from); layers of weights that "
        "know another number of classes start anew",
    )
    own.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where preprocessed frames are kept (default: frames/ in --state); may be shared by runs",
    )
    add_config_arguments(parser)
    world = parser.add_argument_group("the detector, on --data or in the synthetic world")
    world.add_argument(
        "--minutes",
        type=float,
        help="how long to train (default 60); 0 with --resume or --init: leave the weights as they are, and "
        "only measure the gate, evaluate and write",
    )
    world.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="weights to start from; shipped: those of this package; none: random ones (default: shipped "
        "on --data, none in the synthetic world)",
    )
    world.add_argument("--steps", type=int, help="how many steps to train instead of a time")
    world.add_argument("--batch", type=int, help="frames a step (default 32)")
    world.add_argument(
        "--learning-rate",
        type=float,
        help="at its peak (default 0.003; from trained weights 0.0005)",
    )
    world.add_argument(
        "--evaluate",
        type=int,
        metavar="FRAMES",
        help="held-out frames to score (default 512); in the synthetic world rounded up to a multiple of 16",
    )
    world.add_argument(
        "--lidar-first",
        type=float,
        metavar="SHARE",
        help="in the synthetic world: share of the training, 0 to 0.9, in which the lidar is shown alone "
        "(default 0)",
    )
    world.add_argument(
        "--sensors",
        metavar="A+B",
        help="in the synthetic world: train for these sensors alone, e.g. camera or camera+imu, to compare "
        "with (default: one network for all 15 sets)",
    )
