"""`sentryfuse eval`: score a checkpoint on worlds it has not seen, for every set of sensors and level."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sentryfuse_core.commands.options import (
    MOST_SEED,
    check_device,
    check_numbers,
    check_unheeded,
)
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.commands.eval_asked import (
    add_real_arguments,
    check_fresh,
    command_of,
    levels_of,
    masks_of,
)
from sentryfuse_core.lab.world.config import CLASSES, WORLDS
from sentryfuse_core.types import Modality, ModalitySet
from sentryfuse_core.whole_files import new_folders

if TYPE_CHECKING:  # what imports torch is imported on use: --help and a wrong option are answered at once
    import argparse

    from sentryfuse_core.lab.commands.eval_study import Study
    from sentryfuse_core.lab.training.detections import Detector, Found
    from sentryfuse_core.model.checkpoint import Checkpoint

__all__ = ["add_arguments", "run"]

_FRAMES, _FIT_FRAMES, _POLICY_FRAMES = 1536, 512, 192  # to score, to fit on, to score with --policies
_WORLD = "v3"
_DRAWS, _POLICY_DRAWS = 1000, 200
_DRIVES, _DRIVE_S, _LEAST_DRIVE_S = 4, 30.0, 12  # of --tracks: the lidar is gone from 10 to 20 s
_BATCH = 16  # frames; another number would give other worlds
_WORLDS = 2**20  # batches of one seed; the second half is for fitting, the first 2**20 are training's own
_SAME = ("world", "frames", "fit_frames", "seed", "device", "draws")  # options that the figures depend on
_POLICIES_SAME = ("world", "frames", "seed", "draws")  # the same with --policies
_DESCRIPTION = """\
Score a detector on held-out synthetic worlds: mAP and AP by distance (the rules of nuScenes), errors of
true positives, calibration of scores, day against night, and what an IMU is worth on rough ground, for all
15 sets of sensors and the canvas alone, at every pruning level. Calibrators are fitted on other worlds than
they are judged on. Beside the network stand references: clustering of the lidar's points, an oracle that
boxes all that a sensor can see, the same network fed zeros in place of absent sensors, and late fusion of
single-sensor detections.

With --data it scores on driving sets (KITTI, nuScenes) and labelled recordings instead: AP by class and
distance over the classes that are there, within the view that the set labels, for every set of the data's
sensors at level 0 (--levels gives others), beside clustering and the oracle; --corrupt adds every fault of
content at three severities against the sensor's absence, --policies the gate against uniform widths.
Of recordings without labels it counts the boxes that a robot would publish, and --draw shows them.
"""
_OF_TRACKS = ("drives", "seconds")
_NOT_OF_TRACKS = ("masks", "levels", "single", "frames", "fit_frames", "draws", "world")
_NOT_OF_POLICIES = ("masks", "levels", "single", "tracks", "fit_frames")
_OF_DATA = (
    "format",
    "labels",
    "topic",
    "params",
    "node",
    "set",
    "map",
    "lidar_height",
    "only_frames",
    "around",
    "corrupt",
    "draw",
    "drawings",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    import argparse

    parser.description, parser.formatter_class = _DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--weights", type=Path, metavar="FILE", help="checkpoint (default: the shipped one)")
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help=f"frames to score (default {_FRAMES}; with --policies {_POLICY_FRAMES}); rounded up to a "
        f"multiple of {_BATCH}, as worlds come {_BATCH} at a time",
    )
    parser.add_argument(
        "--fit-frames",
        type=int,
        metavar="N",
        help=f"other frames, to fit the calibrators on (default {_FIT_FRAMES}); rounded up likewise; 0: none",
    )
    parser.add_argument(
        "--masks",
        metavar="A,B",
        help="only these sets, e.g. camera+lidar,lidar,none; none is the canvas alone (default: all 16)",
    )
    parser.add_argument(
        "--references",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also score clustering, the oracle, zeros and late fusion (default: yes)",
    )
    parser.add_argument(
        "--single",
        action="append",
        default=[],
        metavar="SENSOR=FILE",
        help="weights trained for one sensor, for late fusion of such; repeatable",
    )
    parser.add_argument(
        "--policies",
        action="store_true",
        help="compare instead, on the same frames and weights, uniform widths, the gate by presence, it "
        "by presence and quality, and an oracle that tries up to 24 plans on each frame; then every fault at "
        "every severity against the sensor's absence. For weights with a gate; on the CPU; --out "
        "gets gate.json and policies.png",
    )
    parser.add_argument(
        "--world",
        choices=tuple(WORLDS),
        help="v3: streets and yards, many kinds of lidar and camera; v2: the plain world that weights were "
        f"trained in before, for continuity (default {_WORLD}); not for --tracks, which drives in v2",
    )
    parser.add_argument("--levels", metavar="0,1", help="only these pruning levels (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="which worlds (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default %(default)s)")
    parser.add_argument(
        "--draws",
        type=int,
        metavar="N",
        help=f"of frames anew, for intervals (default {_DRAWS}; with --policies or --data {_POLICY_DRAWS})",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for eval.json and dropout.png (default: only print)"
    )
    parser.add_argument(
        "--tracks",
        action="store_true",
        help="score tracks on held-out drives instead: identities, velocities and phantoms, by set of "
        "sensors and through blackouts; --out gets tracks.json",
    )
    parser.add_argument("--drives", type=int, metavar="N", help=f"with --tracks: drives (default {_DRIVES})")
    parser.add_argument("--seconds", type=float, metavar="S", help=f"of each (default {_DRIVE_S:g})")
    add_real_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Render, detect, judge, print, write."""
    if args.data is None:
        _check(args)
    check_fresh(args)
    folders = [folder for folder in (args.out, args.draw) if folder is not None]
    with new_folders(*folders, remedy="choose another folder"):
        if args.data is None:
            return _run(args)
        from sentryfuse_core.lab.commands.eval_data import run_data

        return run_data(args)


def _run(args: argparse.Namespace) -> int:
    """On synthetic worlds."""
    from sentryfuse_core.lab.commands.eval_report import print_report, write_report

    checkpoint = _checkpoint(args.weights)
    if args.policies:
        from sentryfuse_core.lab.commands.eval_policies import run_policies
        from sentryfuse_core.lab.training.data import held_out

        count = args.frames // _BATCH
        first = (args.seed + 1) * _WORLDS
        run_policies(
            checkpoint,
            frames=args.frames,
            batch=_BATCH,
            batches=lambda ages_s: held_out(
                WORLDS[args.world](), batch=_BATCH, count=count, first=first, ages_s=ages_s
            ),
            draws=args.draws,
            seed=args.seed,
            out=args.out,
            command=command_of(args, _POLICIES_SAME),
        )
        return 0
    if args.tracks:
        from sentryfuse_core.lab.commands.eval_tracks import run_tracks

        names = ("drives", "seconds", "seed", "device", "out")
        given = {name: getattr(args, name) for name in names}
        return run_tracks(checkpoint, named=args.weights, **given)
    masks, levels = masks_of(args.masks), levels_of(args.levels, checkpoint.shape.levels)
    study = _study(args, {"": checkpoint, **_singles(args.single)}, masks, levels)
    print_report(study)
    if args.out is not None:
        config = {
            "weights": checkpoint.identity,
            "sha256": checkpoint.manifest["sha256"],
            "labels": list(checkpoint.manifest["labels"]),
            **{name: getattr(args, name) for name in _SAME},
        }
        for path in write_report(args.out, study, command=command_of(args, _SAME), config=config):
            print(f"wrote {path}")
    return 0


def _study(
    args: argparse.Namespace,
    checkpoints: dict[str, Checkpoint],
    masks: list[ModalitySet],
    levels: list[int],
) -> Study:
    """Run the checkpoint named "" over `masks`, and those named as a sensor for that one alone."""
    from sentryfuse_core.lab.commands.eval_study import OWN, judge
    from sentryfuse_core.lab.training.data import held_out
    from sentryfuse_core.lab.training.detections import SubsetDetector, collect
    from sentryfuse_core.lab.training.references import ZeroFilled, clustered, oracle
    from sentryfuse_core.lab.training.support import SupportCounter

    nets = {name: item.network().to(args.device) for name, item in checkpoints.items()}
    own: list[Detector] = [SubsetDetector(nets[""], masks, levels)]
    imu = ModalitySet.of(Modality.IMU)
    for name in list(nets)[1:]:
        alone = ModalitySet.of(Modality(name))
        own.append(SubsetDetector(nets[name], [alone, alone | imu], [0], OWN))
    others: list[Detector] = []
    if args.references:
        one_lost = [ModalitySet.all() - ModalitySet.of(modality) for modality in Modality]
        seeing = [ModalitySet.of(Modality.CAMERA), ModalitySet.of(Modality.LIDAR)]
        others = [clustered, oracle, ZeroFilled(nets[""], [*one_lost, *seeing])]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    first = (args.seed + 1) * _WORLDS
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def frames(what: str, wanted: int, start: int, detectors: list[Detector]) -> Found:
            task = bar.add_task(what, total=wanted)
            batches = held_out(
                WORLDS[args.world](), batch=_BATCH, count=wanted // _BATCH, first=start, device=args.device
            )
            return collect(batches, detectors, on_frames=lambda done: bar.advance(task, done))

        support = SupportCounter(nets[""])
        if ModalitySet.all() in masks and 0 in levels:
            others.append(support)
        scored = frames("frames to score", args.frames, first, own + others)
        fitting = frames("frames to fit on", args.fit_frames, first + _WORLDS // 2, own)
        judging = bar.add_task("judging", total=len(scored.boxes))
        study = judge(
            scored,
            fitting,
            labels=checkpoints[""].manifest["labels"],
            draws=args.draws,
            seed=args.seed,
            late=args.references,
            on_cell=lambda: bar.advance(judging),
        )
        return replace(study, named=support.sensors, supporters=support.supporters)


def _checkpoint(path: Path | None) -> Checkpoint:
    """That of a file, else the shipped one; raises ConfigError where its classes are not the world's."""
    from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint

    checkpoint = load_checkpoint(path or SHIPPED)
    known, there = tuple(checkpoint.manifest["labels"]), tuple(traits.label for traits in CLASSES)
    if known != there:
        raise ConfigError(
            f"{path} knows {', '.join(known)}, and the synthetic world has {', '.join(there)}; "
            "give weights that know these, or --data PATH"
        )
    return checkpoint


def _singles(options: list[str]) -> dict[str, Checkpoint]:
    """Checkpoints by sensor."""
    found = {}
    for text in options:
        sensor, _, path = text.partition("=")
        if sensor not in ("camera", "lidar", "audio") or not path:
            raise ConfigError(f"--single {text}: give camera=FILE, lidar=FILE or audio=FILE")
        found[sensor] = _checkpoint(Path(path))
    return found


def _check(args: argparse.Namespace) -> None:
    """Raises ConfigError for what is wrong; fills in what was not given."""
    check_unheeded(args, _OF_DATA, "is of real data; give --data PATH with it")
    _check_instead(args)
    args.world = args.world or _WORLD
    args.drives = _DRIVES if args.drives is None else args.drives
    args.seconds = _DRIVE_S if args.seconds is None else args.seconds
    if args.fit_frames is None:
        args.fit_frames = _FIT_FRAMES
    if args.frames is None:
        args.frames = _POLICY_FRAMES if args.policies else _FRAMES
    if args.draws is None:
        args.draws = _POLICY_DRAWS if args.policies else _DRAWS
    most = _BATCH * _WORLDS // 2
    check_numbers(
        args,
        frames=(1, most),
        fit_frames=(0, most),
        seed=(0, MOST_SEED),
        draws=(1, 100_000),
        drives=(1, 10_000),
        seconds=(_LEAST_DRIVE_S, 3600),
    )
    check_device(args.device)
    for name in ("frames", "fit_frames"):
        asked = getattr(args, name)
        setattr(args, name, -(-asked // _BATCH) * _BATCH)
        if getattr(args, name) != asked:
            option = f"--{name.replace('_', '-')}"
            print(f"note: worlds come {_BATCH} at a time: {option} {asked} is {getattr(args, name)} frames")


def _check_instead(args: argparse.Namespace) -> None:
    """Raises ConfigError for what --policies and --tracks do not heed, or --tracks alone does."""
    why = ""
    if args.policies:
        why = "is not for --policies, which runs all sets and levels on the CPU"
        check_unheeded(args, _NOT_OF_POLICIES, why)
        if args.device != "cpu":
            raise ConfigError(f"--device {args.device} {why}")
    if args.tracks:
        why = "is not for --tracks, which runs sets and scripts of its own at full width"
        check_unheeded(args, _NOT_OF_TRACKS, why)
    else:
        check_unheeded(args, _OF_TRACKS, "is of --tracks; give that, too")
    if why and not args.references:
        raise ConfigError(f"--no-references {why} and no references")
