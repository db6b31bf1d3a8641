"""`sentryfuse eval --policies`: the gate against uniform widths and an oracle, and what bad sensors cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sentryfuse_core.boxes import Floats
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.evaluation.matching import Matches
from sentryfuse_core.lab.commands.eval_policy_figures import FaultStudy, PolicyStudy
from sentryfuse_core.lab.commands.eval_policy_report import print_policies, write_policies
from sentryfuse_core.lab.scoring.matrix import SEEING
from sentryfuse_core.lab.scoring.resample import drawn_maps, map_of
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.fault_table import fault_table
from sentryfuse_core.lab.training.foretold import foretold
from sentryfuse_core.lab.training.policies import outcomes, run_plans
from sentryfuse_core.lab.training.spoiling import AGES_S, spoilt_at_random
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.part_gate import PLACED, PartGate, Worths, make_gate

__all__ = ["run_policies"]

_SPOILT = "one sensor spoilt"
_KINDS = ("as they are", _SPOILT)  # of frames
_SALIENT = 4  # batches that saliency is taken of: it needs gradients

Step = Callable[[int], None]


def run_policies(
    checkpoint: Checkpoint,
    *,
    frames: int,
    batch: int,
    batches: Callable[[tuple[float, float]], Iterator[LabelledBatch]],
    draws: int,
    seed: int,
    out: Path | None,
    command: str,
) -> None:
    """Score all policies on frames as they are and with sensors spoilt, then every fault; print and write.

    `batches` gives `frames` frames, `batch` at once, by the ages in s of what late sensors show in them.
    Raises ConfigError where the weights have no gate.
    """
    gate = make_gate(checkpoint.shape, checkpoint.manifest)
    if not isinstance(gate, PartGate):
        raise ConfigError(
            f"--policies: {checkpoint.identity} has no gate in its manifest; "
            "give weights that have one, as `sentryfuse train` writes them"
        )
    net, classes = checkpoint.network(), len(checkpoint.manifest["labels"])

    found = {}
    judged = min(frames // batch, _SALIENT)
    tasks = {**dict.fromkeys((f"frames {kind}" for kind in _KINDS), frames), "faults": frames}
    tasks["saliency"] = judged * batch
    with _progress({**tasks, "intervals": 3 * draws}) as steps:
        for kind in _KINDS:
            run = run_plans(
                net,
                gate,
                batches(AGES_S),
                masks=SEEING,
                spoil=_spoiler(seed) if kind == _SPOILT else None,
                on_frames=steps[f"frames {kind}"],
            )
            found[kind] = outcomes(net, gate, run, masks=SEEING, classes=classes)
        rows = fault_table(
            net, lambda age_s: batches((age_s, age_s)), classes=classes, gate=gate, on_frames=steps["faults"]
        )

        parts = foretold(
            net,
            Worths.from_mapping(checkpoint.manifest["gate"]),
            _counted(itertools.islice(batches(AGES_S), judged), steps["saliency"]),
        )

        def points(found: Sequence[Matches]) -> tuple[Floats, Floats]:
            drawn = drawn_maps(found, draws=draws, seed=seed, on_draws=steps["intervals"])
            return 100.0 * np.array([map_of(one) for one in found]), 100.0 * drawn

        studies = [
            PolicyStudy(kind, chosen, *points([one.matches for one in chosen]))
            for kind, chosen in found.items()
        ]
        maps, drawn = points([part for row in rows for part in (row.bad, row.without, row.clean)])
        faults = FaultStudy(rows, maps.reshape(-1, 3), drawn.reshape(draws, -1, 3))
    print_policies(studies, faults, parts)
    if out is not None:
        config = {
            "weights": checkpoint.identity,
            "sha256": checkpoint.manifest["sha256"],
            "frames": frames,
            "seed": seed,
            "draws": draws,
        }
        for path in write_policies(out, studies, faults, parts, command=command, config=config):
            print(f"wrote {path}")


def _spoiler(seed: int) -> Callable[[LabelledBatch], ModelInput]:
    """Camera, lidar or audio spoilt, batch after batch."""
    generator, turns = torch.Generator().manual_seed(seed), iter(range(1 << 30))
    return lambda batch: spoilt_at_random(batch, PLACED[next(turns) % len(PLACED)], generator)


def _counted(batches: Iterable[LabelledBatch], step: Step) -> Iterator[LabelledBatch]:
    """The batches, each told once it is done with."""
    for batch in batches:
        yield batch
        step(len(batch.boxes))


@contextmanager
def _progress(tasks: Mapping[str, int]) -> Iterator[Mapping[str, Step]]:
    """A bar for each task, by its total, on standard error; one begins where the one before it ends."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        numbers = {what: bar.add_task(what, total=total, start=False) for what, total in tasks.items()}
        order = list(numbers.values())
        bar.start_task(order[0])

        def advance(number: TaskID, done: int) -> None:
            bar.advance(number, done)
            following = order.index(number) + 1
            if bar.tasks[following - 1].finished and following < len(order):
                bar.start_task(order[following])

        yield {what: partial(advance, number) for what, number in numbers.items()}
