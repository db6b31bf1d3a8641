"""`sentryfuse eval --data`: score weights on driving sets and labelled recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sentryfuse_core.boxes import Floats, FrameBoxes
from sentryfuse_core.commands.options import MOST_SEED, check_numbers, check_unheeded
from sentryfuse_core.errors import ConfigError, EvaluationError
from sentryfuse_core.evaluation.matching import Matches
from sentryfuse_core.lab.commands.data_sets import open_data, span_of, words_of
from sentryfuse_core.lab.commands.eval_asked import DRAWINGS, command_of, levels_of, masks_of
from sentryfuse_core.lab.commands.eval_data_draw import Drawings
from sentryfuse_core.lab.commands.eval_data_report import DataStudy, print_data, write_data
from sentryfuse_core.lab.commands.eval_policy_figures import FaultStudy, PolicyStudy
from sentryfuse_core.lab.datasets.driving import DrivingSet, Span, within
from sentryfuse_core.lab.datasets.vocabulary import LABELS
from sentryfuse_core.lab.scoring.resample import drawn_maps, map_of
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.data_frames import batches_of
from sentryfuse_core.lab.training.data_scores import Frames, judge, run_detectors
from sentryfuse_core.lab.training.detections import Detector, Key
from sentryfuse_core.lab.training.fault_table import fault_table
from sentryfuse_core.lab.training.policies import Run, outcomes, run_plans
from sentryfuse_core.lab.training.references import clustered, oracle
from sentryfuse_core.lab.training.told import RobotDetector
from sentryfuse_core.model.checkpoint import SHIPPED, Checkpoint, load_checkpoint
from sentryfuse_core.pruning.part_gate import PartGate, make_gate
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import Modality, ModalitySet

if TYPE_CHECKING:
    import argparse

__all__ = ["DataTask", "run_data", "sensors_of", "study_data"]

VOXEL_M = 0.2  # what clouds are thinned to for clustering
_DRAWS = 200  # of frames anew, for intervals
_IMU = ModalitySet.of(Modality.IMU)
_OF_WORLD = ("frames", "fit_frames", "single", "tracks", "drives", "seconds", "world")


@dataclass(frozen=True, kw_only=True)
class DataTask:
    """What is asked."""

    span: Span | None = None  # moments of each drive
    masks: Sequence[ModalitySet] | None = None  # None: all sets of the data's sensors that perceive something
    levels: Sequence[int] = (0,)
    references: bool = True
    corrupt: bool = False
    policies: bool = False
    draws: int = 200
    seed: int = 0
    draw: Path | None = None  # folder for pictures
    drawings: int = DRAWINGS


def run_data(args: argparse.Namespace) -> int:
    """Score the weights on what --data names; print, and write where --out says."""
    _check(args)
    checkpoint = load_checkpoint(args.weights or SHIPPED)
    levels = make_gate(checkpoint.shape, checkpoint.manifest).levels
    task = DataTask(
        span=span_of(args.only_frames),
        masks=None if args.masks is None else masks_of(args.masks),
        levels=(0,) if args.levels is None else levels_of(args.levels, levels),
        references=args.references,
        corrupt=args.corrupt,
        policies=args.policies,
        draws=args.draws,
        seed=args.seed,
        draw=args.draw,
        drawings=args.drawings,
    )
    found = open_data(
        args, need_labels=False, labels=tuple(checkpoint.manifest["labels"]), around=args.around
    )
    for note in (*found.notes, *_unlabelled(args, found)):
        print(f"note: {note}")
    study = study_data(found, checkpoint, task)
    print_data(study)
    if args.draw is not None:
        print(f"drew frames into {args.draw}")
    if args.out is not None:
        config = {
            "weights": checkpoint.identity,
            "sha256": checkpoint.manifest["sha256"],
            "layout": found.layout,
            "drives": len(found.drives),
        }
        words = [f"--data {' '.join(path.name for path in args.data)}", *words_of(args)]
        words += [f"--only-frames {args.only_frames}"] if args.only_frames else []
        words += [f"--{name}" for name in ("around", "corrupt", "policies") if getattr(args, name)]
        command = command_of(args, ("seed", "draws"), words)
        for path in write_data(args.out, study, command=command, config=config):
            print(f"wrote {path}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises ConfigError for what is wrong, or is of the synthetic world; fills in what was not given."""
    check_unheeded(args, _OF_WORLD, "is of the synthetic world; leave out --data")
    if args.device != "cpu":
        raise ConfigError(f"--device {args.device} is of the synthetic world; leave out --data")
    if args.policies:
        why = "is not for --policies, which runs all sets and levels; leave one of them out"
        check_unheeded(args, ("masks", "levels"), why)
    if args.draw is None:
        check_unheeded(args, ("drawings",), "is of --draw; give that, too")
    if args.draws is None:
        args.draws = _DRAWS
    if args.drawings is None:
        args.drawings = DRAWINGS
    check_numbers(args, seed=(0, MOST_SEED), draws=(1, 100_000), drawings=(1, 100_000))


def _unlabelled(args: argparse.Namespace, found: DrivingSet) -> list[str]:
    """What is to be said of recordings without labels; raises ConfigError where labels are needed."""
    names = [drive.name for drive in found.drives if not drive.labelled]
    if not names:
        return []
    for option in ("corrupt", "policies"):
        if getattr(args, option):
            raise ConfigError(f"--{option} needs labels, and {names[0]} has none; leave one of them out")
    several = len(names) < len(found.drives)
    return [f"{names[0]} has no labels: boxes are counted alone, in all drives"] if several else []


def study_data(found: DrivingSet, checkpoint: Checkpoint, task: DataTask) -> DataStudy:
    """Run all that is asked over the frames of `found`, with a bar on standard error."""
    bank, labels = Bank(checkpoint), tuple(checkpoint.manifest["labels"])
    there = sensors_of(found, task.span)
    if not there:
        raise EvaluationError(f"no frame of {found.root} is among those asked for; give others")
    masks = _masks(there, task.masks)
    detectors: list[Detector] = [RobotDetector(bank, masks, task.levels)]
    labelled = all(drive.labelled for drive in found.drives)
    if task.references and labelled:
        usual = labels == LABELS  # whose usual sizes clustering knows
        detectors += [partial(_clustering, there)] if Modality.LIDAR in there and usual else []
        detectors.append(oracle)
    total = _length(found, task.span)
    with _bar(total) as step:
        watch = _drawings(task, masks, there, labels, _drawn_every(found, total, task.drawings))
        frames = run_detectors(
            batches_of(found, span=task.span), detectors, on_frames=step("frames"), watch=watch
        )
        everything = _common(frames)
        study = DataStudy(frames, labels, everything)
        if not labelled:
            return study
        study = replace(study, scores=judge(frames, labels=labels))
        if not (task.policies or task.corrupt):
            return study
        judged = _having(frames, everything)
        if task.policies:
            study = replace(
                study, policies=_policies(found, bank, judged, everything, task, step("policies"))
            )
        if task.corrupt:
            rows = fault_table(
                bank.network,
                lambda age_s: _with(batches_of(found, span=task.span, age_s=age_s), everything),
                classes=len(judged.kinds),
                gate=bank.gate,
                sensors=everything,
                cut=judged.cut,
                on_frames=step("faults"),
            )
            parts = [part for row in rows for part in (row.bad, row.without, row.clean)]
            maps, drawn = _points(parts, task)
            faults = FaultStudy(rows, maps.reshape(-1, 3), drawn.reshape(len(drawn), -1, 3))
            study = replace(study, faults=faults)
    return study


def _clustering(there: ModalitySet, batch: LabelledBatch) -> dict[Key, list[FrameBoxes]]:
    """Clusters of one frame, under the same keys in all: no points, no boxes; no IMU, as they come."""
    plain, levelled = ("clustering lidar", 0), ("clustering lidar+imu", 0)
    if batch.points is None:
        found = {plain: [FrameBoxes.none()] * len(batch.boxes)}
    else:
        found = clustered(batch, voxel_m=VOXEL_M)
    return found if Modality.IMU not in there else {plain: found[plain], levelled: [*found.values()][-1]}


def _drawings(
    task: DataTask, masks: Sequence[ModalitySet], there: ModalitySet, labels: Sequence[str], every: int
) -> Callable[[LabelledBatch, Mapping[Key, list[FrameBoxes]]], None]:
    """What draws some of the frames; without --draw, what does nothing."""
    if task.draw is None:
        return lambda _, __: None
    singles = [mask for mask in masks if mask == there or len(mask) == 1]
    chosen = masks if task.masks is not None else singles
    return Drawings(task.draw, every=every, masks=chosen, labels=labels, level=task.levels[0])


def _drawn_every(found: DrivingSet, total: int, drawings: int) -> int:
    """Of how many frames to draw one; an odd number where sides alternate, so that each has its turn."""
    every = max(1, -(-total // drawings))
    return every | 1 if any(drive.sides > 1 for drive in found.drives) else every


def sensors_of(found: DrivingSet, span: Span | None = None) -> ModalitySet:
    """The sensors that the frames have; a drive is read until all that it recorded were seen."""
    sensors = ModalitySet()
    for drive in found.drives:
        if sensors and not (drive.sensors - sensors).bits:
            continue
        numbers = within(drive, span)
        for frame in islice(drive.frames(), numbers.start, numbers.stop):
            sensors |= frame.inputs.present
            if not (drive.sensors - sensors).bits:
                break
    return sensors


def _masks(there: ModalitySet, asked: Sequence[ModalitySet] | None) -> list[ModalitySet]:
    """The sets to run; raises ConfigError for one that the data cannot give."""
    if asked is None:
        return [mask for mask in ModalitySet.subsets() if mask & there == mask and (mask - _IMU).bits]
    for mask in asked:
        if mask & there != mask:
            raise ConfigError(f"--masks {mask}: the data has {there}; give sets of these sensors")
    return list(asked)


def _common(frames: Frames) -> ModalitySet:
    """The sensors that most frames have; where sensors are compared, those frames alone are judged."""
    kinds = [sensors.bits for sensors in frames.sensors]
    return ModalitySet(max(set(kinds), key=lambda bits: (kinds.count(bits), bits)))


def _having(frames: Frames, sensors: ModalitySet) -> Frames:
    """The frames that have exactly these sensors; their truth and views.

    Raises EvaluationError where no box is labelled in them.
    """
    rows = [row for row, own in enumerate(frames.sensors) if own == sensors]
    found = Frames(
        [frames.truth[row] for row in rows],
        {},
        [frames.views[row] for row in rows],
        [frames.sensors[row] for row in rows],
    )
    if not found.kinds:
        raise EvaluationError(f"{len(rows)} frames with {sensors} have no labelled box to compare by")
    return found


def _with(batches: Iterator[LabelledBatch], sensors: ModalitySet) -> Iterator[LabelledBatch]:
    return (batch for batch in batches if batch.inputs.present == sensors)


def _policies(
    found: DrivingSet,
    bank: Bank,
    judged: Frames,
    sensors: ModalitySet,
    task: DataTask,
    step: Callable[[int], None],
) -> PolicyStudy:
    if not isinstance(bank.gate, PartGate):
        raise ConfigError(f"--policies: {bank.identity} has no gate in its manifest; give weights with one")
    net = bank.network
    masks = [mask for mask in ModalitySet.subsets() if mask & sensors == mask and (mask - _IMU).bits]
    batches = _with(batches_of(found, span=task.span), sensors)
    run = run_plans(net, bank.gate, batches, masks=masks, on_frames=step)
    cut = Run(judged.cut(run.truth), {plan: judged.cut(own) for plan, own in run.boxes.items()}, run.trust)
    chosen = outcomes(net, bank.gate, cut, masks=masks, classes=len(judged.kinds))
    return PolicyStudy("as they are", chosen, *_points([one.matches for one in chosen], task), sensors)


def _points(parts: Sequence[Matches], task: DataTask) -> tuple[Floats, Floats]:
    drawn = drawn_maps(parts, draws=task.draws, seed=task.seed)
    return 100.0 * np.array([map_of(part) for part in parts]), 100.0 * drawn


def _length(found: DrivingSet, span: Span | None) -> int:
    """How many frames there are at most."""
    return sum(len(range(drive.length)[within(drive, span)]) for drive in found.drives)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[str], Callable[[int], None]]]:
    """A bar on standard error; what is given a name gets a line of its own."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def step(what: str) -> Callable[[int], None]:
            task = bar.add_task(what, total=total)
            return lambda done: bar.advance(task, done)

        yield step
