"""The library's rule says what is missing on a machine without the library."""

from __future__ import annotations

import sys

import pytest
import torch

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.rivals import RULES
from sentryfuse_core.lab.rivals.rule import Calibration
from sentryfuse_core.lab.rivals.torch_pruning import group_taylor
from sentryfuse_core.model.fusion import FeedForward


def test_torch_pruning_names_the_package_when_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    sample = Calibration({"a": torch.zeros(1, 1, 2)}, torch.zeros(1, dtype=torch.long))
    with pytest.raises(ConfigError, match="pip install torch-pruning"):
        group_taylor(FeedForward(2, channels=2, block=1), sample)


def test_every_rule_names_its_paper_when_listed() -> None:
    assert all(name == rule.name for name, rule in RULES.items())
    assert all("arXiv" in rule.source for name, rule in RULES.items() if name != "random")
