"""Trains the same small network with dense attention and with SentryAttend, and scores both per mask.

`python -m benchmarks.attention` trains what is not in the folder yet, one JSON a network. The recipe was
chosen on validation people, test people are only reported.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sentryfuse_core.lab.bench.results import ROOT
from sentryfuse_core.lab.bench.study import masks_of
from sentryfuse_core.lab.datasets.arrays import Arrays
from sentryfuse_core.lab.datasets.har_windows import STREAMS, har_fold, load_windows
from sentryfuse_core.lab.training.batches import Batch, Batches, tensors_of
from sentryfuse_core.lab.training.stages import hard_loss
from sentryfuse_core.model.backbones import ClassifierShape, Stream, make_backbone

__all__ = ["DATA", "RUNS", "TASKS", "VARIANTS", "Job", "Task", "jobs_for", "run", "score"]

RUNS = ROOT / "runs" / "attention"
DATA = ROOT.parent / "shared" / "data" / "har" / "sp-sw-har.zip"
VARIANTS: Mapping[str, Mapping[str, int]] = {
    "dense": {"kv_heads": 4, "pool": 1},
    "pooled 4, 1 in 2 heads": {"kv_heads": 2, "pool": 4},
    "pooled 4, 1 in 4 heads": {"kv_heads": 1, "pool": 4},
}
_RATE = 2e-3
_EVALUATED = 128  # windows at once


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is classified, and for how long the networks learn it; `patch` samples make a token."""

    window_s: float
    patch: int
    step_s: float = 0.32
    pure: float = 0.5
    steps: int = 400
    batch: int = 64
    scored: int = 2  # one in so many windows, which overlap, of validation and test people


TASKS: Mapping[int, Task] = {  # by tokens N of all four streams
    256: Task(window_s=1.28, patch=2),
    512: Task(window_s=1.28, patch=1, batch=32),
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One network to train."""

    variant: str
    tokens: int
    fold: int
    seed: int
    task: Task

    def settings(self) -> dict[str, Any]:
        """All that decides the result."""
        return {**asdict(self), "shape": self.shape()}

    def shape(self) -> dict[str, int]:
        """Width, depth and query heads are those of all variants."""
        return {"dim": 32, "layers": 2, "heads": 4, "ffn": 128, "ffn_block": 16, **VARIANTS[self.variant]}

    def path(self, folder: Path) -> Path:
        """Where its result is kept."""
        name = f"{self.tokens}_{self.variant.replace(',', '').replace(' ', '_')}"
        return folder / f"{name}_fold{self.fold}_seed{self.seed}.json"


def jobs_for(tokens: int, folds: Sequence[int], *, task: Task | None = None) -> list[Job]:
    """All variants of each fold, side by side, so that what is there is always paired."""
    return [
        Job(variant=variant, tokens=tokens, fold=fold, seed=0, task=task or TASKS[tokens])
        for fold in folds
        for variant in VARIANTS
    ]


def run(job: Job, *, data: Path = DATA, folder: Path = RUNS) -> dict[str, Any]:
    """The job's result, from its file if the settings are the same, else trained now.

    {"settings", ..., "val": {mask: balanced accuracy in %}, "test": the same}
    """
    path = job.path(folder)
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] == json.loads(json.dumps(job.settings())):
            return found
    task = job.task
    windows = load_windows(data, window_s=task.window_s, step_s=task.step_s, pure=task.pure)
    arrays = har_fold(windows, job.fold, patch=task.patch)
    started = time.process_time()
    torch.manual_seed(job.seed)
    streams = {name: Stream(*values.shape[1:]) for name, values in arrays.inputs.items()}
    network = make_backbone(ClassifierShape(**job.shape()), streams, len(arrays.classes))
    network = _train(network, tensors_of(arrays, "train"), len(arrays.classes), job)
    trained = time.process_time()
    result = {
        "settings": job.settings(),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "train_cpu_s": round(trained - started, 1),
        **{split: _scores(network, arrays.rows(split), task.scored) for split in ("val", "test")},
    }
    result["evaluate_cpu_s"] = round(time.process_time() - trained, 1)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _train(network: nn.Module, train: Batch, classes: int, job: Job) -> nn.Module:
    """Class-balanced batches, one-cycle AdamW, modality dropout rising to a half; the weights' mean."""
    steps = job.task.steps
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps, pct_start=0.15)
    mean = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(job.seed)
    batches, half = Batches(train, classes=classes, generator=generator), job.task.batch // 2
    for step in range(steps):
        drop = 0.5 * min(1.0, 2 * step / steps)
        batch = batches.draw(job.task.batch)
        optimiser.zero_grad()
        for part in (batch.part(slice(half)), batch.part(slice(half, None))):  # each with its own mask
            logits = network(part.only(_draw(generator, drop)))
            (hard_loss(logits, part.label) / 2).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            pace = max(0.01, 9 / (11 + step))
            torch._foreach_lerp_(list(mean.parameters()), list(network.parameters()), pace)
    return mean.eval()


def _draw(generator: torch.Generator, drop: float) -> frozenset[str]:
    """As `draw_present`, but always with a spare one: the committed figures come of these numbers."""
    kept = torch.rand(len(STREAMS), generator=generator) >= drop
    spare = int(torch.randint(len(STREAMS), (), generator=generator))
    return frozenset(name for name, keep in zip(STREAMS, kept.tolist(), strict=True) if keep) or frozenset(
        {STREAMS[spare]}
    )


def _scores(network: nn.Module, rows: Arrays, one_in: int) -> dict[str, float]:
    """Balanced accuracy in % by mask, of one in so many windows."""
    rows = rows.take(np.arange(0, len(rows), one_in))
    inputs = {name: torch.from_numpy(values).split(_EVALUATED) for name, values in rows.inputs.items()}
    found = {}
    for mask in masks_of(STREAMS):
        with torch.no_grad():
            parts = [
                network(dict(zip(mask, part, strict=True))).argmax(1)
                for part in zip(*(inputs[name] for name in mask), strict=True)
            ]
        right = torch.cat(parts).numpy() == rows.label
        recalls = [right[rows.label == each].mean() for each in np.unique(rows.label)]
        found["+".join(mask)] = 100 * float(np.mean(recalls))
    return found


def score(result: Mapping[str, Any], split: str) -> tuple[float, float]:
    """Balanced accuracy with all sensors, and its mean over all masks."""
    by_mask = result[split]
    return by_mask["+".join(STREAMS)], math.fsum(by_mask.values()) / len(by_mask)
