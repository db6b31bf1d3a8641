"""`sentryfuse train OUT --data FOLDER`: fine-tune the detector on driving sets and labelled recordings."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.commands.options import config_from
from sentryfuse_core.lab.commands.data_sets import classes_of, open_data, passing_bar, span_of, words_of
from sentryfuse_core.lab.commands.detector_run import BATCH, FEWEST, finish, options_of, start_of, train
from sentryfuse_core.lab.datasets.driving import VAL_SHARE, Drive, DrivingSet, Span, only_frames
from sentryfuse_core.lab.datasets.vocabulary import LABELS
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.data_frames import batches_of
from sentryfuse_core.lab.training.driving_source import DrivingData, DrivingSource, kept_from, load_data
from sentryfuse_core.lab.training.frame_cache import FrameCache
from sentryfuse_core.lab.training.run_identity import check_identity
from sentryfuse_core.lab.training.shapes import TRAINED_SHAPE
from sentryfuse_core.lab.training.targets import in_region
from sentryfuse_core.model.checkpoint import SHIPPED, Checkpoint
from sentryfuse_core.types import ModalitySet

if TYPE_CHECKING:
    import argparse

__all__ = ["run"]

_AGE_S = 0.5  # of what a late sensor shows


def run(args: argparse.Namespace) -> int:
    """Read, train, judge, write."""
    args.init = args.init or str(SHIPPED)
    options = options_of(args)
    classes = None if args.classes is None else classes_of(args.classes)
    start, facts = start_of(args.init, labels=classes)
    if start is not None:
        start.network()  # raises for tensors that do not fit
    labels = classes or (LABELS if start is None else tuple(start.manifest["labels"]))
    facts["labels"] = list(labels)
    if args.resume:  # all that must be the same is known once the frames are read
        check_identity(options.folder, facts)
    found, span = open_data(args, labels=labels, around=args.around), span_of(args.only_frames)
    found = found if span is None else only_frames(found, span)
    for note in found.notes:
        print(f"note: {note}")
    cache = FrameCache(args.cache or options.folder / "frames", options=f"{_made_with(args)} {labels}")
    data = _load(found, cache)
    _print_data(found, data)
    facts |= {"data": _described(found, data)}
    trainer = train(
        args,
        options,
        shape=replace(TRAINED_SHAPE if start is None else start.shape, classes=len(labels)),
        labels=labels,
        start=start,
        identity={
            **facts,
            "frames_sha256": hashlib.sha256(_made_with(args).encode()).hexdigest(),
        },
        source=DrivingSource(data.train, batch=options.batch, seed=options.seed, device=options.device),
    )

    def batches(part: int) -> Iterator[LabelledBatch]:
        return data.batches(part, most=args.evaluate, batch=BATCH, device=args.device)

    words = [f"--data {path.name}" for path in args.data]
    words += words_of(args)
    words += [f"--classes {args.classes}"] if args.classes else []
    words += [f"--only-frames {args.only_frames}"] if args.only_frames else []
    words += ["--around"] if args.around else []
    words += [] if args.init == str(SHIPPED) else [f"--init {Path(args.init).name}"]
    finish(
        args,
        trainer,
        words=words,
        facts={**facts, **_kept_gate(start)},
        sensors=data.judged_sensors,
        judged=lambda: batches(1),
        fitted=batches(0),
        weighed=_weighed(found, data),
    )
    return 0


def _kept_gate(start: Checkpoint | None) -> dict[str, Any]:
    """The gate of the weights it began as, which holds where these frames cannot tell."""
    if start is None or "gate" not in start.manifest:
        return {}
    return {"gate": {**start.manifest["gate"], "measured_on": start.identity}}


def _weighed(found: DrivingSet, data: DrivingData) -> Iterator[LabelledBatch] | None:
    """Frames of val to measure a gate on; None where too few have all four sensors.

    None of them is judged: what plans were chosen by would flatter them. The first calibrate.
    """
    everything = ModalitySet.all()
    whole = sum(len(table) for table in data.val if table.present == everything)
    if (data.calibrating if data.judged_sensors == everything else whole) < FEWEST:
        return None
    drives = [drive for drive in found.drives if drive.name in data.val_drives]
    frames = (
        batch
        for drive in drives
        for batch in batches_of(replace(found, drives=(drive,)), span=_validating(drive, data), age_s=_AGE_S)
    )
    return islice((batch for batch in frames if batch.inputs.present == everything), FEWEST)


def _validating(drive: Drive, data: DrivingData) -> Span:
    """The moments of a drive of val that were not learned from.

    A drive that is in both parts is the only one, and its frames are those there are: `length` may be more.
    """
    count = sum(map(len, (*data.train, *data.val))) // data.sides
    return (kept_from(count, VAL_SHARE) if drive.name in data.train_drives else 0), drive.length


def _made_with(args: argparse.Namespace) -> str:
    """The options that change what frames hold, beside the classes by number that they are labelled with."""
    asked = sorted(args.topic), sorted(args.map), args.classes, args.lidar_height, args.only_frames
    return f"{config_from(args)} {asked}{' around' if args.around else ''}"


def _load(found: DrivingSet, cache: FrameCache) -> DrivingData:
    with passing_bar("reading frames", sum(drive.length for drive in found.drives)) as advance:
        return load_data(found, cache, on_frame=advance)


def _print_data(found: DrivingSet, data: DrivingData) -> None:
    print(f"{found.layout}: {len(found.drives)} drives")
    for name, tables in (("train", data.train), ("val", data.val)):
        for table in tables:
            inside = in_region(table.columns["boxes"], table.columns["classes"])
            counts = Counter(table.columns["classes"][inside].tolist())
            boxes = ", ".join(f"{counts[index]} {label}" for index, label in enumerate(found.labels))
            print(f"  {name:<5} {len(table):6d} frames with {table.present}; boxes in the region: {boxes}")


def _described(found: DrivingSet, data: DrivingData) -> dict[str, Any]:
    """What was learned from, for the manifest."""
    names = "\n".join((*data.train_drives, "", *data.val_drives))
    return {
        "layout": found.layout,
        "drives": {"train": len(data.train_drives), "val": len(data.val_drives)},
        "split_sha256": hashlib.sha256(names.encode()).hexdigest(),
        "frames": {
            name: {str(table.present): len(table) for table in tables}
            for name, tables in (("train", data.train), ("val", data.val))
        },
        "judged": f"half of the frames of val that have {data.judged_sensors}; the other half calibrates",
    }
