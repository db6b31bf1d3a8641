"""Published pruning rules that train nothing, by name: the rivals of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping

from sentryfuse_core.pruning.baselines.calibration import Rule
from sentryfuse_core.pruning.baselines.flap import Flap
from sentryfuse_core.pruning.baselines.gates import Michel, Taylor
from sentryfuse_core.pruning.baselines.kwon import Kwon
from sentryfuse_core.pruning.baselines.least_squares import LeastSquares
from sentryfuse_core.pruning.baselines.llm_pruner import LlmPruner
from sentryfuse_core.pruning.baselines.torch_pruning import TorchPruning
from sentryfuse_core.pruning.baselines.wanda import WandaSp
from sentryfuse_core.pruning.baselines.weights import Magnitude, Random

__all__ = ["RULES"]

_ALL: tuple[Rule, ...] = (
    Random(),
    Magnitude(),
    Michel(),
    Taylor(name="taylor_static", one_order=True),
    Taylor(),
    WandaSp(),
    Flap(),
    LlmPruner(),
    Kwon(),
    TorchPruning(),
    Kwon(tune=True),
    LeastSquares(base=Taylor()),
    LeastSquares(base=Flap()),
    LeastSquares(base=Kwon()),
    LeastSquares(base=WandaSp()),
    LeastSquares(base=LlmPruner()),
)

RULES: Mapping[str, Rule] = {rule.name: rule for rule in _ALL}
