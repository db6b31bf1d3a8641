"""`sentryfuse train OUT` without --data: the detector, in the synthetic world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.commands.options import check_numbers
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.commands.detector_run import BATCH, finish, options_of, start_of, train
from sentryfuse_core.lab.training.data import LabelledBatch, held_out
from sentryfuse_core.lab.training.provenance import world_sha256
from sentryfuse_core.lab.training.shapes import TRAINED_SHAPE
from sentryfuse_core.lab.training.spoiling import AGES_S
from sentryfuse_core.lab.world.config import CLASSES
from sentryfuse_core.types import Modality, ModalitySet

if TYPE_CHECKING:
    import argparse

__all__ = ["run"]

_CALIBRATION_FIRST = 2**19  # number of the first batch that calibrators are fitted on
_WORTHS_FIRST = 2**18  # and that the gate's table is measured on


def run(args: argparse.Namespace) -> int:
    """Train, judge, write."""
    check_numbers(args, lidar_first=(0, 0.9))
    args.lidar_first = args.lidar_first or 0.0
    sensors = _sensors(args.sensors)
    if args.lidar_first and Modality.LIDAR not in sensors:
        raise ConfigError(f"--lidar-first {args.lidar_first:g} with --sensors {sensors}: there is no lidar")
    options = replace(options_of(args), sensors=sensors, lidar_first=args.lidar_first)
    labels = [traits.label for traits in CLASSES]
    start, facts = start_of(args.init, labels=labels)
    identity = {**facts, "sensors": str(options.sensors), "lidar_first": args.lidar_first}
    # What another world taught is where to start from, and not what to keep up with in this one.
    same = start is not None and start.manifest.get("world_sha256") == world_sha256(options.world)
    trainer = train(
        args, options, shape=TRAINED_SHAPE, labels=labels, start=start, identity=identity, keep_up=same
    )
    count = -(-args.evaluate // BATCH)

    def batches(first: int, ages_s: tuple[float, float] | None = None) -> Iterator[LabelledBatch]:
        device = options.device
        return held_out(options.world, batch=BATCH, count=count, first=first, device=device, ages_s=ages_s)

    words = [] if start is None else [f"--init {Path(args.init).name}"]
    words += [f"--sensors {args.sensors}"] if args.sensors else []
    words += [f"--lidar-first {args.lidar_first:g}"] if args.lidar_first else []
    why = f" (worlds come {BATCH} at a time)" if args.evaluate % BATCH else ""
    print(f"evaluating {count * BATCH} frames{why}, and calibrating on as many others")
    finish(
        args,
        trainer,
        words=words,
        facts=facts,
        sensors=options.sensors,
        judged=lambda: batches(0),
        fitted=batches(_CALIBRATION_FIRST),
        weighed=batches(_WORTHS_FIRST, AGES_S) if options.sensors == ModalitySet.all() else None,
    )
    return 0


def _sensors(text: str | None) -> ModalitySet:
    if text is None:
        return ModalitySet.all()
    try:
        return ModalitySet.of(*map(Modality, text.split("+")))
    except ValueError as error:
        known = ", ".join(modality.value for modality in Modality)
        raise ConfigError(f"--sensors {text}: give one or more of {known}, joined by +") from error
