"""`sentryfuse train`: the detector, in the synthetic world or on recordings, or a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.commands.options import MOST_SEED, check_numbers, check_unheeded
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.commands import detector_options
from sentryfuse_core.openmp import idle_cores
from sentryfuse_core.shipped import or_shipped
from sentryfuse_core.whole_files import new_folders

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]

_DESCRIPTION = """\
Train a network that keeps working when sensors die and that shrinks to fit; write weights and a manifest.

With --data FILE.npz it trains a classifier on arrays of your own: first the whole network, modalities
being absent ever more often; then its units are sorted by saliency, the gate is fitted to it, and the
sub-networks of every ratio are trained inside the same weights. At the end it prints the balanced
accuracy of every set of modalities at every ratio, on val and, once, on test.

With --data FOLDER it fine-tunes the detector of the ROS node on a driving set (KITTI object, KITTI raw,
nuScenes) or on recordings with a labels.jsonl beside them, from the shipped weights or those of --init.

Without --data it trains that detector in the synthetic world, from random weights or those of --init.

The folder --state holds curve.csv and the state, written every --save-every seconds: a run that is
interrupted or killed goes on with --resume. A classifier ends with the same weights to the bit; the
detector may not: other threads round otherwise, and its synthetic world is drawn anew.
"""
_EXAMPLES = """\
data of your own: an .npz file with one array a modality [n, ...], `label` [n], and `split` [n] of train,
val and test; nothing needs to be tuned for it:

  sentryfuse train mine.safetensors --data mine.npz
  sentryfuse train mine.safetensors --data mine.npz --resume
  sentryfuse train mine.safetensors --data mine.npz --recipe config/recipes/train.yaml --backbone bottleneck
  sentryfuse train mine.safetensors --data mine.npz --device cuda --bf16
  torchrun --standalone --nproc-per-node 2 --no-python sentryfuse train mine.safetensors --data mine.npz

the detector:

  sentryfuse train detector.safetensors --minutes 60
  sentryfuse train better.safetensors --init detector.safetensors --minutes 60 --learning-rate 0.002
  sentryfuse train mine.safetensors --data kitti/ --minutes 120
  sentryfuse train mine.safetensors --data drive.mcap --labels truth.jsonl --params robot.yaml
"""
_LONGEST_S = 1e9  # 30 years
_CLASSIFIER = ("recipe", "backbone", "design", "compile")
_WORLD = ("sensors", "lidar_first")
_RECORDINGS = (".mcap", ".db3", ".bag")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    import argparse

    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="weights to write, ending in .safetensors; the manifest goes beside them",
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and data (default %(default)s)")
    parser.add_argument("--device", help="cpu or cuda (default: the recipe's, cpu)")
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="CPU threads; 0 (default): as many as cores are idle; for a classifier what torch takes",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder for state and curve.csv (default: OUT without its ending)",
    )
    parser.add_argument(
        "--save-every", type=float, default=120.0, metavar="S", help="seconds between states (default 120)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the state; without it a run starts anew and drops the old state",
    )
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16; weights stay float32")
    parser.add_argument(
        "--data",
        action="append",
        type=Path,
        metavar="PATH",
        help="an .npz file of your own arrays, a driving set's folder, or a recording with labels; of the "
        "latter two repeatable, for several at once",
    )
    own = parser.add_argument_group("a classifier on your own arrays, --data FILE.npz")
    own.add_argument("--recipe", type=or_shipped, metavar="FILE", help="sizes and budget (default: built in)")
    own.add_argument(
        "--backbone",
        metavar="NAME",
        help="trunk, branches or bottleneck (default: the recipe's first, trunk)",
    )
    own.add_argument(
        "--design",
        choices=("uniform", "shared", "conditioned"),
        help="how the gate spreads widths over layers: evenly (default), by mean worth, by worth for the "
        "modalities at hand",
    )
    own.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile: slow to start, one graph for each set of modalities and ratio",
    )
    detector_options.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train, evaluate, write."""
    _check_options(args)
    places = (args.out.parent, args.state or args.out.with_suffix(""))
    with new_folders(*places, remedy="choose another OUT or --state"):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    classifier = args.data is not None and not _is_driving(args)
    if args.threads or not classifier:  # other threads, other roundings: a classifier resumes to the bit
        import torch  # like all that trains: --help and a wrong option are answered without

        torch.set_num_threads(args.threads or idle_cores())
    if _is_driving(args):
        from sentryfuse_core.lab.commands import train_driving

        return train_driving.run(args)
    if classifier:
        from sentryfuse_core.lab.commands import train_classifier

        (args.data,), args.design = args.data, args.design or "uniform"
        return train_classifier.run(args)
    from sentryfuse_core.lab.commands import train_world

    return train_world.run(args)


def _check_options(args: argparse.Namespace) -> None:
    """The options of both tasks, and that none is of the other one."""
    if args.out.suffix != ".safetensors":
        raise ConfigError(
            f"{args.out} does not end in .safetensors; call it {args.out.stem or 'mine'}.safetensors"
        )
    if args.out.is_dir():
        raise ConfigError(f"{args.out} is a folder; give the file to write")
    check_numbers(args, threads=(0, 1024), seed=(0, MOST_SEED))
    if not 0.0 < args.save_every <= _LONGEST_S:
        raise ConfigError(f"--save-every {args.save_every:g}: give a time above 0, up to {_LONGEST_S:g} s")
    _check_foreign(args)


def _check_foreign(args: argparse.Namespace) -> None:
    """Raises ConfigError for an option of another task than the one that --data asks for."""
    of_classifier = "is of a classifier's training; give --data FILE.npz with it"
    if args.data is None:
        check_unheeded(
            args, detector_options.DRIVING, "is of training on recordings; give --data FOLDER with it"
        )
        check_unheeded(args, _CLASSIFIER, of_classifier)
        return
    check_unheeded(args, _WORLD, "is of training in the synthetic world; leave out --data")
    if _is_driving(args):
        check_unheeded(args, _CLASSIFIER, of_classifier)
        return
    check_unheeded(args, ("init",), "is of the detector's training; a classifier starts anew, leave it out")
    names = (*detector_options.LENGTH, *detector_options.DRIVING)
    check_unheeded(args, names, "is of the detector's training; with --data FILE.npz the recipe says it")


def _is_driving(args: argparse.Namespace) -> bool:
    """Whether --data is a folder or recording for the detector; an .npz file is a classifier's."""
    if args.data is None:
        return False
    first = args.data[0]
    is_arrays = first.is_file() or first.suffix == ".npz"
    return args.format is not None or len(args.data) > 1 or first.suffix in _RECORDINGS or not is_arrays
