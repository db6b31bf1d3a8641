"""`sentryfuse eval --data`: score weights on driving sets and labelled recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sentryfuse_core.boxes import Floats
from sentryfuse_core.commands.options import MOST_SEED, check_numbers
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.evaluation.matching import Matches
from sentryfuse_core.lab.commands.data_sets import open_data
from sentryfuse_core.lab.commands.eval_asked import command_of, levels_of, masks_of
from sentryfuse_core.lab.commands.eval_data_report import DataStudy, print_data, write_data
from sentryfuse_core.lab.commands.eval_policy_figures import FaultStudy, PolicyStudy
from sentryfuse_core.lab.datasets.driving import DrivingSet
from sentryfuse_core.lab.scoring.resample import drawn_maps, map_of
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.data_frames import Span, batches_of
from sentryfuse_core.lab.training.data_scores import DataScores, Frames, score
from sentryfuse_core.lab.training.detections import Detector, SubsetDetector
from sentryfuse_core.lab.training.fault_table import fault_table
from sentryfuse_core.lab.training.policies import Run, outcomes, run_plans
from sentryfuse_core.lab.training.references import clustered, oracle
from sentryfuse_core.model.checkpoint import Checkpoint, load_checkpoint
from sentryfuse_core.pruning.part_gate import Gate, PartGate, make_gate
from sentryfuse_core.runtime.load import shipped_weights
from sentryfuse_core.types import Modality, ModalitySet
from sentryfuse_core.whole_files import make_folder

if TYPE_CHECKING:
    import argparse

__all__ = ["DataTask", "run_data", "sensors_of", "study_data"]

VOXEL_M = 0.2  # what clouds are thinned to for clustering
_PEEKED = 10  # frames of each drive that tell which sensors a set has
_DRAWS = 200  # of frames anew, for intervals
_IMU = ModalitySet.of(Modality.IMU)
_OF_WORLD: Mapping[str, object] = {
    "frames": None,
    "fit_frames": None,
    "single": [],
    "tracks": False,
    "device": "cpu",
}


@dataclass(frozen=True, kw_only=True)
class DataTask:
    """What is asked."""

    span: Span | None = None  # frames of each drive
    masks: Sequence[ModalitySet] | None = None  # None: all sets of the data's sensors that perceive something
    levels: Sequence[int] = (0,)
    references: bool = True
    corrupt: bool = False
    policies: bool = False
    draws: int = 200
    seed: int = 0


def run_data(args: argparse.Namespace) -> int:
    """Score the weights on what --data names; print, and write where --out says."""
    _check(args)
    checkpoint = load_checkpoint(args.weights or shipped_weights())
    task = DataTask(
        span=_span(args.only_frames),
        masks=None if args.masks is None else masks_of(args.masks),
        levels=(0,) if args.levels is None else levels_of(args.levels, checkpoint.shape.levels),
        references=args.references,
        corrupt=args.corrupt,
        policies=args.policies,
        draws=args.draws,
        seed=args.seed,
    )
    found = open_data(args)
    for note in found.notes:
        print(f"note: {note}")
    study = study_data(found, checkpoint, task)
    print_data(study)
    if args.out is not None:
        config = {
            "weights": checkpoint.identity,
            "sha256": checkpoint.manifest["sha256"],
            "layout": found.layout,
            "drives": len(found.drives),
        }
        words = [f"--data {' '.join(path.name for path in args.data)}"]
        words += [f"--only-frames {args.only_frames}"] if args.only_frames else []
        words += [f"--{name}" for name in ("corrupt", "policies") if getattr(args, name)]
        command = command_of(args, ("seed", "draws"), words)
        for path in write_data(args.out, study, command=command, config=config):
            print(f"wrote {path}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises ConfigError for what is wrong, or is of the synthetic world; fills in what was not given."""
    for name, unset in _OF_WORLD.items():
        if getattr(args, name) != unset:
            raise ConfigError(f"--{name.replace('_', '-')} is of the synthetic world; leave out --data")
    if args.draws is None:
        args.draws = _DRAWS
    check_numbers(args, seed=(0, MOST_SEED), draws=(1, 100_000))
    if args.out is not None:
        make_folder(args.out, remedy="choose another folder")


def study_data(found: DrivingSet, checkpoint: Checkpoint, task: DataTask) -> DataStudy:
    """Run all that is asked over the frames of `found`, with a bar on standard error."""
    net, labels = checkpoint.network(), tuple(checkpoint.manifest["labels"])
    gate = make_gate(checkpoint.shape, checkpoint.manifest)
    there = sensors_of(found)
    masks = _masks(there, task.masks)
    detectors: list[Detector] = [SubsetDetector(net, masks, task.levels, gate=gate)]
    if task.references:
        detectors = [*detectors, *([partial(clustered, voxel_m=VOXEL_M)] if Modality.LIDAR in there else [])]
        detectors.append(oracle)
    with _bar(_length(found, task.span)) as step:
        scores = score(
            batches_of(found, span=task.span), detectors, labels=labels, on_frames=step("frames to score")
        )
        everything = _common(scores.frames)
        policies = None
        if task.policies:
            policies = _policies(found, checkpoint, gate, scores, everything, task, step("policies"))
        faults = None
        if task.corrupt:
            rows = fault_table(
                net,
                lambda age_s: _with(batches_of(found, span=task.span, age_s=age_s), everything),
                classes=len(scores.labels),
                gate=gate,
                sensors=everything,
                cut=_having(scores.frames, everything).cut,
                on_frames=step("faults"),
            )
            parts = [part for row in rows for part in (row.bad, row.without, row.clean)]
            maps, drawn = _points(parts, task)
            faults = FaultStudy(rows, maps.reshape(-1, 3), drawn.reshape(len(drawn), -1, 3))
    return DataStudy(scores, everything, policies, faults)


def sensors_of(found: DrivingSet) -> ModalitySet:
    """The sensors that the first frames of the drives have."""
    sensors = ModalitySet()
    for drive in found.drives:
        for frame in islice(drive.frames(), _PEEKED):
            sensors |= frame.inputs.present
    return sensors


def _span(text: str | None) -> Span | None:
    """`28-39` as (28, 39); raises ConfigError for anything else."""
    if text is None:
        return None
    first, dash, last = text.partition("-")
    if not (dash and first.isdigit() and last.isdigit() and int(first) <= int(last)):
        raise ConfigError(
            f"--only-frames {text!r:.40}: give the first and the last, counted from 0, e.g. 28-39"
        )
    return int(first), int(last)


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
    """The frames that have exactly these sensors; their truth and views."""
    rows = [row for row, own in enumerate(frames.sensors) if own == sensors]
    return Frames(
        [frames.truth[row] for row in rows],
        {},
        [frames.views[row] for row in rows],
        [frames.sensors[row] for row in rows],
    )


def _with(batches: Iterator[LabelledBatch], sensors: ModalitySet) -> Iterator[LabelledBatch]:
    return (batch for batch in batches if batch.inputs.present == sensors)


def _policies(
    found: DrivingSet,
    checkpoint: Checkpoint,
    gate: Gate,
    scores: DataScores,
    sensors: ModalitySet,
    task: DataTask,
    step: Callable[[int], None],
) -> PolicyStudy:
    if not isinstance(gate, PartGate):
        raise ConfigError(
            f"--policies: {checkpoint.identity} has no gate in its manifest; give weights with one"
        )
    net, judged = checkpoint.network(), _having(scores.frames, sensors)
    masks = [mask for mask in ModalitySet.subsets() if mask & sensors == mask and (mask - _IMU).bits]
    batches = _with(batches_of(found, span=task.span), sensors)
    run = run_plans(net, gate, batches, masks=masks, on_frames=step)
    cut = Run(judged.cut(run.truth), {plan: judged.cut(own) for plan, own in run.boxes.items()}, run.trust)
    chosen = outcomes(net, gate, cut, masks=masks, classes=len(scores.labels))
    return PolicyStudy("as they are", chosen, *_points([one.matches for one in chosen], task), sensors)


def _points(parts: Sequence[Matches], task: DataTask) -> tuple[Floats, Floats]:
    drawn = drawn_maps(parts, draws=task.draws, seed=task.seed)
    return 100.0 * np.array([map_of(part) for part in parts]), 100.0 * drawn


def _length(found: DrivingSet, span: Span | None) -> int:
    first, last = span or (0, 10**9)
    return sum(max(0, min(drive.length, last + 1) - first) for drive in found.drives)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[str], Callable[[int], None]]]:
    """A bar on standard error; what is given a name gets a line of its own."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def step(what: str) -> Callable[[int], None]:
            task = bar.add_task(what, total=total)
            return lambda done: bar.advance(task, done)

        yield step
