"""SentryGate: what every unit is worth given which modalities are present, and the sub-network that follows.

After 'Modality-Aware Zero-Shot Pruning and Sparse Attention for Efficient Multimodal Edge Inference'
(arXiv 2604.08971), of which only the abstract was at hand: importances learned during training from
first-order saliency, conditioned on the present modalities, used at deployment without fine-tuning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.pruning.allocate import keep_best, keep_widths, uniform_widths
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.units import prefix

__all__ = ["Design", "Present", "SentryGate", "UnitPlan", "alignment_loss", "shared_order", "subsets"]

Present = frozenset[str]
Design = Literal["uniform", "shared", "conditioned", "faithful"]
"""How a plan is made.

uniform: the leading units of every layer, the same share of each; shared: the leading units, widths by the
gate's worths averaged over the sets of modalities; conditioned: the leading units, widths by the worths for
the present modalities; faithful: any units, by the worths for the present modalities (the paper's gate).
"""


@dataclass(frozen=True)
class UnitPlan:
    """One sub-network.

    Attributes:
        present: modalities it is for.
        ratio: share of the units' MACs that was asked to be removed.
        kept: units that stay, by layer, in order.
        unit_macs: what the kept units cost for one sample.
        macs: what the whole sub-network costs for one sample.
    """

    present: Present
    ratio: float
    kept: Mapping[str, Sequence[int]]
    unit_macs: int
    macs: int

    @property
    def widths(self) -> dict[str, int]:
        """Units kept, by layer."""
        return {name: len(units) for name, units in self.kept.items()}


def subsets(modalities: Sequence[str]) -> list[Present]:
    """Every non-empty set of modalities: single ones first, all of them last."""
    return [
        frozenset(chosen)
        for size in range(1, len(modalities) + 1)
        for chosen in combinations(modalities, size)
    ]


class SentryGate(nn.Module):
    """Scores s_u(m) = a_u + sum_j m_j b_uj + v_u . MLP(m) of units u, m the present modalities.

    The score is the logarithm of a worth per MAC, up to a constant for each m. What becomes of it is the
    `design`: all but `faithful` keep units in their order, so that sub-networks are prefixes of one set of
    weights.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        costs: Mapping[Present, UnitCosts],
        *,
        design: Design = "uniform",
        hidden: int = 16,
    ) -> None:
        """`costs`: what units cost, for every set of modalities that plans will be asked for.

        Raises:
            ValueError: no costs, or a design that is not known.
        """
        super().__init__()
        if not costs:
            raise ValueError("costs are empty; measure them for every set of modalities that may be present")
        if design not in get_args(Design):
            raise ValueError(f"unknown design {design!r}; there are {', '.join(get_args(Design))}")
        self.modalities = tuple(modalities)
        self.design: Design = design
        self.costs = dict(costs)
        self.units = dict(next(iter(costs.values())).units)
        total = sum(self.units.values())
        self.bias = nn.Parameter(torch.zeros(total))
        self.linear = nn.Parameter(torch.zeros(total, len(self.modalities)))
        self.mix = nn.Sequential(
            nn.Linear(len(self.modalities), hidden), nn.Tanh(), nn.Linear(hidden, total, bias=False)
        )

    def forward(self, mask: Tensor) -> Tensor:
        """[B, modalities], 1 where present -> scores [B, all units], layers one after the other."""
        mixed: Tensor = self.mix(mask)
        return self.bias + mask @ self.linear.t() + mixed

    def mask_of(self, present: Collection[str]) -> Tensor:
        """[modalities] with 1 where present; raises ValueError for an unknown modality or for none."""
        unknown = sorted(set(present) - set(self.modalities))
        if unknown:
            raise ValueError(f"unknown modalities {unknown}; there are {', '.join(self.modalities)}")
        if not present:
            raise ValueError("no modality is present; give at least one")
        return torch.tensor([float(name in present) for name in self.modalities], device=self.bias.device)

    def running(self, present: Present) -> Tensor:
        """[all units], true for the units of layers that run when `present` are."""
        macs = self._costs(present).macs
        flags = [macs[name] > 0 for name, count in self.units.items() for _ in range(count)]
        return torch.tensor(flags, device=self.bias.device)

    def worth(self, present: Collection[str]) -> dict[str, list[float]]:
        """What each unit is worth, by layer: exp(score) times its MACs, the greatest exp being 1."""
        key = frozenset(present)
        with torch.no_grad():
            scores = self(self.mask_of(key)[None])[0]
        running = self.running(key)
        density = (scores - scores[running].max()).exp() if running.any() else torch.zeros_like(scores)
        macs = self._costs(key).macs
        parts = density.split(list(self.units.values()))
        return {name: (part * macs[name]).tolist() for name, part in zip(self.units, parts, strict=True)}

    def plan(self, present: Collection[str], ratio: float) -> UnitPlan:
        """The sub-network of greatest worth whose units cost at most (1 - ratio) of all units' MACs.

        Raises:
            ValueError: a ratio outside 0 <= ratio < 1, an unknown modality, none at all, or none with costs.
        """
        key = frozenset(present)
        costs = self._costs(key)
        kept: Mapping[str, Sequence[int]]
        if self.design == "faithful":
            kept = keep_best(self.worth(key), costs, ratio, per_mac=True)
        elif self.design == "uniform":
            kept = prefix(uniform_widths(costs, ratio))
        else:
            worth = self.worth(key) if self.design == "conditioned" else self._shared_worth(costs)
            kept = prefix(keep_widths(worth, costs, ratio))
        unit_macs = costs.of(kept)
        return UnitPlan(key, ratio, kept, unit_macs, unit_macs + costs.fixed)

    def _shared_worth(self, costs: UnitCosts) -> dict[str, list[float]]:
        """Worth per MAC, mean over the sets in which a layer runs, times the MACs of the set at hand."""
        total = {name: torch.zeros(count) for name, count in self.units.items()}
        runs = dict.fromkeys(self.units, 0)
        for present, known in self.costs.items():
            for name, worth in self.worth(present).items():
                if known.macs[name]:
                    total[name] += torch.tensor(worth) / known.macs[name]
                    runs[name] += 1
        return {
            name: (values * costs.macs[name] / max(1, runs[name])).tolist() for name, values in total.items()
        }

    def _costs(self, present: Present) -> UnitCosts:
        self.mask_of(present)
        if present not in self.costs:
            raise ValueError(f"no costs were measured for {sorted(present)}")
        return self.costs[present]

    def align(self, targets: Mapping[Present, Mapping[str, Tensor]], *, steps: int = 400) -> float:
        """Fit the scores to saliencies measured for sets of modalities; returns the last loss.

        `targets`: {present: {layer: [units] mean of g^2}}. Scores are per MAC: log(T_u / c_u).
        """
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        loss = torch.zeros(())
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 0.02 * (1.0 - step / steps)
            loss = torch.stack(
                [self.alignment(present, target) for present, target in targets.items()]
            ).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return float(loss.detach())

    def alignment(self, present: Present, saliency: Mapping[str, Tensor]) -> Tensor:
        """The alignment loss [] of one set of modalities."""
        macs = self._costs(present).macs
        target = torch.cat([saliency[name] / max(1, macs[name]) for name in self.units]).to(self.bias.device)
        running = self.running(present)
        return alignment_loss(self(self.mask_of(present)[None])[0][running], target[running])


def alignment_loss(scores: Tensor, saliency: Tensor, *, temperature: float = 2.0) -> Tensor:
    """KL(softmax(log T / tau) || softmax(s / tau)) over the units [U] that run: [].

    The paper's idea in DESIGN's form, with one softmax over all layers instead of one for each: widths are
    traded between layers, so that layers must be comparable. tau = 2 ranks by the root of T, |g|.
    """
    aim = functional.log_softmax(saliency.clamp_min(1e-12).log() / temperature, dim=0)
    return functional.kl_div(
        functional.log_softmax(scores / temperature, dim=0), aim, log_target=True, reduction="sum"
    )


def shared_order(targets: Iterable[Mapping[str, Tensor]]) -> dict[str, list[int]]:
    """One order of each layer's units, best first: by saliency [units], added up over sets alike."""
    total: dict[str, Tensor] = {}
    for target in targets:
        scale = sum(float(values.sum()) for values in target.values())
        for name, values in target.items():
            share = values / max(scale, 1e-12)
            total[name] = total[name] + share if name in total else share
    return {name: torch.argsort(-values, stable=True).tolist() for name, values in total.items()}
