"""`sentryfuse train OUT` without --data: the detector, in the synthetic world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.commands.detector_run import BATCH, finish, options_of, start_of, train
from sentryfuse_core.lab.training.data import LabelledBatch, held_out
from sentryfuse_core.lab.world.config import CLASSES
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.types import Modality, ModalitySet

if TYPE_CHECKING:
    import argparse

__all__ = ["run"]

_CALIBRATION_FIRST = 2**19  # number of the first batch that calibrators are fitted on


def run(args: argparse.Namespace) -> int:
    """Train, judge, write."""
    options = replace(options_of(args), sensors=_sensors(args.sensors))
    start, facts = start_of(args.init, labels=[traits.label for traits in CLASSES])
    identity = {**facts, "seed": args.seed, "sensors": str(options.sensors)}
    trainer = train(args, options, shape=ModelShape(), start=start, identity=identity)
    count = -(-args.evaluate // BATCH)

    def batches(first: int) -> Iterator[LabelledBatch]:
        return held_out(options.world, batch=BATCH, count=count, first=first, device=options.device)

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
