"""The detector's trunk in the pruning benchmark: frozen encoders, units of trunk and head, recall at 4 m.

Frames of the synthetic world are rendered and encoded once. Every method starts from the shipped weights and
trains trunk and head further for the same budget of multiply-accumulates, or prunes the dense network that
did. The records are those of the other data sets: data `world`, backbone `trunk`, accuracy the recall at 4 m
in per cent, hits one for each box of the test frames, items the frame of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from sentryfuse_core.commands.options import MOST_SEED
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.bench.contest import Trained
from sentryfuse_core.lab.bench.world_frames import Frames, encode_frames
from sentryfuse_core.lab.bench.world_net import TrunkAndHead, maps_of
from sentryfuse_core.lab.rivals.rule import Calibration
from sentryfuse_core.lab.rivals.scores import taylor
from sentryfuse_core.lab.training.batches import Batch, Batches
from sentryfuse_core.lab.training.data import held_out, make_batch
from sentryfuse_core.lab.training.detection import DetectionStage, DetectionTask
from sentryfuse_core.lab.training.evaluate import matched
from sentryfuse_core.lab.training.fit import FitOptions, Stage, fit
from sentryfuse_core.lab.training.stages import Dropout, PlanTable
from sentryfuse_core.lab.training.targets import in_region
from sentryfuse_core.lab.world.config import world_v2
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.pruning.allocate import uniform_widths
from sentryfuse_core.pruning.costs import UnitCosts, measure_costs
from sentryfuse_core.pruning.gate import Present, subsets
from sentryfuse_core.types import Modality

__all__ = ["WorldContest", "WorldRecipe", "render_splits"]

_TRAIN_SEED = 2**19  # of the world; the shipped weights were trained with small seeds
_FIRST_HELD_OUT = 2**20  # far behind the frames on which the shipped weights were evaluated
_MOST_FRAMES, _MOST_STEPS = 1_000_000, 1_000_000_000
_SCORED_AT_ONCE = 32  # frames; more would need gigabytes


@dataclass(frozen=True, kw_only=True)
class WorldRecipe:
    """Sizes and budgets; nothing was tuned on the test frames.

    Attributes:
        frames, val, test: how many are rendered for training, for choices, and for the figures.
        steps: total training of every method, in steps of the dense network; a budget of MACs.
        ffn_block: channels in a unit of the feed-forward parts.
        calibration: frames that the rules and the saliency may look at.
        first: share of the training before units are sorted and sub-networks are trained.
        to_teacher: weight of the divergence from the dense network that saw all sensors.
    """

    seeds: tuple[int, ...] = (0, 1)
    frames: int = 1024  # the teacher looks at each once, which the budget pays for
    val: int = 64
    test: int = 192
    steps: int = 300
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    clip_norm: float = 5.0
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 0.9)
    ffn_block: int = 16
    calibration: int = 32
    dropout: float = 0.5
    first: float = 0.3
    to_teacher: float = 0.5

    def check(self) -> None:
        """Raises ConfigError for sizes below one batch and for seeds that are none."""
        for name in ("frames", "val", "test"):
            if getattr(self, name) < self.batch:
                raise ConfigError(f"{name} {getattr(self, name)} is below one batch of {self.batch}")
            if getattr(self, name) > _MOST_FRAMES:
                raise ConfigError(f"{name} {getattr(self, name)} is above {_MOST_FRAMES:,}")
        if not self.seeds or not all(0 <= seed <= MOST_SEED for seed in self.seeds):
            raise ConfigError(f"seeds {list(self.seeds)}: give at least one, from 0 to {MOST_SEED}")
        if not 1 <= self.steps <= _MOST_STEPS:
            raise ConfigError(f"steps {self.steps} must lie between 1 and {_MOST_STEPS:,}")


def render_splits(
    checkpoint: Checkpoint, recipe: WorldRecipe, *, on_frames: Callable[[int], None] = lambda _: None
) -> dict[str, Frames]:
    """Train, val and test; the last two from seeds that no training uses."""
    network, world, batch = checkpoint.network(), world_v2(), recipe.batch
    val, test = recipe.val // batch, recipe.test // batch
    sources = {
        "train": (
            make_batch(world, batch=batch, seed=_TRAIN_SEED, step=step)
            for step in range(recipe.frames // batch)
        ),
        "val": held_out(world, batch=batch, count=val, first=_FIRST_HELD_OUT),
        "test": held_out(world, batch=batch, count=test, first=_FIRST_HELD_OUT + val),
    }
    return {name: encode_frames(network, source, on_batch=on_frames) for name, source in sources.items()}


class WorldContest:
    """What all methods of one seed share; see `Contest` and `Judge`."""

    def __init__(
        self, checkpoint: Checkpoint, recipe: WorldRecipe, frames: Mapping[str, Frames], *, seed: int
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        self.modalities = tuple(modality.value for modality in Modality)
        self.sets = subsets(self.modalities)
        self.splits = {name: frames[name] for name in ("val", "test")}
        self.train = frames["train"].batch()
        self._net = checkpoint.network()
        count = self._net.shape.classes
        self.task = DetectionTask(frames["train"].boxes, frames["train"].classes, count)
        self.costs = self._costs()
        mean = float(np.mean([costs.total for costs in self.costs.values()]))
        self.budget = recipe.steps * 3 * recipe.batch * mean  # forward and backward
        self.dropout = Dropout(modalities=self.modalities, first=recipe.dropout, last=recipe.dropout)
        self.table: PlanTable = {
            (present, ratio): uniform_widths(self.costs[present], ratio)
            for present in self.sets
            for ratio in recipe.ratios
        }

    def fresh(self) -> TrunkAndHead:
        """The shipped weights."""
        return TrunkAndHead(self._net, ffn_block=self.recipe.ffn_block).eval()

    def _costs(self) -> dict[Present, UnitCosts]:
        network, one = self.fresh(), self.train.part(slice(1))
        return {present: measure_costs(network, one.only(present)) for present in self.sets}

    def fit(self, network: nn.Module, stage: Stage, *, macs: float) -> Trained:
        """Train trunk and head in place for `macs`."""
        recipe = self.recipe
        for part in ("trunk", "head"):
            network.get_submodule(part).requires_grad_(requires_grad=True)
        options = FitOptions(
            budget=macs,
            batch=recipe.batch,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            clip_norm=recipe.clip_norm,
            seed=self.seed + 17,
        )
        return Trained(*fit(network, stage, self.train, self.costs, options, classes=1))

    def densely(self, *, share: float) -> Trained:
        """The shipped weights trained further at full width with modality dropout."""
        stage = DetectionStage(task=self.task, dropout=self.dropout, table={}, passes={0.0: 1.0})
        return self.fit(self.fresh(), stage, macs=share * self.budget)

    @cached_property
    def dense(self) -> Trained:
        """Trained further with the whole budget, once: what the rules prune."""
        return self.densely(share=1.0)

    @cached_property
    def probe(self) -> Batch:
        """The frames that rules and saliency may look at."""
        generator = torch.Generator().manual_seed(3)
        return Batches(self.train, classes=1, generator=generator).draw(self.recipe.calibration)

    def calibration(self) -> dict[Present, Calibration]:
        """The one calibration set of every rule, cut to each set of present sensors."""
        return {
            present: Calibration(self.probe.only(present), self.probe.index, self.task.losses)
            for present in self.sets
        }

    def saliency(self, network: nn.Module) -> dict[Present, dict[str, Tensor]]:
        """T_u(m): the mean over the probe of g_u^2 for every set of sensors: {layer: [units]}."""
        return {present: taylor(network, part) for present, part in self.calibration().items()}

    def teacher(self, network: nn.Module) -> tuple[Tensor, float]:
        """Heat map logits [n, classes, 32, 32] of all training frames with all sensors, and their MACs."""
        with torch.inference_mode():
            maps = [network(part.inputs)[:, : self.task.count].half() for part in _parts(self.train)]
        return torch.cat(maps), float(len(self.train) * self.costs[frozenset(self.modalities)].total)

    @cached_property
    def items(self) -> list[int]:
        """The frame of each box of the test frames."""
        frames = self.splits["test"]
        found: list[int] = in_region(frames.boxes, frames.classes).nonzero()[:, 0].tolist()
        return found

    def hits(self, network: nn.Module, split: str, present: Present) -> Tensor:
        """Which boxes of a split are found: [boxes of all frames]."""
        frames, found = self.splits[split], []
        with torch.inference_mode():
            for part in _parts(frames.batch()):
                maps = maps_of(network(part.only(present)), self.task.count)
                found.append(matched(maps, frames.boxes[part.index], frames.classes[part.index]))
        return torch.cat(found)

    def accuracy(self, hits: Tensor, split: str) -> float:
        """Recall at 4 m in per cent."""
        del split
        return 100.0 * float(hits.float().mean())


def _parts(samples: Batch) -> Iterator[Batch]:
    """A few frames at a time."""
    for start in range(0, len(samples), _SCORED_AT_ONCE):
        yield samples.part(slice(start, start + _SCORED_AT_ONCE))
