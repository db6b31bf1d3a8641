"""The course of `sentryfuse adapt`: read, teach, train, judge and write."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.commands.options import config_from
from sentryfuse_core.errors import BagError, CheckpointError, ConfigError, DatasetError
from sentryfuse_core.lab.adapting.course import Course, kept_of, make_course
from sentryfuse_core.lab.adapting.judge import Change, agreement, judged_sets
from sentryfuse_core.lab.adapting.labels import labelled_scores
from sentryfuse_core.lab.adapting.lessons import Second
from sentryfuse_core.lab.adapting.manifest import evaluation, provenance
from sentryfuse_core.lab.adapting.rehearsal import rehearsing, world_batches
from sentryfuse_core.lab.adapting.teachers import TEACHERS, teachers_of
from sentryfuse_core.lab.adapting.witness import open_witness, parse_classes, witnessed
from sentryfuse_core.lab.commands.adapt_report import print_report, report_of
from sentryfuse_core.lab.commands.data_sets import open_data, passing_bar, words_of
from sentryfuse_core.lab.commands.detector_run import BATCH, described, given_options, start_of, train
from sentryfuse_core.lab.datasets.driving import LABELS, DrivingSet
from sentryfuse_core.lab.training.curriculum import Curriculum
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.data_scores import DataScores
from sentryfuse_core.lab.training.driving_source import DrivingData, DrivingSource, load_data
from sentryfuse_core.lab.training.frame_cache import FrameCache
from sentryfuse_core.lab.training.frame_table import FrameTable
from sentryfuse_core.lab.training.run_identity import check_identity
from sentryfuse_core.lab.training.targets import UNSURE, in_region
from sentryfuse_core.lab.training.trainer import Trainer, TrainOptions
from sentryfuse_core.model.checkpoint import SHIPPED, Checkpoint, save_checkpoint
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.replay.manifest import file_sha256
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import Modality, ModalitySet
from sentryfuse_core.whole_files import written_whole

if TYPE_CHECKING:
    import argparse

__all__ = ["adapt"]

# The lidar teaches, so what is to be learned is to do without it; the camera is there in most parts.
_CURRICULUM = Curriculum(
    chance={Modality.CAMERA: 0.15, Modality.LIDAR: 0.85, Modality.IMU: 0.5, Modality.AUDIO: 0.5},
    ramp=0.05,
    alone=0.02,
)
_MOST = 512  # kept-back frames to judge on


def adapt(args: argparse.Namespace) -> bool:
    """Adapt, and say whether weights were written."""
    args.init = args.init or str(SHIPPED)
    start, facts = start_of(args.init, labels=LABELS)
    if start is None:
        raise CheckpointError("--init none: weights that know nothing cannot be adapted; give others")
    if (known := tuple(start.manifest["labels"])) != LABELS:
        raise CheckpointError(
            f"{args.init} knows {', '.join(known)}; what is taught is {', '.join(LABELS)}: give such weights"
        )
    if args.resume:  # all that must be the same is known after hours of watching
        check_identity(args.state or args.out.with_suffix(""), facts)
    found = open_data(args, plain=True)
    options = replace(given_options(args), curriculum=_CURRICULUM, kept_up=ModalitySet.of(Modality.LIDAR))
    for note in found.notes:
        print(f"note: {note}")
    course = _course(args, found, Bank(start))
    data = _load(args, course, start, options.folder)
    _print_lessons(data)
    trainer, before, after = _train(args, options, start, course, data, facts)
    masks = judged_sets(course.sensors)
    changes = [Change(mask, before[mask], after[mask]) for mask in masks]
    report = report_of(changes, _by_labels(args, course, (start.network(), trainer.average)))
    print_report(report)
    report |= {"teacher": course.teacher, "teachers": course.confirmed, "recordings": provenance(course)}
    with written_whole(options.folder / "report.json", remedy="choose another --state") as partial_file:
        partial_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if not report["gained"]:
        print(f"{args.out} is not written: these weights do not gain; go on with those of before")
        return False
    _write(args, start, trainer, course, data, {**facts, "adapted": report})
    return True


def _course(args: argparse.Namespace, found: DrivingSet, bank: Bank) -> Course:
    names = TEACHERS if args.teacher == "auto" else (args.teacher,)
    with passing_bar("watching the recordings", sum(drive.length for drive in found.drives)) as advance:
        course = make_course(found, teachers_of(bank, names), on_frame=advance, also=_second(args))
    for name, share in course.confirmed.items():
        chosen = "; it teaches" if name == course.teacher else ""
        print(f"teacher {name}: tracking confirms {100 * share:.0f} % of what it claims{chosen}")
    return course


def _second(args: argparse.Namespace) -> Second:
    """The user's 2-D detector; without one lessons stay as they are."""
    if args.detector is None:
        return lambda _, lesson: lesson
    witness = open_witness(args.detector, parse_classes(args.detector_classes, LABELS))
    return lambda inputs, lesson: witnessed(inputs, lesson, witness)


def _load(args: argparse.Namespace, course: Course, start: Checkpoint, folder: Path) -> DrivingData:
    """Frames with their lessons, kept in the state's folder, so that --resume reads them at once."""
    cache = FrameCache(folder / "frames", options=f"{start.identity} {_made_with(args, course)}")
    total = sum(drive.length for drive in course.lessons.drives)
    with passing_bar("reading frames", total) as advance:
        return load_data(course.lessons, cache, share=args.keep_back, on_frame=advance)


def _made_with(args: argparse.Namespace, course: Course) -> str:
    """What changes frames and their lessons, beside the recordings and the weights."""
    made_with = f"{config_from(args)} {sorted(args.topic)} {args.lidar_height}"
    made_with += f" {course.teacher} {course.sensors} {[len(drive) for drive in course.stamps_ns]}"
    if args.detector is not None:
        made_with += f" {file_sha256(args.detector)} {args.detector_classes}"
    return made_with


def _print_lessons(data: DrivingData) -> None:
    for name, tables in (("to learn from", data.train), ("kept back", data.val)):
        for table in tables:
            print(f"  {name}: {len(table)} frames with {table.present}; boxes in the region: {_told(table)}")


def _told(table: FrameTable) -> str:
    """How many boxes of each class are sure, and how many are in doubt."""
    boxes, classes = table.columns["boxes"], table.columns["classes"]
    counts = Counter(classes[in_region(boxes, classes)].tolist())
    sure = ", ".join(f"{counts[index]} {label}" for index, label in enumerate(LABELS))
    return f"{sure}, {int((classes == UNSURE).sum())} in doubt"


def _train(
    args: argparse.Namespace,
    options: TrainOptions,
    start: Checkpoint,
    course: Course,
    data: DrivingData,
    facts: dict[str, Any],
) -> tuple[Trainer, Mapping[ModalitySet, float], Mapping[ModalitySet, float]]:
    """The run, and agreement with the teacher before and after it."""
    masks = judged_sets(course.sensors)
    before = agreement(start.network(), _kept_back(data), masks, LABELS)
    own = DrivingSource(data.train, batch=options.batch, seed=options.seed, device=options.device)
    world = world_batches(options.world, batch=options.batch, seed=options.seed, device=options.device)
    identity = {
        **facts,
        "recordings": provenance(course),
        "teacher": course.teacher,
        "lessons_sha256": hashlib.sha256(_made_with(args, course).encode()).hexdigest(),
        **{name: getattr(args, name) for name in ("keep_back", "rehearse")},
    }
    trainer = train(
        args,
        options,
        shape=start.shape,
        labels=start.manifest["labels"],
        start=start,
        identity=json.loads(json.dumps(identity)),
        source=rehearsing(own, world, share=args.rehearse) if args.rehearse else own,
        keep_up=True,  # with the lidar it is the teacher's like, and must not get worse
    )
    trainer.average.to("cpu").eval()
    return trainer, before, agreement(trainer.average, _kept_back(data), masks, LABELS)


def _kept_back(data: DrivingData) -> Iterator[LabelledBatch]:
    for part in (0, 1):
        yield from data.batches(part, most=_MOST // 2, batch=BATCH)


def _by_labels(
    args: argparse.Namespace, course: Course, nets: tuple[SentryFuseNet, SentryFuseNet]
) -> DataScores | None:
    """Scores of both networks on the kept-back frames that have labels; None where none has."""
    try:
        found = open_data(args, need_labels=False)
    except (BagError, ConfigError, DatasetError) as error:
        print(f"note: not judged by labels: {error}")
        return None
    kept_ns = [kept_of(drive, course, args.keep_back) for drive in found.drives]
    return labelled_scores(found, kept_ns, nets, judged_sets(course.sensors))


def _write(
    args: argparse.Namespace,
    start: Checkpoint,
    trainer: Trainer,
    course: Course,
    data: DrivingData,
    facts: dict[str, Any],
) -> None:
    net = trainer.average
    words = ["sentryfuse adapt", *(path.name for path in args.data), f"--out {args.out.name}"]
    words += words_of(args)
    words += [f"--teacher {args.teacher} --keep-back {args.keep_back:g} --rehearse {args.rehearse:g}"]
    made = described(args, trainer, words)
    if "gate" in start.manifest:
        made["gate"] = start.manifest["gate"]
    judged = partial(data.batches, 1, most=_MOST, batch=BATCH)
    fitted = data.batches(0, most=_MOST, batch=BATCH)
    made["evaluation"] = evaluation(net, start, course.sensors, judged=judged, fitted=fitted)
    save_checkpoint(args.out, net, {**made, **facts})
    print(f"wrote {args.out} and its manifest")
