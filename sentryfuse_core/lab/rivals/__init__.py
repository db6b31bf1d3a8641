"""Published pruning rules that train nothing, by name: the rivals of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sentryfuse_core.lab.rivals import flap, kwon, scores
from sentryfuse_core.lab.rivals.least_squares import refitted
from sentryfuse_core.lab.rivals.llm_pruner import coupled_saliency
from sentryfuse_core.lab.rivals.rule import Rule
from sentryfuse_core.lab.rivals.synflow import synflow
from sentryfuse_core.lab.rivals.torch_pruning import group_taylor

__all__ = ["RULES"]

_AN = "An et al., arXiv 2312.11983"
_TAYLOR = Rule(
    name="taylor_per_mask",
    source="Molchanov et al., arXiv 1906.10771, Sec. 3.1",
    score=scores.taylor,
    allocation="global",
)
_FLAP = Rule(
    name="flap",
    source=f"{_AN}, Method (WIFV, AL-AM, bias compensation)",
    score=flap.fluctuation,
    allocation="global",
    mend=flap.compensate,
)
_LLM_PRUNER = Rule(
    name="llm_pruner",
    source="Ma et al., arXiv 2305.11627, Sec. 3.2, element-wise, first and second order",
    score=coupled_saliency,
    allocation="share",
)
_KWON = Rule(
    name="kwon",
    source="Kwon et al., arXiv 2204.09656, Sec. 4.1 and 4.2",
    score=kwon.gradients,
    allocation=kwon.choose,
)
_ALL = (
    Rule(name="random", source="no paper", score=scores.uniform, allocation="share"),
    Rule(
        name="magnitude",
        source="Li et al., arXiv 1608.08710, Sec. 3.1, with the L2 norm",
        score=scores.magnitude,
        allocation="share",
    ),
    Rule(
        name="michel",
        source="Michel et al., arXiv 1905.10650, Sec. 4.1",
        score=scores.michel,
        allocation="global",
    ),
    replace(_TAYLOR, name="taylor_static", one_order=True),
    _TAYLOR,
    Rule(
        name="wanda_sp",
        source=f"{_AN} (Wanda-sp); Sun et al., arXiv 2306.11695, Eq. 1",
        score=scores.wanda_sp,
        allocation="share",
    ),
    _FLAP,
    _LLM_PRUNER,
    _KWON,
    Rule(
        name="synflow",
        source="Tanaka et al., arXiv 2006.05467, Algorithm 1",
        score=synflow,
        allocation="global",
    ),
    Rule(
        name="torch_pruning",
        source="Fang et al., arXiv 2301.12900; torch_pruning.importance.GroupTaylorImportance",
        score=group_taylor,
        allocation="share",
    ),
    replace(_KWON, name="kwon_tuned", source=f"{_KWON.source} and 4.3", mend=kwon.tune),
    # Of Kwon's and Wanda's choices, refits were behind these on validation at every ratio.
    *(refitted(base) for base in (_TAYLOR, _FLAP, _LLM_PRUNER)),
)

RULES: Mapping[str, Rule] = {rule.name: rule for rule in _ALL}
