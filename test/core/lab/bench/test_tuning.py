"""Tuning of the rivals: for every ratio the setting that is best on validation, each trial noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torch import nn

from sentryfuse_core.lab.bench.tuning import tune
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


def test_setting_is_chosen_ratio_by_ratio_when_it_is_best_on_validation() -> None:
    tuned = tune(quick(), nn.Identity(), judge_of(), ratios=RATIOS)
    assert tuned.kept(frozenset("a"), 0.5) == {"global0": [1], "ratio": [50]}
    assert tuned.kept(frozenset("ab"), 0.9) == {"share0": [2], "ratio": [90]}
    network = tuned.at(frozenset("ab"), 0.9)
    assert isinstance(network, Told)
    assert network.score == 50.0


def test_trials_tell_every_setting_and_its_mean_over_masks_when_tuned() -> None:
    trials = tune(quick(), nn.Identity(), judge_of(), ratios=RATIOS).trials
    assert list(trials) == [
        {"settings": "global", "ratio": 0.5, "val": 75.0},
        {"settings": "global", "ratio": 0.9, "val": 35.0},
        {"settings": "share", "ratio": 0.5, "val": 65.0},
        {"settings": "share", "ratio": 0.9, "val": 45.0},
    ]


def test_rule_without_settings_is_taken_as_published_and_not_scored_when_tuned() -> None:
    tuned = tune(quick(allocation=dict), nn.Identity(), judge_of(), ratios=RATIOS)
    assert list(tuned.trials) == [
        {"settings": "as published", "ratio": ratio, "val": None} for ratio in RATIOS
    ]
    assert tuned.kept(frozenset("a"), 0.5) == {"0": [1], "ratio": [50]}


def test_flap_may_choose_its_bias_too_when_tuned() -> None:
    tuned = tune(quick(mend=compensate), nn.Identity(), judge_of(), ratios=RATIOS)
    assert {trial["settings"] for trial in tuned.trials} == {
        f"{allocation}, bias {bias}" for allocation in ("global", "share") for bias in (True, False)
    }
    assert list(tuned.kept(frozenset("a"), 0.5)) == ["global5", "ratio"]
    assert list(tuned.kept(frozenset("a"), 0.9)) == ["share0", "ratio"]


def test_refit_takes_the_same_share_of_every_layer_without_scoring_it_when_tuned() -> None:
    tuned = tune(quick(mend=refit), nn.Identity(), judge_of(), ratios=RATIOS)
    assert list(tuned.trials) == [{"settings": "share", "ratio": ratio, "val": None} for ratio in RATIOS]
    assert tuned.kept(frozenset("a"), 0.5) == {"share0": [1], "ratio": [50]}
    network = tuned.at(frozenset("a"), 0.5)
    assert isinstance(network, Told)
    assert network.score == LEVELS["share"][0.5]


def test_networks_that_tuning_built_are_kept_only_of_the_best_setting_when_asked_for() -> None:
    tuned = tune(quick(), nn.Identity(), judge_of(), ratios=RATIOS)
    for present in SETS:
        for ratio in RATIOS:
            network = tuned.at(present, ratio)
            assert isinstance(network, Told)
            assert network is tuned.at(present, ratio)
            best = max(LEVELS[name][ratio] for name in ("global", "share"))
            assert network.score == best + 10.0 * (len(present) - 1)
