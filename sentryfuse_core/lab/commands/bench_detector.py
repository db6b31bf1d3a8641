"""`sentryfuse bench prune --detector`: the gate against pruning rules on the robot's whole detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.errors import CheckpointError

if TYPE_CHECKING:
    import argparse

__all__ = ["run_detector"]

_CALIBRATION = 16  # frames that rules see, of worlds that weights are trained in
_BATCH = 16  # frames; another number would give other worlds
_DRAWS = 200
_SEED = 0


def run_detector(args: argparse.Namespace) -> None:
    """Prune, score on held-out frames, print and write prune_detector.json.

    Raises CheckpointError for weights without a gate.
    """
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from sentryfuse_core.lab.bench import detector, results
    from sentryfuse_core.lab.training.data import held_out, make_batch
    from sentryfuse_core.lab.world.config import world_v2
    from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint
    from sentryfuse_core.pruning.part_gate import Worths

    checkpoint = load_checkpoint(args.weights or SHIPPED)
    if "gate" not in checkpoint.manifest:
        raise CheckpointError(
            f"{checkpoint.identity} has no gate in its manifest; give others with --weights"
        )
    torch.set_num_threads(1)
    world, net = world_v2(), checkpoint.network()
    count = -(-args.frames // _BATCH)
    frames = [make_batch(world, batch=1, seed=_SEED, step=step) for step in range(_CALIBRATION)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("rules", total=count * _BATCH)
        entries = detector.entries_of(
            net,
            Worths.from_mapping(checkpoint.manifest["gate"]),
            frames,
            on_rule=lambda name: bar.update(task, description=f"judging units: {name}"),
        )
        bar.update(task, description=f"frames, {len(entries)} networks")
        batches = held_out(world, batch=_BATCH, count=count)
        truth = detector.score(entries, batches, on_frames=lambda done: bar.advance(task, done))
    rows, raw = detector.figures(entries, truth, draws=_DRAWS, seed=_SEED)
    print(results.text_table(rows))
    config = {"weights": checkpoint.identity, "calibration": _CALIBRATION, "draws": _DRAWS}
    path: Path = results.write("prune_detector", rows, raw=raw, config=config, folder=args.out)
    print(f"wrote {path}")
