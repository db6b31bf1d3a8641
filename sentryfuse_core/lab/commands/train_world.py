"""`sentryfuse train OUT` without --data: the detector, in the synthetic world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.commands.detector_run import BATCH, finish, options_of, start_of, train
from sentryfuse_core.lab.training.data import LabelledBatch, held_out
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
    options = replace(options_of(args), sensors=_sensors(args.sensors))
    start, facts = start_of(args.init, labels=[traits.label for traits in CLASSES])
    identity = {**facts, "seed": args.seed, "sensors": str(options.sensors)}
    trainer = train(args, options, shape=TRAINED_SHAPE, start=start, identity=identity, keep_up=True)
    count = -(-args.evaluate // BATCH)

    def batches(first: int, ages_s: tuple[float, float] | None = None) -> Iterator[LabelledBatch]:
        device = options.device
        return held_out(options.world, batch=BATCH, count=count, first=first, device=device, ages_s=ages_s)

    words = [] if start is None else [f"--init {Path(args.init).name}"]
    words += [f"--sensors {args.sensors}"] if args.sensors else []
    print(f"evaluating {count * BATCH} frames, and calibrating on as many others")
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
