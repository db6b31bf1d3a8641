"""What every pruning rule is given and what it gives back: the interface of the rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.pruning.allocate import keep_best, keep_share
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import Present

__all__ = ["Allocation", "Calibration", "Present", "Pruned", "Rule", "allocate", "sample_losses"]

Allocation = Literal["global", "per_mac", "share"]
"""global: best scores of the whole network; per_mac: best scores per MAC; share: same share of each layer."""


def _cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Of every sample: [n, K], [n] -> [n]."""
    return functional.cross_entropy(logits, label, reduction="none")


@dataclass(frozen=True, eq=False)
class Calibration:
    """All that a rule may look at for one set of present modalities.

    Attributes:
        inputs: only the present modalities, [n, T, F].
        label: [n], class indices; for another task, what its `losses` go by.
        losses: the loss of every sample, from what the network gives for them and `label`: [n].
    """

    inputs: Mapping[str, Tensor]
    label: Tensor
    losses: Callable[[Tensor, Tensor], Tensor] = _cross_entropy


class Pruned(Protocol):
    """A network that a rule has judged, ready to be made smaller."""

    def kept(self, present: Present, ratio: float) -> Mapping[str, Sequence[int]]:
        """The units that stay, by layer; none of a layer that does not run."""
        ...

    def at(self, present: Present, ratio: float) -> nn.Module:
        """The smaller network for inference.

        Its units' MACs are at most (1 - ratio) of the full units' MACs at `present`.
        """
        ...


class Rule(Protocol):
    """A published way to choose units, and perhaps to mend what is left, without training.

    Attributes:
        name: its key in `RULES`.
        source: the paper and where in it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def source(self) -> str: ...  # noqa: D102

    def prepare(
        self,
        network: nn.Module,
        calibration: Mapping[Present, Calibration],
        costs: Mapping[Present, UnitCosts],
    ) -> Pruned:
        """Judge the units of `network`, which must be in evaluation mode and stay as it is.

        The work for one set of modalities is done when that set is first asked for, and is kept for all
        ratios.
        """
        ...


def sample_losses(network: nn.Module, calibration: Calibration) -> Tensor:
    """The loss of every sample, [n]; cross-entropy unless the calibration has its own."""
    return calibration.losses(network(calibration.inputs), calibration.label)


def allocate(
    scores: Mapping[str, Tensor], costs: UnitCosts, ratio: float, allocation: Allocation
) -> dict[str, list[int]]:
    """The units to keep by their `scores` [units] under what `ratio` leaves; none where no layer runs."""
    worth = {name: score.tolist() for name, score in scores.items()}
    if allocation == "share":
        kept = keep_share(worth, costs, ratio)
    else:
        kept = keep_best(worth, costs, ratio, per_mac=allocation == "per_mac")
    return {name: units if costs.macs[name] else [] for name, units in kept.items()}
