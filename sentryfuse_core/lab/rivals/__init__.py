"""Published pruning rules that train nothing, by name: the rivals of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping

from sentryfuse_core.lab.rivals.calibration import Rule
from sentryfuse_core.lab.rivals.flap import Flap
from sentryfuse_core.lab.rivals.gates import Michel, Taylor
from sentryfuse_core.lab.rivals.kwon import Kwon
from sentryfuse_core.lab.rivals.least_squares import LeastSquares
from sentryfuse_core.lab.rivals.llm_pruner import LlmPruner
from sentryfuse_core.lab.rivals.torch_pruning import TorchPruning
from sentryfuse_core.lab.rivals.wanda import WandaSp
from sentryfuse_core.lab.rivals.weights import Magnitude, Random

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
