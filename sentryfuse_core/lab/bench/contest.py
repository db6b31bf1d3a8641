"""Contest: what all methods of one run share, one data set on one backbone with one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.bench.recipe import Recipe
from sentryfuse_core.lab.datasets.arrays import Arrays
from sentryfuse_core.lab.rivals.rule import Calibration
from sentryfuse_core.lab.training.batches import Batch, Batches, tensors_of
from sentryfuse_core.lab.training.fit import FitOptions, Stage, fit
from sentryfuse_core.lab.training.tensor_files import write_tensors
from sentryfuse_core.model.backbones import Stream, make_backbone
from sentryfuse_core.pruning.costs import UnitCosts, measure_costs
from sentryfuse_core.pruning.gate import Present, subsets

__all__ = ["Contest", "Trained"]


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network and the multiply-accumulates that training took in all."""

    network: nn.Module
    macs: float


class Contest:
    """Samples, costs, calibration sets and the networks that several methods start from."""

    def __init__(self, recipe: Recipe, arrays: Arrays, *, backbone: str, seed: int, folder: Path) -> None:
        """`folder`: where trained networks are kept."""
        self.recipe = recipe
        self.seed = seed
        self.backbone = backbone
        self.modalities = tuple(arrays.inputs)
        self.classes = len(arrays.classes)
        self.shape = recipe.shape(backbone)
        self.train = tensors_of(arrays, "train", device=recipe.device)
        self.splits = {name: tensors_of(arrays, name, device=recipe.device) for name in ("val", "test")}
        self.items: list[int] = arrays.rows("test").item.tolist()
        self.sets = subsets(self.modalities)
        self._streams = {
            name: Stream(*(int(size) for size in item.shape[1:])) for name, item in arrays.inputs.items()
        }
        self._folder = folder
        self.costs: Mapping[Present, UnitCosts] = self.costs_of(self.fresh())
        mean = float(np.mean([costs.total for costs in self.costs.values()]))
        self.step_macs = 3 * recipe.batch * mean  # of one dense step, forward and backward
        self.budget = recipe.steps * self.step_macs

    def fresh(self, *, scale: float = 1.0) -> nn.Module:
        """An untrained network, the same at every call; `scale` makes it narrower."""
        torch.manual_seed(self.seed)
        shape = self.shape if scale == 1.0 else self.recipe.scaled(self.backbone, scale)
        network: nn.Module = make_backbone(shape, self._streams, self.classes)
        return network.to(self.recipe.device)

    def costs_of(self, network: nn.Module) -> Mapping[Present, UnitCosts]:
        """Costs of a network on one sample of this data, for every set of modalities."""
        one = {
            name: torch.zeros(1, stream.tokens, stream.features, device=self.recipe.device)
            for name, stream in self._streams.items()
        }
        return {
            present: measure_costs(network, {name: item for name, item in one.items() if name in present})
            for present in self.sets
        }

    def options(self, share: float, learning_rate: float) -> FitOptions:
        """How to train with `share` of the budget."""
        return FitOptions(
            budget=share * self.budget,
            batch=self.recipe.batch,
            learning_rate=learning_rate,
            seed=self.seed + 17,
        )

    def fit(
        self,
        network: nn.Module,
        stage: Stage,
        *,
        share: float = 1.0,
        learning_rate: float | None = None,
        costs: Mapping[Present, UnitCosts] | None = None,
    ) -> Trained:
        """Train with `share` of the budget."""
        options = self.options(share, learning_rate or self.recipe.learning_rate)
        average, macs = fit(
            network.requires_grad_(requires_grad=True),
            stage,
            self.train,
            costs or self.costs,
            options,
            classes=self.classes,
        )
        return Trained(average, macs)

    def draw(self, size: int, *, seed: int = 3) -> Batch:
        """Class-balanced samples of the training split, the same at every call."""
        generator = torch.Generator().manual_seed(seed)
        return Batches(self.train, classes=self.classes, generator=generator).draw(size)

    def calibration(self) -> dict[Present, Calibration]:
        """The one calibration set of every rule, cut to each set of present modalities."""
        batch = self.draw(self.recipe.calibration)
        return {present: Calibration(batch.only(present), batch.label) for present in self.sets}

    def hits(self, network: nn.Module, split: str, present: Present) -> Tensor:
        """Which samples [n] of a split are classified rightly."""
        samples = self.splits[split]
        with torch.inference_mode():
            found: Tensor = network(samples.only(present)).argmax(dim=1) == samples.label
        return found

    def accuracy(self, hits: Tensor, split: str) -> float:
        """Balanced accuracy in per cent: the mean over classes of the share that is right."""
        label = self.splits[split].label
        shares = [hits[label == index].float().mean() for index in label.bincount().nonzero()]
        return 100.0 * float(torch.stack(shares).mean())

    def once(self, name: str, train: Stage, *, share: float) -> Trained:
        """Train the network `name`, or read it from an earlier run.

        Raises:
            ConfigError: the earlier run was of other sizes, or its file is damaged.
        """
        path = self._folder / f"{name}.safetensors"
        if path.exists():
            network = self.fresh()
            try:
                tensors = load_file(path)
                macs = float(tensors.pop("train_macs"))
                network.load_state_dict(tensors)
            except (SafetensorError, KeyError, RuntimeError) as error:
                raise ConfigError(
                    f"{path} is of another recipe or damaged; give another --out, or delete {self._folder}"
                ) from error
            return Trained(network.requires_grad_(requires_grad=False).eval(), macs)
        trained = self.fit(self.fresh(), train, share=share)
        cost = {"train_macs": torch.tensor(trained.macs, dtype=torch.float64)}
        write_tensors(
            path, {**trained.network.state_dict(), **cost}, remedy="make room, or give another --out"
        )
        return trained
