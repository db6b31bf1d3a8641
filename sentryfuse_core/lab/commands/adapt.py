"""`sentryfuse adapt`: weights that learn, without labels, from recordings of the robot that they run on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.commands.options import MOST_SEED, add_config_arguments, check_device, check_numbers
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.commands.data_options import LIDAR_HEIGHTS_M, add_data_arguments
from sentryfuse_core.lab.commands.detector_options import check_length
from sentryfuse_core.openmp import idle_cores
from sentryfuse_core.whole_files import new_folders

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]

NOT_GAINED = 1  # exit status
_MINUTES = 25.0
_TEACHERS = ("auto", "lidar", "all", "clustering")
_DESCRIPTION = """\
Adapt the detector to a robot by its own recordings, without labels.

While all sensors are healthy, what the teacher finds with confidence is taught to every set of sensors, to
the camera alone above all, so that a robot that loses its lidar has learned from the drives before. The
teacher's boxes are tracked forwards and backwards through each recording; what the frames before and after
confirm is taught, what they leave in doubt is neither taught nor unlearned. Batches of the synthetic world
are rehearsed in between, so that nothing is forgotten.

The end of each recording is kept back. Agreement with the teacher on it and, where a recording has labels,
mAP are printed before and after. Weights that do not gain there are not written.
"""
_EXAMPLES = """\
  sentryfuse adapt drive.mcap --out robot7.safetensors
  sentryfuse adapt monday/ tuesday/ --out robot7.safetensors --minutes 60 --params robot.yaml
  sentryfuse adapt drive.mcap --out robot7.safetensors --resume     # after Ctrl-C or a power cut
  sentryfuse adapt drive.mcap --out robot7.safetensors --teacher clustering

recordings are .mcap, .db3 and .bag files or folders of them, and the driving sets that `sentryfuse train
--data` reads. They need a lidar. Odometry in them helps: without it slow things are followed less well.

exit status: 0 the weights gained and are written, 1 they did not, 2 error (one line says which), 130 or
143 interrupted (--resume goes on)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    import argparse

    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("recordings", type=Path, nargs="+", metavar="RECORDING", help="a file or folder")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="WEIGHTS",
        help="weights to write, ending in .safetensors; the manifest goes beside them",
    )
    parser.add_argument(
        "--init", metavar="WEIGHTS", help="weights to start from (default: those of this package)"
    )
    parser.add_argument(
        "--teacher",
        choices=_TEACHERS,
        default="auto",
        help="what finds the boxes to teach: the weights by the lidar (and IMU) or by all sensors, or "
        "clusters of the lidar's points, which need no weights; auto: that of whose claims tracking "
        "confirms most (default)",
    )
    parser.add_argument(
        "--keep-back",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="of the recordings, to judge on, 0.05 to 0.5 (default %(default)s)",
    )
    parser.add_argument(
        "--rehearse",
        type=float,
        default=0.25,
        metavar="SHARE",
        help="of the steps that go over the synthetic world again, 0 to 0.9 (default %(default)s)",
    )
    parser.add_argument("--minutes", type=float, help=f"how long to train (default {_MINUTES:g})")
    parser.add_argument("--steps", type=int, help="how many steps to train instead of a time")
    parser.add_argument("--batch", type=int, default=16, help="frames a step (default %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="at its peak (default %(default)g)")
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn (default %(default)s)")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16; weights stay float32")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, to train on (default %(default)s)")
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads; 0 (default): as many as cores are idle"
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder for state, frames, curve.csv and report.json (default: WEIGHTS without its ending)",
    )
    parser.add_argument(
        "--save-every", type=float, default=120.0, metavar="S", help="seconds between states (default 120)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the state")
    second = parser.add_argument_group("a second teacher")
    second.add_argument(
        "--detector",
        type=Path,
        metavar="FILE.onnx",
        help="a 2-D detector of yours: what it sees too is taught, what it should see and does not is not; "
        "docs/adapt.md has the form of the file",
    )
    second.add_argument(
        "--detector-classes",
        metavar="NAME=NUMBER,...",
        help="its numbers of our classes, e.g. car=2,pedestrian=0",
    )
    add_data_arguments(parser)
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Teach, train, judge; write where that gained."""
    _check(args)
    places = (args.out.parent, args.state or args.out.with_suffix(""))
    with new_folders(*places, remedy="choose another --out or --state"):
        import torch

        torch.set_num_threads(args.threads or idle_cores())
        check_device(args.device)
        args.data = args.recordings
        from sentryfuse_core.lab.commands.adapt_run import adapt

        return 0 if adapt(args) else NOT_GAINED


def _check(args: argparse.Namespace) -> None:
    """Raises ConfigError for what cannot be; fills in how long to train."""
    check_length(args)
    args.minutes = _MINUTES if args.minutes is None else args.minutes
    args.steps = args.steps or 0
    if args.out.suffix != ".safetensors" or args.out.is_dir():
        raise ConfigError(f"--out {args.out}: give a file that ends in .safetensors")
    if (args.detector is None) != (args.detector_classes is None):
        raise ConfigError("--detector and --detector-classes go together; give both")
    check_numbers(
        args,
        threads=(0, 1024),
        seed=(0, MOST_SEED),
        minutes=(0, 1_000_000),
        steps=(0, 1_000_000_000),
        batch=(8, 4096),
        learning_rate=(1e-12, 1.0),
        keep_back=(0.05, 0.5),
        rehearse=(0.0, 0.9),
        save_every=(1e-3, 1e9),
        lidar_height=LIDAR_HEIGHTS_M,
    )
