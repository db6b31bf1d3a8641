"""Tuning of the rivals: for every ratio the setting that is best on validation, each trial noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from sentryfuse_core.lab.bench.measure import Entrant
from sentryfuse_core.lab.bench.tuning import tuned
from sentryfuse_core.lab.rivals.flap import compensate
from sentryfuse_core.lab.rivals.least_squares import refit
from sentryfuse_core.lab.rivals.rule import Rule
from sentryfuse_core.pruning.gate import Present

RATIOS = (0.5, 0.9)
SETS = [frozenset("a"), frozenset("ab")]
# Accuracy on validation by setting and ratio; the second mask is 10 points better.
LEVELS = {"global": {0.5: 70.0, 0.9: 30.0}, "share": {0.5: 60.0, 0.9: 40.0}, "": {0.5: 50.0, 0.9: 20.0}}


class Told(nn.Module):
    """A network that only carries how good it is."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = score


@dataclass(frozen=True)
class Answer:
    """What a rule gives back at one setting."""

    setting: str
    bonus: float = 0.0

    def kept(self, present: Present, ratio: float) -> Mapping[str, Sequence[int]]:
        return {f"{self.setting}{self.bonus:g}": [len(present)], "ratio": [round(100 * ratio)]}

    def at(self, present: Present, ratio: float) -> nn.Module:
        return Told(LEVELS[self.setting][ratio] + 10.0 * (len(present) - 1) + self.bonus)


class Quick(Rule):
    """A rule without its work: mending is worth 5 points where the allocation is global."""

    def prepare(self, *_: Any) -> Answer:  # type: ignore[override]
        own = "" if callable(self.allocation) else self.allocation
        return Answer(own, 5.0 if self.mend and own == "global" else 0.0)


def quick(**changes: Any) -> Quick:
    made: dict[str, Any] = {"name": "quick", "source": "arXiv 0", "score": dict, "allocation": "global"}
    return Quick(**{**made, **changes})


def judge_of() -> Any:
    """Only what tuning asks for; the test split must not be touched."""

    def hits(network: Told, split: str, present: Present) -> float:
        assert split == "val"
        assert present in SETS
        return network.score

    return SimpleNamespace(
        calibration=dict,
        costs={},
        sets=SETS,
        hits=hits,
        accuracy=lambda score, _split: score,
    )


def tried(rule: Any) -> Entrant:
    return tuned(rule, nn.Identity(), 1.0, judge_of(), ratios=RATIOS)


def score_at(entrant: Entrant, present: str, ratio: float) -> float:
    network = entrant.at(frozenset(present), ratio)
    assert isinstance(network, Told)
    return network.score


def test_setting_is_chosen_ratio_by_ratio_when_it_is_best_on_validation() -> None:
    found = tried(quick())
    assert found.kept(frozenset("a"), 0.5) == {"global0": [1], "ratio": [50]}
    assert found.kept(frozenset("ab"), 0.9) == {"share0": [2], "ratio": [90]}
    for present in SETS:
        for ratio in RATIOS:
            best = max(LEVELS[name][ratio] for name in ("global", "share"))
            assert score_at(found, "".join(present), ratio) == best + 10.0 * (len(present) - 1)
            assert found.at(present, ratio) is found.at(present, ratio)  # kept from tuning


def test_notes_tell_source_and_every_setting_with_its_mean_over_masks_when_tuned() -> None:
    assert tried(quick()).notes == {
        "source": "arXiv 0",
        "trials": [
            {"settings": "global", "ratio": 0.5, "val": 75.0},
            {"settings": "global", "ratio": 0.9, "val": 35.0},
            {"settings": "share", "ratio": 0.5, "val": 65.0},
            {"settings": "share", "ratio": 0.9, "val": 45.0},
        ],
    }


@pytest.mark.parametrize(
    ("rule", "setting", "kept"),
    [(quick(allocation=dict), "as published", "0"), (quick(mend=refit), "share", "share0")],
)
def test_rule_with_one_setting_is_not_scored_when_tuned(rule: Any, setting: str, kept: str) -> None:
    found = tried(rule)
    assert found.notes["trials"] == [{"settings": setting, "ratio": ratio, "val": None} for ratio in RATIOS]
    assert found.kept(frozenset("a"), 0.5) == {kept: [1], "ratio": [50]}
    assert score_at(found, "a", 0.5) == LEVELS[setting if setting == "share" else ""][0.5]


def test_flap_may_choose_its_bias_too_when_tuned() -> None:
    found = tried(quick(mend=compensate))
    assert {trial["settings"] for trial in found.notes["trials"]} == {
        f"{allocation}, bias {bias}" for allocation in ("global", "share") for bias in (True, False)
    }
    assert list(found.kept(frozenset("a"), 0.5)) == ["global5", "ratio"]
    assert list(found.kept(frozenset("a"), 0.9)) == ["share0", "ratio"]
